"""Calibration as external validation asks for it: intercept and slope of each class, with intervals from patients.

For one class against the rest, with l = log(p / (1 - p)) of its predicted probability p (Cox, Biometrika 45, 1958; Van
Calster et al., BMC Medicine 17:230, 2019):

* calibration intercept, or calibration-in-the-large: a in logit P(class) = a + l. Below 0 where the class is predicted
  too often or too surely, 0 where it is right on average.
* calibration slope: b in logit P(class) = a' + b · l. Below 1 where predictions are too extreme, above 1 where they are
  too timid.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import expit, logit

from mpmri_monai.evaluation.scored import Resampling, Scored, or_none
from mpmri_monai.evaluation.temperature import FLOOR

STEPS = 60
"""Newton steps; a fit that needs more has no finite answer."""
CONVERGED = 1e-8
"""Change of a coefficient, in units of log-odds, below which it is found."""
FARTHEST = 50.0
"""A coefficient beyond this runs away to infinity: the class is told apart without a fault."""

SMALL = 100
"""Cases of a class, and as many others, below which calibration is hardly known (Collins, Ogundimu and Altman,
Statistics in Medicine 35, 2016)."""


def calibration_slopes(lesions: Scored, drawn: Resampling) -> dict[str, dict[str, Any]]:
    """Return intercept and slope of each class against the rest, every lesion counting once.

    Args:
        lesions: labelled, with the probabilities that are shown.
        drawn: resamples of their patients; the intervals are value ± Student's t · standard error.

    Returns:
        ``{class: {"observed", "expected", "intercept": {"value", "low", "high"}, "slope": {…}}}``: the number of
        lesions of the class, and the sum of its probabilities. What has no finite value, as when a class is told apart
        without a fault or there is none of it, is None.
    """
    weights = lesions.of_patients(drawn.weights)
    found = {}
    for number, name in enumerate(lesions.task.classes):
        is_class, p = lesions.truth == number, lesions.probabilities[:, number]
        odds = log_odds(p)
        found[name] = {
            "observed": int(is_class.sum()),
            "expected": round(float(p.sum()), 2),
            "intercept": _with_interval(intercepts(is_class, odds, weights), drawn),
            "slope": _with_interval(slopes(is_class, odds, weights), drawn),
        }
    return found


def log_odds(p: np.ndarray) -> np.ndarray:
    """Return log(p / (1 - p)); a written 0 or 1 is taken as half of the last digit away from it."""
    return logit(np.clip(p, FLOOR, 1 - FLOOR))


def intercepts(is_class: np.ndarray, odds: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the calibration intercept for each row of weights, shape (row,); NaN where there is none.

    Args:
        is_class: bool (lesion,).
        odds: log-odds of the prediction (lesion,).
        weights: (row, lesion), not negative.
    """
    value = np.zeros(len(weights))
    for _ in range(STEPS):
        p = expit(odds + value[:, None])
        gradient = (weights * (is_class - p)).sum(axis=1)
        curvature = (weights * p * (1 - p)).sum(axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            step = np.clip(gradient / curvature, -2.0, 2.0)  # Newton from afar would overshoot
        value = value + step
        if not (np.abs(step) > CONVERGED).any():
            break
    return _finite(value, step)


def slopes(is_class: np.ndarray, odds: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the calibration slope for each row of weights, shape (row,); NaN where there is none.

    Arguments as `intercepts`. The intercept beside the slope is fitted with it.
    """
    coefficients = np.tile([0.0, 1.0], (len(weights), 1))
    for _ in range(STEPS):
        p = expit(coefficients[:, :1] + coefficients[:, 1:] * odds)
        residual, spread = weights * (is_class - p), weights * p * (1 - p)
        gradient = np.stack([residual.sum(axis=1), residual @ odds], axis=1)
        a, b, d = spread.sum(axis=1), spread @ odds, spread @ odds**2
        determinant = a * d - b**2
        with np.errstate(divide="ignore", invalid="ignore"):
            step = np.stack([d * gradient[:, 0] - b * gradient[:, 1], a * gradient[:, 1] - b * gradient[:, 0]], axis=1)
            step = np.clip(step / determinant[:, None], -2.0, 2.0)
        coefficients = coefficients + step
        if not (np.abs(step) > CONVERGED).any():
            break
    return _finite(coefficients[:, 1], np.abs(step).max(axis=1))


def _finite(value: np.ndarray, step: np.ndarray) -> np.ndarray:
    """Return the values that were found, the others NaN."""
    with np.errstate(invalid="ignore"):
        found = (np.abs(step) <= CONVERGED) & (np.abs(value) < FARTHEST)
    return np.where(found, value, np.nan)


def _with_interval(values: np.ndarray, drawn: Resampling) -> dict[str, float | None]:
    found = drawn.split(values)
    low, high = drawn.of_difference(found)  # has no bounds either
    return {"value": or_none(found.value), "low": low, "high": high}
