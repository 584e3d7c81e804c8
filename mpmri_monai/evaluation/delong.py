"""DeLong's interval and test of areas under ROC curves, for units that are independent: one a patient, one model.

E. DeLong, D. DeLong and D. Clarke-Pearson, Biometrics 44 (1988) 837-845; by ranks as X. Sun and W. Xu, IEEE Signal
Processing Letters 21 (2014) 1389-1393.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import norm, rankdata

from mpmri_monai.errors import EvaluationError
from mpmri_monai.evaluation.bootstrap import CONFIDENCE, SAME


def delong_interval(positive: np.ndarray, scores: np.ndarray) -> tuple[float, float, float]:
    """Return the AUC with its Wald interval, cut at 0 and 1.

    Args:
        positive: bool, shape (unit,).
        scores: shape (unit,); ties count half.

    Returns:
        ``(auc, low, high)``; low and high are NaN where the estimated variance is 0, as for a perfect separation.

    Raises:
        EvaluationError: fewer than two positives or two negatives.
    """
    (area,), covariance = _areas(positive, np.asarray(scores, float)[None])
    if covariance[0, 0] < SAME**2:
        return float(area), float("nan"), float("nan")
    half = norm.ppf((1 + CONFIDENCE) / 2) * np.sqrt(covariance[0, 0])
    return float(area), float(max(0, area - half)), float(min(1, area + half))


def delong_test(positive: np.ndarray, first: np.ndarray, second: np.ndarray) -> dict[str, float | None]:
    """Return the difference of two AUCs of the same units, with interval and two-sided p-value.

    Args:
        positive: bool, shape (unit,).
        first: scores of one model, shape (unit,).
        second: scores of the other.

    Returns:
        ``{"a", "b", "difference", "low", "high", "z", "p"}``, difference = a - b; the last four are None where the
        estimated variance of the difference is 0.

    Raises:
        EvaluationError: fewer than two positives or two negatives.
    """
    (a, b), covariance = _areas(positive, np.stack([first, second]).astype(float))
    difference = a - b
    deviation = np.sqrt(max(0.0, covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]))
    result: dict[str, float | None] = {"a": float(a), "b": float(b), "difference": float(difference)}
    if deviation < SAME:
        return result | dict.fromkeys(("low", "high", "z", "p"))
    half = norm.ppf((1 + CONFIDENCE) / 2) * deviation
    z = difference / deviation
    return result | {
        "low": float(difference - half),
        "high": float(difference + half),
        "z": float(z),
        "p": float(2 * norm.sf(abs(z))),
    }


def _areas(positive: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the AUCs, shape (model,), and their covariance, shape (model, model), of scores (model, unit).

    The placement of a positive is the share of negatives below it: its rank among all less its rank among positives.
    """
    positive = np.asarray(positive, bool)
    positives, negatives = int(positive.sum()), int((~positive).sum())
    if min(positives, negatives) < 2:
        raise EvaluationError(
            expected="at least two positives and two negatives for DeLong's variance",
            found=f"{positives} positives, {negatives} negatives",
        )
    ranks = rankdata(scores, axis=1)
    above = (ranks[:, positive] - rankdata(scores[:, positive], axis=1)) / negatives
    below = 1 - (ranks[:, ~positive] - rankdata(scores[:, ~positive], axis=1)) / positives
    covariance = np.atleast_2d(np.cov(above)) / positives + np.atleast_2d(np.cov(below)) / negatives
    return above.mean(axis=1), covariance
