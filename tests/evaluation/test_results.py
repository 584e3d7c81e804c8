import json

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import auc as trapezoid
from sklearn.metrics import confusion_matrix, roc_auc_score

from mpmri_monai.errors import EvaluationError, LeakageError
from mpmri_monai.evaluation import delong_interval, evaluate, read_predictions, write_predictions
from mpmri_monai.evaluation.intervals import EXACT, METHOD
from mpmri_monai.sequences import GRADES, TASKS

GRADE, BACKGROUND = TASKS["hcc_grade"], TASKS["hcc_vs_bg"]
PROBABILITIES = [f"p_{name}" for name in GRADES]


def values(result, level):
    return {name: metric["value"] for name, metric in result["levels"][level]["metrics"].items()}


def width(result, name, level="lesion"):
    metric = result["levels"][level]["metrics"][name]
    return metric["high"] - metric["low"]


def test_slices_by_themselves(predictions):
    result = evaluate(predictions, GRADE, bootstraps=50)
    truth = predictions["label"].map(GRADES.index)
    predicted = predictions[PROBABILITIES].to_numpy().argmax(axis=1)
    content = result["levels"]["slice"]
    assert content["confusion"] == confusion_matrix(truth, predicted).tolist()
    assert content["n"] == len(predictions)
    assert content["patients"] == predictions["patient"].nunique()
    assert values(result, "slice")["macro_auc"] == pytest.approx(
        roc_auc_score(truth, predictions[PROBABILITIES], multi_class="ovr")
    )


def test_lesions_take_the_mean_probability(predictions):
    result = evaluate(predictions, GRADE, bootstraps=50)
    mean = predictions.groupby("lesion")[PROBABILITIES].mean().to_numpy()
    truth = predictions.groupby("lesion")["label"].first().map(GRADES.index).to_numpy()
    assert values(result, "lesion")["accuracy"] == pytest.approx((mean.argmax(axis=1) == truth).mean())
    assert result["levels"]["lesion"]["n"] == len(truth)
    assert sum(result["levels"]["lesion"]["per_class"].values()) == len(truth)


def test_patients_have_their_worst_grade_and_the_prediction_of_the_worst_looking_lesion():
    def row(patient, lesion, label, *p):
        keys = {"task": "hcc_grade", "patient": patient, "study": patient, "lesion": lesion, "sample": f"{lesion}-00"}
        place = {"site": "A", "repeat": 0, "outer": 0, "inner": "", "role": "test", "label": label}
        return {**keys, **place, **dict(zip(PROBABILITIES, p, strict=True))}

    table = pd.DataFrame(
        [
            row("a", "a1", "poorly", 0.5, 0.3, 0.2),  # expected grade 0.7
            row("a", "a2", "well", 0.1, 0.8, 0.1),  # expected grade 1.0: this one speaks for the patient
            row("b", "b1", "well", 0.9, 0.1, 0.0),
            row("c", "c1", "moderately", 0.2, 0.5, 0.3),
        ]
    )
    result = evaluate(table, GRADE, bootstraps=10)
    assert result["levels"]["patient"]["confusion"] == [[1, 0, 0], [0, 1, 0], [0, 1, 0]]
    assert result["levels"]["patient"]["per_class"] == {"well": 1, "moderately": 1, "poorly": 1}
    assert result["levels"]["lesion"]["confusion"] == [[1, 1, 0], [0, 1, 0], [1, 0, 0]]


def test_task_without_patient_level_has_none(drawn):
    table = drawn(np.random.default_rng(0), classes=BACKGROUND.classes, task="hcc_vs_bg")
    assert list(evaluate(table, BACKGROUND, bootstraps=10)["levels"]) == ["slice", "lesion"]


def test_table_of_lesions_has_no_slices(drawn):
    table = drawn(np.random.default_rng(0), slices=1).assign(sample="")
    assert list(evaluate(table, GRADE, bootstraps=10)["levels"]) == ["lesion", "patient"]


