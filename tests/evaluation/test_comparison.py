import json

import numpy as np
import pandas as pd
import pytest
from statsmodels.stats.contingency_tables import mcnemar as mcnemar_oracle

from mpmri_monai.errors import EvaluationError
from mpmri_monai.evaluation import compare, compare_many, evaluate
from mpmri_monai.sequences import GRADES, TASKS

GRADE, BACKGROUND = TASKS["hcc_grade"], TASKS["hcc_vs_bg"]
PROBABILITIES = [f"p_{name}" for name in GRADES]


def noisy(table, rng, amount):
    """The same units predicted by another model: noise on the logits."""
    columns = [name for name in table if name.startswith("p_")]
    odds = table[columns].to_numpy() * np.exp(amount * rng.normal(size=(len(table), len(columns))))
    return table.assign(**dict(zip(columns, (odds / odds.sum(axis=1, keepdims=True)).T, strict=True)))


@pytest.fixture
def pair(drawn):
    rng = np.random.default_rng(0)
    table = drawn(rng, 40, skill=2, slices=2)
    return table, noisy(table, rng, 1.5)


@pytest.mark.parametrize("level", ["slice", "lesion", "patient"])
def test_differences_are_those_of_the_metrics(pair, level):
    found = compare(*pair, GRADE, level, bootstraps=50, metrics=("macro_auc", "accuracy", "quadratic_kappa"))
    results = [evaluate(table, GRADE, bootstraps=10)["levels"][level] for table in pair]
    for name, metric in found["metrics"].items():
        a, b = (result["metrics"][name]["value"] for result in results)
        assert (metric["a"], metric["b"]) == pytest.approx((a, b))
        assert metric["difference"] == pytest.approx(a - b)
    assert (found["n"], found["patients"]) == (results[0]["n"], 40)


def test_swapping_the_models_changes_the_sign_alone(pair):
    one, other = compare(*pair, GRADE, bootstraps=300), compare(*pair[::-1], GRADE, bootstraps=300)
    for name, metric in one["metrics"].items():
        back = other["metrics"][name]
        assert (metric["difference"], metric["low"], metric["p"]) == pytest.approx(
            (-back["difference"], -back["high"], back["p"])
        )


def test_result_is_json_and_does_not_depend_on_the_order_of_rows(pair):
    first = json.dumps(compare(*pair, GRADE, bootstraps=60), allow_nan=False)
    shuffled = [table.sample(frac=1, random_state=index) for index, table in enumerate(pair)]
    assert json.dumps(compare(*shuffled, GRADE, bootstraps=60)) == first


def test_one_model_against_itself(pair):
    found = compare(pair[0], pair[0], GRADE, "patient", bootstraps=50)
    for metric in found["metrics"].values():
        assert (metric["difference"], metric["low"], metric["p"]) == (0, None, 1)
    assert found["mcnemar"]["p"] == 1
    assert found["delong"]["well"]["p"] is None


def test_permutations_agree_with_all_swaps(drawn):
    rng = np.random.default_rng(4)
    a = drawn(rng, 9, skill=2, slices=1).query("lesion.str.endswith('L1')")
    b = noisy(a, rng, 3)
    right = np.array([t[PROBABILITIES].to_numpy().argmax(axis=1) == t["label"].map(GRADES.index) for t in (a, b)])
    gain = right[0].astype(int) - right[1]
    signs = 1 - 2 * ((np.arange(2**9)[:, None] >> np.arange(9)) & 1)
    exact = np.mean(np.abs(signs @ gain) >= abs(gain.sum()))
    assert 0 < exact < 1
    found = compare(a, b, GRADE, metrics=("accuracy",), bootstraps=4000)["metrics"]["accuracy"]
    assert found["p"] == pytest.approx(exact, abs=0.03)


def test_copies_of_slices_add_no_certainty(drawn):
    rng = np.random.default_rng(2)
    a = drawn(rng, 20, slices=1)
    b = noisy(a, rng, 1)
    copied = [pd.concat([table.assign(sample=table["sample"] + f"-{index}") for index in range(4)]) for table in (a, b)]
    once, often = compare(a, b, GRADE, "slice", bootstraps=100), compare(*copied, GRADE, "slice", bootstraps=100)
    for name, metric in once["metrics"].items():
        assert often["metrics"][name] == pytest.approx(metric)


def test_p_of_the_auc_does_not_depend_on_the_scale_of_the_scores(drawn):
    rng = np.random.default_rng(5)
    a = drawn(rng, 30, classes=BACKGROUND.classes, task="hcc_vs_bg", slices=1)
    b = noisy(a, rng, 1)
    odds = (b["p_hcc"] / b["p_background"]) ** 4
    sharper = b.assign(p_hcc=odds / (1 + odds), p_background=1 / (1 + odds))
    found = [compare(a, other, BACKGROUND, metrics=("macro_auc",), bootstraps=200) for other in (b, sharper)]
    assert found[0]["metrics"] == found[1]["metrics"]


def test_mcnemar_where_each_patient_counts_once(pair):
    found = compare(*pair, GRADE, "patient", bootstraps=20)["mcnemar"]
    assert found["p"] == pytest.approx(mcnemar_oracle([[0, found["only_a"]], [found["only_b"], 0]], exact=True).pvalue)
    lesions = compare(*pair, GRADE, "lesion", bootstraps=20)
    assert lesions["mcnemar"]["p"] is None and "more than once" in lesions["mcnemar"]["why"]
    assert list(lesions["delong"]) == ["why"]


