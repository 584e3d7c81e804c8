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
from scipy.stats import t

from mpmri_monai.evaluation.bootstrap import left_out
from mpmri_monai.evaluation.exact import holm
from mpmri_monai.evaluation.intervals import jackknife_variance
from mpmri_monai.evaluation.scored import Scored, around, or_none
from mpmri_monai.evaluation.temperature import FLOOR

PERFECT = {"intercept": 0.0, "slope": 1.0}

STEPS = 60
"""Newton steps; a fit that needs more has no finite answer."""
CONVERGED = 1e-8
"""Change of a coefficient, in units of log-odds, below which it is found."""
FARTHEST = 50.0
"""A coefficient beyond this runs away to infinity: the class is told apart without a fault."""

SMALL = 100
"""Cases of a class, and as many others, below which calibration is hardly known (Collins, Ogundimu and Altman,
Statistics in Medicine 35, 2016)."""


def calibration_slopes(lesions: Scored) -> dict[str, dict[str, Any]]:
    """Return intercept and slope of each class against the rest, every lesion counting once.

    Their spread is that of the jackknife over patients, whatever their class: how many patients of a class there are is
    itself what an intercept is about, so that resamples with as many of each class as here would be too much alike.

    Args:
        lesions: labelled, with the probabilities that are shown.

    Returns:
        ``{class: {"observed", "expected", "intercept", "slope"}}``: the number of lesions of the class, the sum of its
        probabilities, and ``{"value", "low", "high", "p", "p_holm"}`` of both: the interval is value ± Student's t ·
        standard error, p that of perfect calibration, corrected by Holm over all of them. What has no finite value, as
        when a class is told apart without a fault or there is none of it, is None.
    """
    patients, of_patient = np.unique(lesions.patients, return_inverse=True)
    everybody = np.zeros(len(patients))
    weights = np.vstack([np.ones(len(patients)), left_out(everybody)])[:, of_patient]
    found: dict[str, dict[str, Any]] = {}
    for number, name in enumerate(lesions.task.classes):
        is_class, p = lesions.truth == number, lesions.probabilities[:, number]
        odds = log_odds(p)
        found[name] = {
            "observed": int(is_class.sum()),
            "expected": round(float(p.sum()), 2),
            "intercept": _with_interval(intercepts(is_class, odds, weights), PERFECT["intercept"]),
            "slope": _with_interval(slopes(is_class, odds, weights), PERFECT["slope"]),
        }
    parts = [one[part] for one in found.values() for part in PERFECT]
    for part, corrected in zip(parts, holm([part["p"] for part in parts]), strict=True):
        part["p_holm"] = corrected
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


def _with_interval(values: np.ndarray, perfect: float) -> dict[str, float | None]:
    """Return what all patients give, first in ``values``, with the spread of those without each patient."""
    value, jackknife = float(values[0]), values[1:]
    low = high = p = None
    if np.isfinite(values).all() and len(jackknife) > 1:
        variance, freedom = jackknife_variance(jackknife, np.zeros(len(jackknife)))
        low, high = around(value, variance, freedom)
        p = None if low is None else float(2 * t.sf(abs(value - perfect) / np.sqrt(variance), freedom))
    return {"value": or_none(value), "low": low, "high": high, "p": p}
