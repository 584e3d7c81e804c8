import json

import numpy as np
import pytest
from sklearn.metrics import roc_curve

from mpmri_monai.errors import EvaluationError
from mpmri_monai.evaluation import operating_points
from mpmri_monai.evaluation.levels import UNIT
from mpmri_monai.evaluation.roc import mean_curve, roc_steps, true_positives
from mpmri_monai.sequences import GRADES, TASKS

GRADE, BACKGROUND = TASKS["hcc_grade"], TASKS["hcc_vs_bg"]


def points(result):
    return {(point["class"], point["specificity"]): point for point in result["points"]}


def of_scores(drawn, positives, negatives):
    """One lesion a patient with the given scores for hcc."""
    scores = [*positives, *negatives]
    table = drawn(np.random.default_rng(0), len(scores), classes=BACKGROUND.classes, task="hcc_vs_bg", slices=1)
    table = table[table["lesion"].str.endswith("L1")]
    label = ["hcc"] * len(positives) + ["background"] * len(negatives)
    return table.assign(label=label, p_hcc=scores, p_background=1 - np.array(scores))


def test_closed_form(drawn):
    # Ten negatives: 90 % specificity lets one through, so that the positives above the second largest are found.
    negatives = np.arange(10) / 20
    result = operating_points(of_scores(drawn, [0.9, 0.44, 0.41, 0.2], negatives), BACKGROUND, bootstraps=20)
    found = points(result)
    assert {key: point["value"] for key, point in found.items()} == pytest.approx(
        {("hcc", 0.9): 0.75, ("hcc", 0.85): 0.75, ("hcc", 0.8): 0.75}
    )
    assert (found["hcc", 0.9]["positives"], found["hcc", 0.9]["patients"]) == (4, 4)


def test_straight_lines_between_thresholds(drawn):
    table = of_scores(drawn, [0.9, 0.5, 0.5, 0.1], [0.5, 0.5, 0.1, 0.1])
    (point,) = operating_points(table, BACKGROUND, specificities=(0.75,), bootstraps=20)["points"]
    # From 1 of 4 at no false positive to 3 of 4 at two of four: half way at one of four.
    assert point["value"] == pytest.approx(0.5)


def test_resamples_that_nearly_all_agree_make_no_interval(drawn):
    # At 80 % specificity the positive of 0.25 is missed only where the negative of 0.3 is drawn five times of twenty.
    table = of_scores(drawn, [0.9] * 19 + [0.25], [*np.arange(19) / 200, 0.3])
    for point in operating_points(table, BACKGROUND, bootstraps=500)["points"]:
        assert point["low"] is None or point["low"] < point["high"]


def test_as_from_scikit_learn(predictions):
    found = points(operating_points(predictions, GRADE, "slice", bootstraps=30))
    for name in GRADES:
        fpr, tpr, _ = roc_curve(predictions["label"] == name, predictions[f"p_{name}"], drop_intermediate=False)
        for specificity in (0.9, 0.85, 0.8):
            point = found[name, specificity]
            assert point["value"] == pytest.approx(np.interp(1 - specificity + 1e-9, fpr, tpr), abs=1e-6)
            assert point["low"] < point["value"] < point["high"]


def test_macro_is_the_mean_over_the_classes(predictions):
    result = operating_points(predictions, GRADE, "slice", bootstraps=30)
    found = points(result)
    for mean in result["macro"]:
        of_class = [found[name, mean["specificity"]] for name in GRADES]
        assert mean["value"] == pytest.approx(np.mean([point["value"] for point in of_class]))
        assert mean["patients"] == min(point["patients"] for point in of_class)
        assert mean["low"] < mean["value"] < mean["high"]


def test_macro_of_a_binary_task_is_its_positive_class(drawn):
    result = operating_points(of_scores(drawn, [0.9, 0.44, 0.41, 0.2], np.arange(10) / 20), BACKGROUND, bootstraps=20)
    shared = ("specificity", "value", "low", "high")
    assert [[point[key] for key in shared] for point in result["macro"]] == [
        [point[key] for key in shared] for point in result["points"]
    ]


def test_more_specificity_less_sensitivity(predictions):
    values = [point["value"] for point in operating_points(predictions, GRADE, bootstraps=10)["points"]]
    assert all(values[i] <= values[i + 1] for i in range(len(values)) if i % 3 < 2)


def test_each_fit_has_its_own_threshold(drawn):
    rng = np.random.default_rng(3)
    table = drawn(rng, 40, classes=BACKGROUND.classes, task="hcc_vs_bg", slices=1, fits=((0, 0), (0, 1)))
    odds = table["p_hcc"] / table["p_background"] * np.where(table["outer"] == 1, 50, 1)
    shifted = table.assign(p_hcc=odds / (1 + odds), p_background=1 / (1 + odds))
    found = [operating_points(one, BACKGROUND, bootstraps=30)["points"] for one in (table, shifted)]
    assert [point["value"] for point in found[0]] == pytest.approx([point["value"] for point in found[1]])


def test_weights_are_copies():
    rng = np.random.default_rng(0)
    positive, scores = rng.random(30) < 0.5, np.round(rng.random(30), 1)
    weights = rng.integers(0, 4, 30)
    weighted = roc_steps(positive, scores, weights[None].astype(float))
    copied = roc_steps(np.repeat(positive, weights), np.repeat(scores, weights), np.ones((1, weights.sum())))
    rates = np.array([0.05, 0.1, 0.25, 0.5])
    values = [true_positives(false[0], true[0], rates) for false, true in (weighted, copied)]
    assert values[0] == pytest.approx(values[1])


def test_leave_one_out_has_no_curve(drawn):
    table = drawn(np.random.default_rng(0), 10)
    table["outer"] = table["patient"].astype("category").cat.codes.astype(int)
    result = operating_points(table, GRADE, bootstraps=10)
    assert all(point["value"] is None and point["why"] for point in result["points"])
    json.dumps(result, allow_nan=False)


@pytest.mark.parametrize("specificities", [(), (1.0,), (0.9, 90)])
def test_specificities_outside_are_refused(predictions, specificities):
    with pytest.raises(EvaluationError, match="specificities"):
        operating_points(predictions, GRADE, specificities=specificities)


def test_mean_curve_of_fits_has_the_pooled_area(drawn):
    table = drawn(np.random.default_rng(0), 60, fits=((0, 0), (0, 1)), slices=1)
    table = table[(table["outer"] == 0) | (table["patient"] < "P020")].drop_duplicates([*UNIT["lesion"], "outer"])
    positive = (table["label"] == "well").to_numpy()
    curve = mean_curve(positive, table["p_well"].to_numpy(), table["outer"].to_numpy())
    assert (curve[-1], (np.diff(curve) >= 0).all()) == (1, True)
    assert mean_curve(positive, table["p_well"].to_numpy(), np.arange(len(table))) is None


def test_scores_that_say_nothing_have_no_interval(drawn):
    """The point lies on the diagonal whoever is drawn: rounding is no spread."""
    (point, *_) = operating_points(of_scores(drawn, [0.5] * 6, [0.5] * 7), BACKGROUND, bootstraps=50)["points"]
    assert point["value"] == pytest.approx(0.1, abs=1e-12)
    assert (point["low"], point["high"]) == (None, None)