def test_delong_needs_one_fit(drawn):
    rng = np.random.default_rng(1)
    table = drawn(rng, 24)
    folds = table.assign(outer=table["patient"].str[1:].astype(int) // 3 % 2)
    other = noisy(table, rng, 1)
    one = compare(table, other, GRADE, "patient", bootstraps=20)
    assert one["delong"]["why"] is None
    assert one["delong"]["poorly"]["a"] == pytest.approx(
        evaluate(table, GRADE, bootstraps=5)["levels"]["patient"]["metrics"]["auc_poorly"]["value"]
    )
    several = compare(folds, other.assign(outer=folds["outer"]), GRADE, "patient", bootstraps=20)
    assert several["mcnemar"]["p"] is not None and "several" in several["delong"]["why"]


def test_other_patients_units_fits_or_labels_are_refused(pair):
    a, b = pair
    with pytest.raises(EvaluationError, match="0 patients of the first are missing in the second, 1 of the second"):
        compare(a[a["patient"] != "P003"], b, GRADE)
    with pytest.raises(EvaluationError, match="1 of the first are missing"):
        compare(a, b[b["lesion"] != "P005-L2"], GRADE)
    with pytest.raises(EvaluationError, match=r"one splits\.csv"):
        compare(a, b.assign(outer=1), GRADE)
    with pytest.raises(EvaluationError, match="1 units labelled differently"):
        compare(a, b.assign(label=b["label"].where(b["patient"] != "P001", "well")), GRADE)
    with pytest.raises(EvaluationError, match="'macro_auc'"):
        compare(a, b, GRADE, metrics=("makro_auc",))
    with pytest.raises(EvaluationError, match="slice, lesion, patient"):
        compare(a, b, GRADE, "organ")


def test_missing_slice_is_refused_at_every_level(pair):
    a, b = pair
    fewer = b[b["sample"] != "P005-L2-01"]
    for level, found in (("slice", "1 of the first"), ("lesion", "1 samples"), ("patient", "1 samples")):
        with pytest.raises(EvaluationError, match=found):
            compare(a, fewer, GRADE, level)


def test_many_are_corrected_together(pair):
    a, b = pair
    tables = {"reference": a, "same": a, "noisy": b, "noisier": noisy(b, np.random.default_rng(9), 3)}
    found = compare_many(tables, "reference", GRADE, bootstraps=200)
    assert [one["name"] for one in found["comparisons"]] == ["same", "noisy", "noisier"]
    assert "3 models" in found["correction"]
    for metric in ("accuracy", "macro_auc"):
        p = [one["metrics"][metric]["p"] for one in found["comparisons"]]
        corrected = [one["metrics"][metric]["p_holm"] for one in found["comparisons"]]
        assert min(corrected) == pytest.approx(min(1, 3 * min(p)))
        assert all(one >= other for one, other in zip(corrected, p, strict=True))
    for wrong in ({"reference": a}, {"noisy": b}):
        with pytest.raises(EvaluationError, match="reference"):
            compare_many(wrong, "reference", GRADE)


def test_table_of_lesions_is_compared_with_one_of_slices(pair):
    a, b = pair
    lesions = b.groupby("lesion", as_index=False).agg(
        {name: "mean" if name.startswith("p_") else "first" for name in b.columns if name != "lesion"}
    )
    found = compare(a, lesions[b.columns].assign(sample=""), GRADE, bootstraps=20)
    direct = compare(a, b, GRADE, bootstraps=20)
    assert found["metrics"]["accuracy"] == pytest.approx(direct["metrics"]["accuracy"])


@pytest.mark.slow
def test_p_values_are_uniform_under_the_null_and_intervals_cover(drawn):
    p, covered = [], []
    for seed in range(300):
        rng = np.random.default_rng(seed)
        common = drawn(rng, 30, skill=1.5, slices=1)
        a, b = noisy(common, rng, 1), noisy(common, rng, 1)
        found = compare(a, b, GRADE, metrics=("macro_auc",), bootstraps=199, seed=seed)["metrics"]["macro_auc"]
        p.append(found["p"])
        covered.append(found["low"] <= 0 <= found["high"])
    assert [np.mean(np.array(p) <= level) for level in (0.05, 0.25, 0.5)] == pytest.approx([0.05, 0.25, 0.5], abs=0.08)
    assert np.mean(covered) == pytest.approx(0.95, abs=0.035)


def test_a_class_of_one_patient_gives_no_interval_to_what_depends_on_it(drawn):
    """He alone is half of that class's balance in both models, and would come again for certain."""
    rng = np.random.default_rng(0)
    a = drawn(rng, 40)
    b = drawn(rng, 40)
    poorly = a["label"] == "poorly"
    kept = ~poorly | (a["patient"] == a.loc[poorly, "patient"].iloc[0])
    found = compare(a[kept], b[kept], GRADE, bootstraps=200)["metrics"]
    assert found["accuracy"]["low"] is not None
    for name in ("macro_auc", "balanced_accuracy"):
        assert found[name]["difference"] is not None
        assert (found[name]["low"], found[name]["high"]) == (None, None)
