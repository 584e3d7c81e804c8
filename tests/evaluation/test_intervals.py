"""Intervals against closed forms."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, t

from mpmri_monai.evaluation.bootstrap import left_out, redrawn, strata
from mpmri_monai.evaluation.intervals import interval, jackknife_variance, score_interval
from mpmri_monai.sequences import GRADES, TASKS


def of_mean(values, stratum, resamples=4000, name="accuracy"):
    """Interval of the mean of one value a patient."""
    weights = redrawn(stratum, resamples, np.random.default_rng(0))
    means = [(w @ values) / w.sum(axis=1) for w in (np.ones((1, len(values))), weights, left_out(stratum))]
    return interval(name, means[0][0], means[1], means[2], stratum)


def test_score_interval_is_wilsons():
    """With the binomial variance and the normal quantile; scipy has it for shares."""
    expected = binomtest(17, 20).proportion_ci(0.95, method="wilson")
    assert score_interval(0.85, 0.85 * 0.15 / 20, 1.959963984540054) == pytest.approx(tuple(expected), abs=1e-12)


def test_share_of_patients_is_wilsons_with_t_and_unbiased_variance():
    values = np.r_[np.ones(30), np.zeros(10)]
    found = of_mean(values, np.zeros(40, int), resamples=200)
    expected = score_interval(0.75, 0.75 * 0.25 / 39, t.ppf(0.975, 39))
    # The variance is the larger of two; with few resamples theirs is above the jackknife's by chance, or not at all.
    assert (found["low"], found["high"]) == pytest.approx(expected, abs=0.02)
    assert found["high"] - found["low"] >= expected[1] - expected[0] - 1e-12


def test_variance_of_a_mean_is_unbiased():
    """s² / n, where drawing n of n would give (n - 1) / n of it: 5/6 with six patients."""
    values = np.array([0.0, 0, 1, 1, 0, 1])
    weights = redrawn(np.zeros(6, int), 200_000, np.random.default_rng(0))
    assert np.var(weights @ values / 6) == pytest.approx(np.var(values, ddof=1) / 6, rel=0.02)
    assert jackknife_variance(left_out(np.zeros(6, int)) @ values / 6, np.zeros(6, int)) == pytest.approx(
        (np.var(values, ddof=1) / 6, 5)
    )


def test_degrees_of_freedom_are_those_of_welch():
    """Of the mean of two strata of equal weight: Welch and Satterthwaite's formula."""
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=7), 3 * rng.normal(size=7)
    stratum = np.repeat([0, 1], 7)
    va, vb = np.var(a, ddof=1) / 7, np.var(b, ddof=1) / 7
    found = jackknife_variance(left_out(stratum) @ np.r_[a, b] / 14, stratum)
    assert found == pytest.approx(((va + vb) / 4, (va + vb) ** 2 / (va**2 / 6 + vb**2 / 6)))


@settings(max_examples=50, deadline=None)
@given(share=st.floats(0.001, 0.999), cases=st.floats(1, 1e4), quantile=st.floats(1, 13))
def test_interval_holds_the_value_and_stays_in_range(share, cases, quantile):
    low, high = score_interval(share, share * (1 - share) / cases, quantile)
    assert -1e-12 <= low <= share <= high <= 1 + 1e-12
    longer = score_interval(share, share * (1 - share) / cases * 2, quantile)
    assert longer[0] <= low + 1e-12
    assert longer[1] >= high - 1e-12


@settings(max_examples=30, deadline=None)
@given(sizes=st.lists(st.integers(1, 9), min_size=1, max_size=3), seed=st.integers(0, 2**32))
def test_strata_keep_their_weight(sizes, seed):
    stratum = np.repeat(np.arange(len(sizes)), sizes)
    for weights in (redrawn(stratum, 20, np.random.default_rng(seed)), left_out(stratum)):
        assert (weights >= 0).all()
        for name, size in enumerate(sizes):
            np.testing.assert_allclose(weights[:, stratum == name].sum(axis=1), size)


@pytest.mark.parametrize(("name", "smallest", "largest"), [("quadratic_kappa", -1, 1), ("brier", 0, 2)])
def test_ranges_other_than_the_unit_interval(name, smallest, largest):
    values = np.r_[np.ones(5), np.zeros(9)]
    plain = of_mean(values, np.zeros(14, int))
    width = largest - smallest
    scaled = of_mean(smallest + width * values, np.zeros(14, int), name=name)
    for end in ("value", "low", "high"):
        assert scaled[end] == pytest.approx(smallest + width * plain[end])


@pytest.mark.parametrize(
    ("values", "stratum", "why"),
    [
        (np.ones(9), np.zeros(9, int), "agree"),
        (np.arange(9) / 9, np.r_[np.zeros(8, int), 1], "one patient"),
        (np.r_[np.full(8, np.nan), 1], np.zeros(9, int), "not defined"),
    ],
)
def test_no_interval_says_why(values, stratum, why):
    found = of_mean(values, stratum)
    assert (found["low"], found["high"], found["method"]) == (None, None, None)
    assert why in found["why"]


def test_calibration_error_has_no_interval():
    found = of_mean(np.arange(9) / 9, np.zeros(9, int), name="ece")
    assert found["value"] == pytest.approx(4 / 9)
    assert found["low"] is None
    assert "too large by chance" in found["why"]


def test_resamples_without_a_value_are_counted_and_said():
    values = np.tile([0.0, 1], 5)
    stratum = np.zeros(10, int)
    resampled = redrawn(stratum, 100, np.random.default_rng(0)) @ values / 10
    jackknife = left_out(stratum) @ values / 10
    resampled[:7] = np.nan
    found = interval("accuracy", 0.5, resampled, jackknife, stratum)
    assert found["resamples"] == 93
    assert found["note"] == "not defined in 7 of 100 resamples, left out"
    resampled[:20] = np.nan
    found = interval("accuracy", 0.5, resampled, jackknife, stratum)
    assert found["low"] is None
    assert "20 of 100" in found["why"]


@given(st.lists(st.integers(0, 4), min_size=3, max_size=3).filter(sum))
@example([1, 5, 6])
@example([5, 6, 1])
@example([1, 1, 1])
def test_classes_of_one_patient_join_the_class_beside_them(sizes):
    labels = np.repeat(GRADES, sizes)
    rows = pd.DataFrame({"patient": [f"P{number:02d}" for number in range(len(labels))], "label": labels})
    stratum = strata(rows, TASKS["hcc_grade"]).to_numpy()
    counts = np.unique(stratum, return_counts=True)[1]
    assert counts.min() > 1 or len(labels) == 1
    assert (np.diff(stratum) >= 0).all()  # never over a class that stays by itself
    assert len(counts) >= sum(size > 1 for size in sizes)