def test_result_is_json_without_nan_and_repeatable_in_any_order(predictions):
    first = json.dumps(evaluate(predictions, GRADE, bootstraps=200, seed=5), allow_nan=False)
    shuffled = predictions.sample(frac=1, random_state=0)
    assert json.dumps(evaluate(shuffled, GRADE, bootstraps=200, seed=5)) == first
    assert json.dumps(evaluate(predictions, GRADE, bootstraps=200, seed=6)) != first


def test_intervals_hold_the_value(predictions):
    for content in evaluate(predictions, GRADE, bootstraps=500)["levels"].values():
        for name, metric in content["metrics"].items():
            assert metric["resamples"] == 500
            if metric["low"] is None:
                assert metric["value"] == 1 or name == "ece"
                assert metric["why"]
            else:
                assert metric["low"] <= metric["value"] <= metric["high"]
                assert metric["method"] == (EXACT if metric["value"] == 1 else METHOD)
                assert "why" not in metric


SHARES = ("accuracy", "sensitivity", "specificity")


def test_resamples_that_cannot_differ_give_no_interval_of_width_0(drawn):
    """A perfect result: shares have the exact interval of their patients, what has no exact one has none."""
    table = drawn(np.random.default_rng(0), 24, skill=100.0)
    result = evaluate(table, GRADE, bootstraps=50)
    for name, metric in result["levels"]["slice"]["metrics"].items():
        assert metric["value"] is not None
        if name.split("_")[0] in SHARES:
            assert metric["low"] < 1 == metric["high"]
            assert "why" not in metric
        else:
            assert metric["low"] is None
            assert metric["why"]
    lesions = result["levels"]["lesion"]
    assert lesions["metrics"]["accuracy"]["low"] == pytest.approx(0.025 ** (1 / 24))
    poorly = lesions["patients_per_class"]["poorly"]
    assert lesions["metrics"]["sensitivity_poorly"]["low"] == pytest.approx(0.025 ** (1 / poorly))


def test_what_is_never_right_has_the_other_end(drawn):
    table = drawn(np.random.default_rng(0), 24, skill=-100.0)
    accuracy = evaluate(table, GRADE, bootstraps=50)["levels"]["lesion"]["metrics"]["accuracy"]
    assert accuracy["value"] == accuracy["low"] == 0
    assert accuracy["high"] == pytest.approx(1 - 0.025 ** (1 / 24))


def test_one_patient_has_no_interval(drawn):
    metrics = evaluate(drawn(np.random.default_rng(0), 1), GRADE, bootstraps=50)["levels"]["slice"]["metrics"]
    assert metrics["accuracy"]["value"] is not None
    assert metrics["accuracy"]["low"] is None
    assert "one patient" in metrics["accuracy"]["why"]


def test_a_class_of_one_patient_leaves_the_other_metrics_their_intervals(drawn):
    """It says nothing of that class, and little of the whole; an accuracy of many patients is known all the same."""
    table = drawn(np.random.default_rng(0), 60, skill=1.5, slices=1)
    table = table[table["lesion"].str.endswith("L1")]
    poorly = table["label"] == "poorly"
    table = table[~poorly | (table["patient"] == table.loc[poorly, "patient"].iloc[0])]
    metrics = evaluate(table, GRADE, bootstraps=200)["levels"]["lesion"]["metrics"]
    p = metrics["accuracy"]["value"]
    wald = 2 * 1.96 * np.sqrt(p * (1 - p) / len(table))
    assert metrics["accuracy"]["high"] - metrics["accuracy"]["low"] == pytest.approx(wald, rel=0.15)
    for name in ("sensitivity_poorly", "auc_poorly", "macro_auc", "balanced_accuracy"):
        assert metrics[name]["low"] is None
        assert "of 200 resamples" in metrics[name]["why"]


