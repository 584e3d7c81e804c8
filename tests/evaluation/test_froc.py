"""FROC against MONAI's, on invented candidates."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.metrics import compute_froc_curve_data, compute_froc_score

from mpmri_monai.errors import EvaluationError
from mpmri_monai.evaluation.froc import froc, froc_curve

RATES = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)


def invented(rng, patients=12, fits=1, ties=False, found=0.7):
    """Studies with 0 to 3 lesions, each found or not, some twice, and false candidates of lower scores."""
    studies, lesions, candidates = [], [], []
    for number in range(patients):
        study = f"S{number}"
        studies.append({"patient": f"P{number // 2}", "study": study, "fit": f"f{number % fits}"})
        for k in range(int(rng.integers(0, 4)) if number else 2):
            lesions.append({"study": study, "lesion": f"L{k}"})
            hits = 0 if number == 0 and k == 0 else int(rng.random() < found) * int(rng.integers(1, 3))
            candidates += [{"study": study, "lesion": f"L{k}", "score": rng.beta(4, 2)} for _ in range(hits)]
        candidates += [{"study": study, "lesion": "", "score": rng.beta(2, 3)} for _ in range(int(rng.integers(0, 7)))]
    table = pd.DataFrame(candidates, columns=["study", "lesion", "score"])
    if ties:
        table["score"] = table["score"].round(1).clip(0.1)  # MONAI scores a miss 0
    return {"candidates": table, "lesions": pd.DataFrame(lesions), "studies": pd.DataFrame(studies)}


def of_monai(tables):
    """The curve as MONAI makes it; a lesion that is missed scores 0 there."""
    candidates, lesions = tables["candidates"], tables["lesions"]
    false = candidates.loc[candidates["lesion"] == "", "score"].to_numpy()
    best = candidates.groupby(["study", "lesion"])["score"].max()
    found = np.array([best.get(key, 0.0) for key in lesions.itertuples(index=False, name=None)])
    return compute_froc_curve_data(false, found, len(lesions), len(tables["studies"]))


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10_000), ties=st.booleans())
def test_curve_and_score_are_those_of_monai(seed, ties):
    tables = invented(np.random.default_rng(seed), ties=ties)
    false, sensitivity = of_monai(tables)
    ours = froc_curve(**tables)
    np.testing.assert_allclose(ours[0], false[::-1])
    np.testing.assert_allclose(ours[1], sensitivity[::-1])
    result = froc(**tables, rates=RATES, bootstraps=20)
    score = np.mean([one["value"] for one in result["sensitivity"]])
    assert score == pytest.approx(compute_froc_score(false, sensitivity, RATES))


def test_closed_form():
    """Two lesions found at 0.9 and 0.4, one missed; false ones at 0.8 and 0.6 and, as low as a hit, at 0.4."""
    rows = [("A", "L1", 0.9), ("A", "", 0.8), ("B", "", 0.6), ("B", "L1", 0.4), ("B", "", 0.4), ("B", "L1", 0.1)]
    tables = {
        "candidates": pd.DataFrame(rows, columns=["study", "lesion", "score"]),
        "lesions": pd.DataFrame({"study": ["A", "A", "B"], "lesion": ["L1", "L2", "L1"]}),
        "studies": pd.DataFrame({"patient": ["1", "2"], "study": ["A", "B"], "fit": "f"}),
    }
    false, sensitivity = froc_curve(**tables)
    np.testing.assert_allclose(false, [0, 0, 0.5, 1.0, 1.5])
    np.testing.assert_allclose(sensitivity, [0, 1 / 3, 1 / 3, 1 / 3, 2 / 3])
    result = froc(**tables, rates=(1.0, 1.25, 4.0), bootstraps=50)
    assert [one["value"] for one in result["sensitivity"]] == pytest.approx([1 / 3, 1 / 2, 2 / 3])
    assert (result["found"], result["lesions"], result["candidates"]) == (2, 3, 6)


def test_every_fit_has_its_own_threshold():
    """Scores of the second network are a hundred times smaller: pooled on one scale it would find nothing."""
    one = invented(np.random.default_rng(3))
    other = {name: table.assign(study="other-" + table["study"]) for name, table in one.items()}
    other["studies"] = other["studies"].assign(fit="g", patient="other-" + other["studies"]["patient"])
    other["candidates"] = other["candidates"].assign(score=other["candidates"]["score"] / 100)
    both = {name: pd.concat([one[name], other[name]], ignore_index=True) for name in one}
    alone, pooled = ([rate["value"] for rate in froc(**tables, bootstraps=20)["sensitivity"]] for tables in (one, both))
    assert pooled == pytest.approx(alone)


def test_intervals_hold_the_value_and_shrink_with_patients():
    few, many = (
        froc(**invented(np.random.default_rng(5), patients=patients), bootstraps=300) for patients in (16, 160)
    )
    for result in (few, many):
        for one in result["sensitivity"]:
            assert 0 <= one["low"] <= one["value"] <= one["high"] <= 1
    assert all(
        m["high"] - m["low"] < 0.6 * (f["high"] - f["low"])
        for f, m in zip(few["sensitivity"], many["sensitivity"], strict=True)
    )


def test_a_perfect_detector_has_the_exact_interval_of_its_patients():
    studies = pd.DataFrame({"patient": list("abcdef"), "study": list("ABCDEF"), "fit": "f"})
    lesions = pd.DataFrame({"study": list("ABCDE"), "lesion": "L"})
    result = froc(lesions.assign(score=0.9), lesions, studies, rates=(1.0,), bootstraps=50)
    (one,) = result["sensitivity"]
    assert one["value"] == 1.0
    assert one["low"] == pytest.approx(0.025 ** (1 / 5)), "Clopper and Pearson of 5 of 5 patients with lesions"


def test_no_candidate_at_all_finds_nothing():
    tables = invented(np.random.default_rng(0))
    result = froc(tables["candidates"].iloc[:0], tables["lesions"], tables["studies"], bootstraps=20)
    assert [one["value"] for one in result["sensitivity"]] == [0.0, 0.0, 0.0]


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda t: t | {"candidates": t["candidates"].drop(columns="score")}, "candidates without score"),
        (lambda t: t | {"studies": t["studies"].iloc[1:]}, "not searched"),
        (lambda t: t | {"studies": pd.concat([t["studies"]] * 2)}, "a study twice"),
        (lambda t: t | {"lesions": pd.concat([t["lesions"]] * 2)}, "a lesion twice"),
        (lambda t: t | {"lesions": t["lesions"].iloc[:1]}, "unknown lesions"),
        (lambda t: t | {"candidates": t["candidates"].assign(score=np.nan)}, "not finite"),
    ],
)
def test_tables_that_do_not_belong_together_are_refused(spoil, said):
    with pytest.raises(EvaluationError, match=said):
        froc(**spoil(invented(np.random.default_rng(0), found=1.0)), bootstraps=5)


def test_rates_are_positive_and_one_curve_is_of_one_fit():
    tables = invented(np.random.default_rng(0))
    with pytest.raises(EvaluationError, match="rate"):
        froc(**tables, rates=(0.0,), bootstraps=5)
    with pytest.raises(EvaluationError, match="one fit"):
        froc_curve(**invented(np.random.default_rng(0), fits=2))
