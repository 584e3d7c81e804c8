import pytest

from mpmri_monai.report import wording

NBSP = "\u00a0"


@pytest.mark.parametrize(
    ("entry", "text"),
    [
        ({"value": 0.84712, "low": 0.7, "high": 0.95}, f"0.847 (0.700{NBSP}to{NBSP}0.950)"),
        ({"mean": 0.9, "low": 0.8, "high": 1.0}, f"0.900 (0.800{NBSP}to{NBSP}1.000)"),
        ({"value": 0.5, "low": None, "high": None}, "0.500 (interval not defined)"),
        ({"value": None, "low": None, "high": None}, "not defined: no lesion of class well"),
        (None, "not defined: no lesion of class well"),
    ],
)
def test_values_are_written_with_their_interval_or_with_the_reason_for_none(entry, text):
    assert wording.with_interval(entry, "no lesion of class well") == text


def test_undefined_metrics_are_explained_by_the_classes_without_a_case():
    level = {"per_class": {"well": 0, "moderately": 5, "poorly": 0}}
    assert wording.why_undefined(level, ("well", "moderately", "poorly"), "lesion") == "no lesion of class well, poorly"
    level = {"per_class": {"well": 1, "moderately": 5, "poorly": 1}}
    assert wording.why_undefined(level, ("well", "moderately", "poorly"), "lesion") == "too few cases"


def test_no_information_is_the_share_of_the_commonest_class():
    level = {"per_class": {"a": 1, "b": 3}}
    assert wording.commonest_share(level, ("a", "b")) == 0.75
    assert wording.commonest_share({"per_class": {}}, ("a", "b")) is None


@pytest.mark.parametrize(
    ("network", "baseline", "part"),
    [
        ((0.8, 0.9), (0.5, 0.7), "wholly above"),
        ((0.4, 0.5), (0.6, 0.7), "wholly below"),
        ((0.6, 0.9), (0.5, 0.7), "overlap"),
    ],
)
def test_the_answer_says_how_the_two_intervals_lie_and_no_more(metrics, network, baseline, part):
    def with_accuracy(content, ends):
        level = content["levels"]["lesion"]
        accuracy = {"value": sum(ends) / 2, "low": ends[0], "high": ends[1]}
        return content | {"levels": {"lesion": level | {"metrics": level["metrics"] | {"accuracy": accuracy}}}}

    changed = with_accuracy(metrics, network) | {"baseline": with_accuracy(metrics["baseline"], baseline)}
    assert part in " ".join(wording.answer_sentences(changed))


def test_the_answer_does_without_baseline_and_ceiling(metrics):
    bare = {key: value for key, value in metrics.items() if key not in ("baseline", "ceiling")}
    (sentence,) = wording.answer_sentences(bare)
    assert wording.with_interval(metrics["levels"]["lesion"]["metrics"]["accuracy"]) in sentence
    assert "lesions of" in sentence and "test patients" in sentence


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/home/a b/run/model.pt", "…/model.pt"),
        ("--manifest=/data/my cohort/M.json", "--manifest=…/M.json"),
        (r"C:\Users\a\run\model.pt", "…/model.pt"),
        ("study P1: no file in /mnt/pacs/in/x.dcm, see log", "study P1: no file in …/x.dcm, see log"),
        ("~/runs/7/log.txt", "…/log.txt"),
        ("bundles/hcc_grade/configs/train.json", "bundles/hcc_grade/configs/train.json"),
        ("2/3 of 4 / 5", "2/3 of 4 / 5"),
        ("n/a", "n/a"),
    ],
)
def test_absolute_paths_lose_their_folders_and_nothing_else_changes(text, shown):
    assert wording.without_folders(text) == shown


def abstention(rest):
    """What `evaluation.abstention` returns, as far as the sentence needs it."""
    every = {"value": 0.912, "low": 0.869, "high": 0.944}
    return {"table": [{"asked": 0.0, "right": every}, {"asked": 0.2, "right": rest}]}


def test_certainty_is_told_as_a_doctor_would_use_it():
    rest = {"value": 0.971, "low": 0.938, "high": 0.991}
    assert wording.certainty_sentence(abstention(rest)).replace(NBSP, " ") == (
        "Leave the 20 % least certain to you: the rest is right in 97 [94–99] % of cases; with every case answered, "
        "91 [87–94] % are."
    )
    bare = wording.certainty_sentence(abstention({"value": 1.0, "low": None, "high": None}))
    assert "right in 100 % (interval not defined) of cases" in bare.replace(NBSP, " ")


def test_a_share_that_the_table_lacks_gives_no_sentence():
    rest = {"value": 0.971, "low": 0.938, "high": 0.991}
    assert wording.certainty_sentence(abstention(rest), left=0.25) == ""
    assert wording.certainty_sentence(abstention({"value": None, "low": None, "high": None})) == ""


def test_counts_agree_with_their_noun():
    assert [wording.plural(n, "study") for n in (0, 1, 2)] == ["0 studies", "1 study", "2 studies"]
    assert wording.plural(3, "lesion") == "3 lesions"


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("auc_well", "AUC, well against the rest"),
        ("sensitivity_poorly", "Sensitivity, poorly against the rest"),
        ("average_precision_hcc", "Average precision, hcc against the rest"),
        ("macro_average_precision", "Macro average precision"),
        ("sensitivity", "Sensitivity"),
        ("something_new", "something_new"),
    ],
)
def test_metric_keys_are_put_into_words(key, words):
    assert wording.metric_name(key) == words


def test_the_reason_of_a_missing_value_is_its_own_where_it_has_one():
    entry = {"value": None, "low": None, "high": None, "why": "each fit tests one patient"}
    assert wording.with_interval(entry, "no lesion of class well") == "not defined: each fit tests one patient"


def test_intervals_of_small_classes_are_told_with_how_often_they_hold():
    asked = []

    def covered(metric, patients):
        asked.append(patients)
        return {"accuracy": 0.912, "macro_auc": 0.887}.get(metric)

    level = {"patients_per_class": {"well": 6, "moderately": 40, "poorly": 9}}
    sentence = wording.coverage_sentence(level, covered)
    assert set(asked) == {6} and "The smallest class has 6 patients." in sentence
    assert "held the true value in 91 % (accuracy), 89 % (macro AUC) of the data sets" in sentence


def test_intervals_of_classes_smaller_than_any_simulated_are_said_to_be_unknown():
    def unknown(metric, patients):
        return None

    level = {"patients_per_class": {"well": 2, "poorly": 9}}
    assert "nothing is known" in wording.coverage_sentence(level, unknown)


def test_from_twenty_patients_a_class_on_nothing_is_quoted():
    enough = {"patients_per_class": {"well": 20, "poorly": 31}}
    assert wording.coverage_sentence(enough, {}.__getitem__) == ""