def test_bootstrap_of_independent_lesions_is_as_wide_as_the_binomial(drawn):
    table = drawn(np.random.default_rng(0), 301, slices=1)
    table = table[table["lesion"].str.endswith("L1")]
    result = evaluate(table, GRADE, bootstraps=2000)
    p = values(result, "lesion")["accuracy"]
    expected = 2 * 1.96 * np.sqrt(p * (1 - p) / table["patient"].nunique())
    assert width(result, "accuracy") == pytest.approx(expected, rel=0.1)


def test_bootstrap_of_independent_lesions_is_as_wide_as_delong(drawn):
    table = drawn(np.random.default_rng(0), 301, slices=1)
    table = table[table["lesion"].str.endswith("L1")]
    result = evaluate(table, GRADE, bootstraps=1000)
    _, low, high = delong_interval((table["label"] == "poorly").to_numpy(), table["p_poorly"].to_numpy())
    assert width(result, "auc_poorly") == pytest.approx(high - low, rel=0.1)


def test_copies_of_slices_do_not_narrow_the_interval(drawn):
    table = drawn(np.random.default_rng(0), 60, slices=1)
    many = pd.concat([table.assign(sample=table["lesion"] + f"-{index:02d}") for index in range(10)])
    one, ten = (evaluate(x, GRADE, bootstraps=1000) for x in (table, many))
    assert width(ten, "accuracy", "slice") == pytest.approx(width(one, "accuracy", "slice"), abs=1e-9)


def test_repeats_do_not_narrow_the_interval_as_if_they_were_patients(drawn):
    table = drawn(np.random.default_rng(0), 60, slices=1)
    twice = pd.concat([table, table.assign(repeat=1)])
    one, two = (evaluate(x, GRADE, bootstraps=1000) for x in (table, twice))
    for name in ("accuracy", "macro_auc"):
        assert width(two, name) == pytest.approx(width(one, name), abs=1e-9)
    assert two["levels"]["lesion"]["n"] == one["levels"]["lesion"]["n"]
    assert np.sum(two["levels"]["lesion"]["confusion"]) == 2 * one["levels"]["lesion"]["n"]


def test_resamples_in_blocks_are_the_same(predictions, monkeypatch):
    whole = evaluate(predictions, GRADE, bootstraps=100)["levels"]["slice"]["metrics"]
    monkeypatch.setattr("mpmri_monai.evaluation.scored.CHUNK", 7 * len(predictions))
    blocks = evaluate(predictions, GRADE, bootstraps=100)["levels"]["slice"]["metrics"]
    for name, metric in whole.items():
        ends = ("value", "low", "high")
        assert [blocks[name][end] for end in ends] == pytest.approx([metric[end] for end in ends])


def test_table_gives_the_same_from_memory_and_from_its_file(drawn, tmp_path):
    table = drawn(np.random.default_rng(0), decimals=0)
    write_predictions(tmp_path / "predictions.csv", table)
    read = read_predictions(tmp_path / "predictions.csv")
    assert evaluate(read, GRADE, bootstraps=50) == evaluate(table, GRADE, bootstraps=50)


def test_labels_without_meaning_give_one_half(drawn):
    rng = np.random.default_rng(0)
    table = drawn(rng, 200, skill=2.0, fits=tuple((0, fold) for fold in range(5)))
    areas = []
    for _ in range(20):
        labels = table.groupby("lesion")["label"].first()
        permuted = dict(zip(labels.index, rng.permutation(labels), strict=True))
        shuffled = table.assign(label=table["lesion"].map(permuted))
        areas.append(values(evaluate(shuffled, GRADE, bootstraps=1), "lesion")["macro_auc"])
    assert np.mean(areas) == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize("fits", [((0, 0),), ((0, 0), (0, 1), (1, 0))])
