"""Calibration intercept and slope, against scikit-learn, closed forms and cohorts whose truth is known."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, softmax
from sklearn.linear_model import LogisticRegression

from mpmri_monai.evaluation.calibration_slope import PERFECT, calibration_slopes, intercepts, log_odds, slopes
from mpmri_monai.evaluation.scored import scored
from mpmri_monai.sequences import TASKS, Task

TASK = Task("two", "two", ("no", "yes"), ordered=False, patient_level=False)
GRADE = TASKS["hcc_grade"]
SAME = 1e-4
"""Log-odds: what scikit-learn's own stopping rule leaves."""


def drawn_cases(seed, n=300, slope=1.0, intercept=0.0):
    rng = np.random.default_rng(seed)
    odds = rng.normal(0, 1.5, n)
    return rng.random(n) < expit(intercept + slope * odds), odds


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000))
def test_the_slope_is_that_of_logistic_regression_with_weights_as_repetitions(seed):
    is_class, odds = drawn_cases(seed)
    weights = np.random.default_rng(seed).integers(0, 3, (1, len(odds)))
    repeated = np.repeat(np.arange(len(odds)), weights[0])
    oracle = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(odds[repeated, None], is_class[repeated])
    assert slopes(is_class, odds, weights)[0] == pytest.approx(oracle.coef_[0, 0], abs=SAME)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000), extreme=st.floats(1, 6))
def test_very_sure_predictions_of_few_lesions_have_a_slope_too(seed, extreme):
    is_class, odds = drawn_cases(seed, 40)
    sure = extreme * odds
    least = sure[is_class].min() if is_class.any() else np.inf
    if not is_class.any() or is_class.all() or least >= sure[~is_class].max():
        return  # told apart without a fault
    oracle = LogisticRegression(C=np.inf, tol=1e-10, max_iter=2000).fit(sure[:, None], is_class)
    once = np.ones((1, 40))
    assert slopes(is_class, sure, once)[0] == pytest.approx(oracle.coef_[0, 0], abs=SAME)
    (level,) = intercepts(is_class, sure, once)
    assert expit(sure + level).sum() == pytest.approx(is_class.sum(), abs=1e-6)


def test_the_intercept_makes_the_mean_probability_the_share_of_the_class():
    is_class, odds = drawn_cases(1, intercept=-0.7)
    (found,) = intercepts(is_class, odds, np.ones((1, len(odds))))
    assert expit(odds + found).mean() == pytest.approx(is_class.mean(), abs=1e-8)
    assert found < 0


def test_predictions_twice_as_extreme_have_half_the_slope_and_shifted_ones_the_opposite_intercept():
    is_class, odds = drawn_cases(2)
    once = np.ones((1, len(odds)))
    assert slopes(is_class, 2 * odds, once)[0] == pytest.approx(slopes(is_class, odds, once)[0] / 2)
    assert intercepts(is_class, odds + 0.4, once)[0] == pytest.approx(intercepts(is_class, odds, once)[0] - 0.4)


def test_a_class_told_apart_without_fault_has_no_slope_and_one_that_is_absent_nothing():
    odds = np.linspace(-3, 3, 40)
    once = np.ones((1, 40))
    assert np.isnan(slopes(odds > 0, odds, once)[0])
    assert np.isfinite(intercepts(odds > 0, odds, once)[0])
    assert np.isnan(intercepts(np.zeros(40, bool), odds, once)[0])


def test_each_row_of_weights_is_fitted_by_itself():
    is_class, odds = drawn_cases(3)
    rng = np.random.default_rng(0)
    weights = rng.integers(0, 3, (5, len(odds))).astype(float)
    together = slopes(is_class, odds, weights)
    assert together == pytest.approx([slopes(is_class, odds, weights[i : i + 1])[0] for i in range(5)])


def test_certain_probabilities_have_finite_odds():
    assert np.isfinite(log_odds(np.array([0.0, 1.0]))).all()


def table(seed, slope, patients=120):
    is_class, odds = drawn_cases(seed, patients, slope)
    p = expit(odds)
    names = [f"P{k:03d}" for k in range(patients)]
    columns = {"task": "two", "patient": names, "study": names, "lesion": "L1", "sample": "", "site": "B"}
    columns |= {"repeat": 0, "outer": 0, "inner": "", "role": "test", "label": np.where(is_class, "yes", "no")}
    return pd.DataFrame(columns | {"p_no": 1 - p, "p_yes": p})


def found_in(seed, slope):
    return calibration_slopes(scored(table(seed, slope), TASK, "lesion"))


def test_intervals_hold_the_true_slope_about_as_often_as_they_say():
    found = [found_in(seed, 1.0)["yes"] for seed in range(40)]
    held = [one["slope"]["low"] <= 1 <= one["slope"]["high"] for one in found]
    assert sum(held) >= 34
    level = [one["intercept"]["low"] <= 0 <= one["intercept"]["high"] for one in found]
    assert sum(level) >= 34


def test_predictions_that_are_too_extreme_are_found_out():
    one = found_in(0, 0.4)["yes"]
    assert one["slope"]["high"] < 1
    assert one["observed"] == (table(0, 0.4)["label"] == "yes").sum()
    assert one["expected"] == pytest.approx(table(0, 0.4)["p_yes"].sum(), abs=0.01)


def clustered_cases(seed, patients=60):
    """Lesions of three ordered classes, one to three a patient and alike, with exactly right probabilities."""
    rng, rows = np.random.default_rng(seed), []
    for k in range(patients):
        of_patient = rng.normal()
        for lesion in range(rng.integers(1, 4)):
            odds = np.array([-1, -0.2, 1]) * 1.4 * (of_patient + rng.normal())
            p = softmax(odds)
            found = dict(zip(("p_well", "p_moderately", "p_poorly"), p, strict=True))
            rows.append(
                {"patient": f"P{k:03d}", "lesion": f"L{lesion}", "label": rng.choice(GRADE.classes, p=p)} | found
            )
    fixed = {
        "task": "hcc_grade",
        "study": "s",
        "sample": "",
        "site": "B",
        "repeat": 0,
        "outer": 0,
        "inner": "",
        "role": "test",
    }
    return scored(pd.DataFrame(rows).assign(**fixed), GRADE, "lesion")


def test_lesions_of_one_patient_and_six_looks_call_a_right_model_off_about_once_in_twenty():
    found = [calibration_slopes(clustered_cases(seed)) for seed in range(60)]
    off = [any(one[part]["p_holm"] < 0.05 for one in classes.values() for part in PERFECT) for classes in found]
    assert sum(off) <= 3 + 3 * 1.7  # three standard errors of one in twenty
    intercepts_held = [one["intercept"]["low"] <= 0 <= one["intercept"]["high"] for c in found for one in c.values()]
    assert np.mean(intercepts_held) > 0.92


def test_a_single_patient_has_no_interval():
    one = calibration_slopes(clustered_cases(0, patients=1))
    assert {classes["intercept"]["p_holm"] for classes in one.values()} == {None}
