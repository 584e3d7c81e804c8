"""ROC curves of units whose patients may have been drawn several times, or not at all."""

from __future__ import annotations

import numpy as np

GRID = np.linspace(0, 1, 201)
"""False positive rates at which the curves of several models are averaged."""

ROUNDING = 1e-9
"""Weights that differ by less are the same count; (1 - 0.9) * 10 is not 1 in floating point."""


def roc_steps(positive: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return false and true positives, each with shape (resample, threshold + 1), from the strictest threshold down.

    Args:
        positive: bool, shape (unit,).
        scores: shape (unit,); ties share a threshold.
        weights: how often each unit was drawn, shape (resample, unit).
    """
    order = np.argsort(-scores, kind="stable")
    ordered = scores[order]
    ties = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    counts = [
        np.add.reduceat(weights[:, order] * of[order], ties, axis=1).cumsum(axis=1) for of in (~positive, positive)
    ]
    false, true = (np.pad(count, ((0, 0), (1, 0))) for count in counts)
    return false, true


def true_positives(false: np.ndarray, true: np.ndarray, rates: np.ndarray) -> np.ndarray:
    """Return the true positives at given false positive rates, shape (rate,), on straight lines between thresholds.

    Where the curve rises upright at a rate, the upper end counts: it costs no more false positives.

    Args:
        false: false positives, ascending, shape (threshold + 1,).
        true: true positives at the same thresholds.
        rates: in [0, 1].
    """
    return np.interp(np.asarray(rates) * false[-1] + ROUNDING, false, true)


def mean_curve(positive: np.ndarray, scores: np.ndarray, fits: np.ndarray) -> np.ndarray | None:
    """Return the true positive rates at `GRID`, averaged over the fits, or None when no fit has both classes.

    The vertical average, weighted by the number of (positive, negative) pairs of a fit, as the pooled AUC is.

    Args:
        positive: bool, shape (unit,).
        scores: shape (unit,).
        fits: number of the model that scored each unit, shape (unit,).
    """
    curves, pairs = [], []
    for fit in np.unique(fits):
        chosen = fits == fit
        number = positive[chosen].sum(), (~positive[chosen]).sum()
        if min(number):
            false, true = roc_steps(positive[chosen], scores[chosen], np.ones((1, chosen.sum())))
            curves.append(true_positives(false[0], true[0], GRID) / number[0])
            pairs.append(number[0] * number[1])
    return np.average(curves, axis=0, weights=pairs) if curves else None