def test_roc_has_the_area_of_the_metric(drawn, fits):
    table = drawn(np.random.default_rng(0), 90, slices=1, fits=fits, decimals=1)
    content = evaluate(table, GRADE, bootstraps=1)["levels"]["lesion"]
    for name in GRADES:
        curve = content["roc"][name]
        assert (curve["fpr"][0], curve["tpr"][0], curve["fpr"][-1], curve["tpr"][-1]) == (0, 0, 1, 1)
        assert trapezoid(curve["fpr"], curve["tpr"]) == pytest.approx(
            content["metrics"][f"auc_{name}"]["value"], abs=1e-12 if len(fits) == 1 else 0.01
        )


def test_absent_class_is_undefined_not_left_out(predictions):
    result = evaluate(predictions[predictions["label"] != "poorly"], GRADE, bootstraps=20)
    content = result["levels"]["lesion"]
    absent = content["metrics"]["macro_auc"]
    assert [absent[key] for key in ("value", "low", "high", "method")] == [None] * 4
    assert absent["why"] == "no lesion of class poorly"
    assert content["metrics"]["accuracy"]["value"] is not None
    assert content["roc"]["poorly"] is None
    assert content["per_class"]["poorly"] == 0


def test_other_roles_and_inner_fits_and_unlabelled_rows_do_not_count(predictions):
    plain = evaluate(predictions, GRADE, bootstraps=20)
    training = predictions.assign(patient="Q" + predictions["patient"], role="train")
    unlabelled = predictions.assign(patient="U" + predictions["patient"], label="")
    more = pd.concat([predictions, training, predictions.assign(inner="0"), unlabelled])
    result = evaluate(more, GRADE, bootstraps=20)
    assert result["levels"] == plain["levels"]


def test_unlabelled_rows_are_counted(predictions):
    unlabelled = predictions.assign(patient="X", study="X", label="")
    assert evaluate(pd.concat([predictions, unlabelled]), GRADE, bootstraps=5)["unlabelled"] == len(predictions)


def test_patient_in_two_roles_is_a_leak(predictions):
    leaky = pd.concat([predictions, predictions.head(1).assign(role="train", sample="other")])
    with pytest.raises(LeakageError, match="P000"):
        evaluate(leaky, GRADE)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.assign(task="hcc_vs_bg"), "task hcc_vs_bg"),
        (lambda t: t.rename(columns={"p_well": "p_good"}), "good"),
        (lambda t: t.assign(label="porly"), "did you mean 'poorly'"),
        (lambda t: t.assign(p_well=[np.nan, *t["p_well"][1:]]), "1 with NaN"),
        (lambda t: t.assign(p_well=[t["p_well"][0] / 2, *t["p_well"][1:]]), "1 with another sum"),
        (lambda t: t.assign(p_well=-1.0), r"87 outside \[0, 1\]"),
        (lambda t: t.assign(role="train"), "role test"),
        (lambda t: t.assign(label=""), "labelled"),
        (lambda t: t.head(0), "no row"),
        (lambda t: pd.concat([t, t]), "again"),
        (lambda t: t.assign(label=[*GRADES[:2], *t["label"][2:]]), "different labels"),
    ],
)
def test_other_tables_are_refused(predictions, change, message):
    with pytest.raises(EvaluationError, match=message):
        evaluate(change(predictions), GRADE, bootstraps=5)


def test_pooling_is_said_for_each_metric(predictions):
    for content in evaluate(predictions, GRADE, bootstraps=5)["levels"].values():
        assert content["pooling"].keys() == content["metrics"].keys()
        assert content["pooling"]["macro_auc"] == "pairs scored by the same fit only, pooled over the fits"
        assert content["pooling"]["accuracy"] == "confusion matrices of all fits added"


