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
HALVINGS = 40
"""Of a step; one that is halved so often is as good as none."""
CONVERGED = 1e-8
"""Change of a coefficient, in units of log-odds, below which it is found; and of a likelihood that is rounding."""
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
    return _likeliest(is_class, odds, np.ones((1, len(odds))), weights)[:, 0]


def slopes(is_class: np.ndarray, odds: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the calibration slope for each row of weights, shape (row,); NaN where there is none.

    Arguments as `intercepts`. The intercept beside the slope is fitted with it.
    """
    return _likeliest(is_class, np.zeros(len(odds)), np.stack([np.ones(len(odds)), odds]), weights)[:, 1]


def _likeliest(is_class: np.ndarray, offset: np.ndarray, terms: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the coefficients β (row, term) with the greatest likelihood of logit P = offset + β · terms.

    Newton's method; a step that would lower the likelihood, which has a single peak, is halved until it does not. NaN
    where there is no peak.
    """

    def likelihood(beta: np.ndarray) -> np.ndarray:
        odds = offset + beta @ terms
        with np.errstate(invalid="ignore"):  # of rows without a peak
            return (weights * (is_class * odds - np.logaddexp(0, odds))).sum(axis=1)

    beta = np.zeros((len(weights), len(terms)))
    for _ in range(STEPS):
        p = expit(offset + beta @ terms)
        gradient = (weights * (is_class - p)) @ terms.T
        curvature = np.einsum("rl,il,jl->rij", weights * p * (1 - p), terms, terms)
        with np.errstate(invalid="ignore"):  # of those that were flat before
            curvature[~(np.linalg.det(curvature) > 0)] = np.nan  # flat: no peak
        step = np.linalg.solve(curvature, gradient[:, :, None])[:, :, 0]
        least = likelihood(beta) - CONVERGED
        for _ in range(HALVINGS):
            worse = likelihood(beta + step) < least
            if not worse.any():
                break
            step[worse] /= 2
        beta = beta + step
        if not (np.abs(step) > CONVERGED).any():
            break
    with np.errstate(invalid="ignore"):
        found = (np.abs(step).max(axis=1) <= CONVERGED) & (np.abs(beta).max(axis=1) < FARTHEST)
    return np.where(found[:, None], beta, np.nan)


def _with_interval(values: np.ndarray, perfect: float) -> dict[str, float | None]:
    """Return what all patients give, first in ``values``, with the spread of those without each patient."""
    value, jackknife = float(values[0]), values[1:]
    low = high = p = None
    if np.isfinite(values).all() and len(jackknife) > 1:
        variance, freedom = jackknife_variance(jackknife, np.zeros(len(jackknife)))
        low, high = around(value, variance, freedom)
        p = None if low is None else float(2 * t.sf(abs(value - perfect) / np.sqrt(variance), freedom))
    return {"value": or_none(value), "low": low, "high": high, "p": p}
