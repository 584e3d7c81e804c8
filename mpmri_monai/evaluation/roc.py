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
    wanted = np.asarray(rates) * false[-1]
    reached = false[np.searchsorted(false, wanted + ROUNDING, side="right") - 1]
    return np.interp(np.maximum(wanted, reached), false, true)


def roc(positive: np.ndarray, scores: np.ndarray, fits: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Return false and true positive rates from corner to corner, or None when no fit has both classes.

    All steps of the curve of one fit; of several, their `mean_curve`.

    Args:
        positive: bool, shape (unit,).
        scores: shape (unit,).
        fits: number of the model that scored each unit, shape (unit,).
    """
    if len(np.unique(fits)) == 1 and positive.any() and not positive.all():
        (false,), (true,) = roc_steps(positive, scores, np.ones((1, len(scores))))
        return false / false[-1], true / true[-1]
    heights = mean_curve(positive, scores, fits)
    # A curve starts in the corner: at rate 0 its grid value is already the upper end of the first step.
    return None if heights is None else (np.r_[0, GRID], np.r_[0, heights])


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