def test_auc_is_not_pooled_over_fits_of_one_patient(drawn):
    """Also where within one patient two lesions can be compared, as those of every fifth patient here."""
    table = drawn(np.random.default_rng(0))
    number = table["patient"].str[1:].astype(int)
    content = evaluate(table.assign(outer=number), GRADE, bootstraps=20)["levels"]["lesion"]
    for name in ("macro_auc", "auc_poorly", "macro_average_precision"):
        assert content["metrics"][name]["value"] is None
        assert "repeated k-fold" in content["metrics"][name]["why"]
    assert content["roc"]["poorly"] is None
    assert content["metrics"]["accuracy"]["low"] is not None
    two_a_fit = evaluate(table.assign(outer=number // 2), GRADE, bootstraps=20)["levels"]["lesion"]
    assert two_a_fit["metrics"]["auc_poorly"]["value"] is not None


def test_mean_and_sd_over_repeats_are_no_interval(drawn):
    table = drawn(np.random.default_rng(0), fits=((0, 0), (0, 1), (1, 0), (2, 0)))
    result = evaluate(table, GRADE, bootstraps=5)
    single = [values(evaluate(table[table["repeat"] == repeat], GRADE, bootstraps=5), "lesion") for repeat in range(3)]
    for name, found in result["repeats"]["lesion"].items():
        assert found["mean"] == pytest.approx(np.mean([one[name] for one in single]))
        assert found["sd"] == pytest.approx(np.std([one[name] for one in single], ddof=1))
        assert found["n"] == 3
        assert "not an interval" in found["label"]
    assert "repeats" not in evaluate(table[table["repeat"] == 0], GRADE, bootstraps=5)


@pytest.mark.parametrize("unit", ["lesion", "sample"])
def test_replica_counts_slices_and_copies_and_says_so(predictions, unit):
    copies = predictions.assign(sample=predictions["sample"] + "+rot90")
    leaky = pd.concat(
        [predictions, copies, predictions.assign(lesion="other", sample="other-00", role="train").head(1)]
    )
    result = evaluate(leaky, GRADE, unit=unit, bootstraps=5)
    assert list(result["levels"]) == ["slice"]
    assert result["levels"]["slice"]["n"] == 2 * len(predictions)
    assert (result["unit"], result["warning"]) == (unit, "not patient-disjoint")
    assert "warning" not in evaluate(predictions, GRADE, bootstraps=5)


def test_copies_are_no_samples(predictions):
    with pytest.raises(EvaluationError, match="3 copies among"):
        copies = predictions.head(3).assign(sample=predictions["sample"] + "+flipud")
        evaluate(pd.concat([predictions, copies]), GRADE)


def test_unknown_unit_is_refused(predictions):
    with pytest.raises(EvaluationError, match="slice"):
        evaluate(predictions, GRADE, unit="slice")


def test_sample_missing_in_one_fit_is_refused(drawn):
    table = drawn(np.random.default_rng(0), fits=((0, 0), (1, 0)))
    with pytest.raises(EvaluationError, match="1 missing, of 1 patients"):
        evaluate(table.drop(index=table.index[-1]), GRADE, bootstraps=5)


def test_patients_missing_in_one_repeat_of_a_cross_validation_are_refused(drawn):
    table = drawn(np.random.default_rng(0), fits=((0, 0), (1, 0)))
    folds = table.assign(outer=table["patient"].str[1:].astype(int) % 2)
    evaluate(folds, GRADE, bootstraps=5)
    lacking = folds[(folds["repeat"] == 0) | (folds["outer"] == 0) | (folds["patient"] > "P003")]
    with pytest.raises(EvaluationError, match="0 missing in repeat 0, 2 missing in repeat 1"):
        evaluate(lacking, GRADE, bootstraps=5)


def test_repeated_holdouts_test_other_patients(drawn):
    table = drawn(np.random.default_rng(0), fits=((0, 0), (1, 0)))
    number = table["patient"].str[1:].astype(int)
    evaluate(table[(table["repeat"] == 0) | (number < 12)], GRADE, bootstraps=5)


def test_retraining_is_said_to_be_left_out(predictions):
    assert "training the model again" in evaluate(predictions, GRADE, bootstraps=5)["intervals"]["limits"]
