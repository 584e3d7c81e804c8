"""The interval of one metric from its values when patients are redrawn."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import stdtrit

from mpmri_monai.evaluation.bootstrap import CONFIDENCE, SAME

METHOD = "patient bootstrap, score interval"
METHOD_IN_WORDS = (
    "Patients are redrawn within their class (a class of one patient together with the class beside it), each with all "
    "lesions, slices and repeats. The variance of the resampled metric, or that of the jackknife over patients where "
    "it is larger, says of how many independent cases the metric is worth; the interval is Wilson's score interval of "
    "so many, with Student's t, whose degrees of freedom come from the number of patients that the metric depends on, "
    "in place of the normal quantile."
)
EXACT = "exact binomial, one case a patient"
EXACT_IN_WORDS = (
    "An accuracy, sensitivity or specificity of exactly 0 or 1 has the exact binomial interval (Clopper and Pearson "
    "1934) of as many cases as there are patients, as if all lesions of a patient were always alike; other perfect "
    "values have none."
)
EFFECTIVE = "exact binomial of the effective number of cases"
EFFECTIVE_IN_WORDS = (
    "Where all cases of each class got one answer, redrawing shows no spread: an accuracy then has the exact binomial "
    "interval of its effective number of cases (Korn and Graubard 1998), and other metrics of decisions have none."
)
LIMITS = (
    "The predictions are taken as fixed: the interval says what other patients would change, and leaves out the "
    "variance of training the model again."
)

RANGES = {"quadratic_kappa": (-1.0, 1.0), "brier": (0.0, 2.0)}
"""Smallest and largest value of the metrics that are not in [0, 1]."""

NO_INTERVAL = {
    "ece": "the calibration error of a small sample is too large by chance, and no interval that was tried covers it"
}

DEFINED = 0.9
"""Share of the resamples in which a metric has to be defined; the rest would no longer stand for the cohort."""


def interval(
    name: str, value: float, resampled: np.ndarray, jackknife: np.ndarray, stratum: np.ndarray
) -> dict[str, Any]:
    """Return a metric with its interval, ``{"value", "low", "high", "resamples", "method", "why", "note"}``.

    The value, scaled to [0, 1], is taken as a share of an effective number of cases: of so many that a binomial share
    has the variance that redrawing patients gives; `score_interval` follows (as Dean and Pavlou, Electronic Journal of
    Statistics 9, 2015, for samples of clusters). The variance is that over the resamples, or the jackknife's where it
    is larger: the same patient drawn twice makes ties, which hide some of the spread of average precision. Normal
    quantiles are replaced by Student's t with Satterthwaite's degrees of freedom. Percentile, BCa, basic and t
    intervals cover less with few patients (see ``docs/coverage.md``).

    Args:
        name: of the metric; gives its range.
        value: of the patients as they are; NaN where the metric is not defined.
        resampled: with the weights of `bootstrap.resamples`, shape (resample,).
        jackknife: with the weights of `bootstrap.left_out`, shape (patient,).
        stratum: of each patient, shape (patient,).

    Returns:
        ``resamples`` counts those in which the metric is defined. ``why`` is there when ``value`` or ``low`` and
        ``high`` are None: there is no interval where all resamples agree, as with a perfect result, since one of
        width 0 would claim certainty. ``note`` is there when resamples had to be left out.
    """
    defined = resampled[np.isfinite(resampled)]
    found = {"value": None, "low": None, "high": None, "resamples": int(defined.size), "method": None}
    if not np.isfinite(value):
        return found | {"why": "not defined for these cases"}
    found["value"] = float(value)
    if why := _why_not(name, resampled, defined, jackknife, stratum):
        return found | {"why": why}
    smallest, largest = RANGES.get(name, (0.0, 1.0))
    width = largest - smallest
    u = (value - smallest) / width
    if not SAME < u < 1 - SAME:
        return found | {"why": "a perfect value has no spread"}
    variance, freedom = jackknife_variance(jackknife, stratum)
    variance = max(float(np.var(defined)), variance) / width**2
    low, high = score_interval(u, variance, stdtrit(freedom, (1 + CONFIDENCE) / 2))
    found |= {"low": float(smallest + width * low), "high": float(smallest + width * high), "method": METHOD}
    if defined.size < resampled.size:
        found["note"] = f"not defined in {resampled.size - defined.size} of {resampled.size} resamples, left out"
    return found


def score_interval(share: float, variance: float, quantile: float) -> tuple[float, float]:
    """Return the interval of Wilson (1927) for a share in (0, 1) of as many cases as give it this variance.

    m = share (1 - share) / variance independent cases would know the share as well; the interval holds every p with
    |share - p| ≤ quantile √(p (1 - p) / m), so that it stays in [0, 1] and is longer towards 0.5.
    """
    cases = share * (1 - share) / variance
    shrunk = quantile**2 / cases
    middle = (share + shrunk / 2) / (1 + shrunk)
    reach = quantile / (1 + shrunk) * np.sqrt(share * (1 - share) / cases + (shrunk / (2 * quantile)) ** 2)
    return middle - reach, middle + reach


def jackknife_variance(jackknife: np.ndarray, stratum: np.ndarray) -> tuple[float, float]:
    """Return the jackknife's variance of a metric, and Satterthwaite's degrees of freedom of it, at least 1.

    A stratum of n patients adds v = (n - 1) / n Σ (θ_i - mean θ)² with n - 1 degrees of freedom; the sum has (Σ v)² /
    Σ v² / (n - 1). For the sensitivity of one class they are the number of that class's patients less 1. A stratum of
    one patient adds nothing.

    Args:
        jackknife: metric without each patient, by the weights of `bootstrap.left_out`, shape (patient,).
        stratum: of each patient, shape (patient,).
    """
    groups = [jackknife[stratum == name] for name in np.unique(stratum)]
    free = np.array([max(1, len(values) - 1) for values in groups])
    variances = np.array([np.var(values) * (len(values) - 1) for values in groups])
    total = float(variances.sum())
    return total, max(1.0, total**2 / float((variances**2 / free).sum())) if total > 0 else 1.0


def _why_not(
    name: str, resampled: np.ndarray, defined: np.ndarray, jackknife: np.ndarray, stratum: np.ndarray
) -> str | None:
    """Return why there can be no interval, if so."""
    if name in NO_INTERVAL:
        return NO_INTERVAL[name]
    if np.unique(stratum, return_counts=True)[1].min() == 1:
        return "one patient says nothing about the spread"
    if defined.size < DEFINED * resampled.size:
        return f"not defined in {resampled.size - defined.size} of {resampled.size} resamples"
    if np.ptp(defined) < SAME:
        return "all resamples agree, which says nothing about the spread"
    if not np.isfinite(jackknife).all() or np.ptp(jackknife) < SAME:
        return "the metric hangs on a single patient"
    return None
