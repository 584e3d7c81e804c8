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


def test_counts_agree_with_their_noun():
    assert [wording.plural(n, "study") for n in (0, 1, 2)] == ["0 studies", "1 study", "2 studies"]
    assert wording.plural(3, "lesion") == "3 lesions"
