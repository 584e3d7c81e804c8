"""Metrics of weighted predictions, for many weightings at once.

A bootstrap resample of patients is a weight per unit (how often its patient was drawn), so that one matrix of weights
with shape (resample, unit) gives every metric of every resample without copying a prediction. All functions return NaN
where a metric is not defined; none falls back on the classes that happen to be there.
"""

from __future__ import annotations

import numpy as np

from mpmri_monai.sequences import Task


def all_metrics(
    truth: np.ndarray, probabilities: np.ndarray, fits: np.ndarray, weights: np.ndarray, task: Task
) -> dict[str, np.ndarray]:
    """Return every metric by name, each with shape (resample,).

    Args:
        truth: class index of each unit, shape (unit,).
        probabilities: shape (unit, class).
        fits: number of the model that scored each unit, shape (unit,).
        weights: shape (resample, unit).
        task: names the classes.
    """
    matrices = confusion(truth, probabilities.argmax(axis=1), weights, len(task.classes))
    areas = [auc(truth == k, probabilities[:, k], fits, weights) for k in range(len(task.classes))]
    return {
        **from_confusion(matrices, task.ordered),
        **{f"auc_{name}": area for name, area in zip(task.classes, areas, strict=True)},
        "macro_auc": np.mean(areas, axis=0),
    }


def confusion(truth: np.ndarray, predicted: np.ndarray, weights: np.ndarray, classes: int) -> np.ndarray:
    """Return the weighted confusion matrices, shape (resample, true class, predicted class).

    Args:
        truth: class index of each unit, shape (unit,).
        predicted: class index that each unit was given, shape (unit,).
        weights: shape (resample, unit).
        classes: number of classes.
    """
    cells = np.zeros((len(truth), classes * classes))
    cells[np.arange(len(truth)), truth * classes + predicted] = 1
    return (weights @ cells).reshape(-1, classes, classes)


def from_confusion(matrices: np.ndarray, ordered: bool) -> dict[str, np.ndarray]:
    """Return the metrics that confusion matrices determine, each with shape (resample,).

    Macro averages are over all classes and are NaN when a class is absent from the truth. The precision of a class that
    is never predicted is 0, as in scikit-learn with ``zero_division=0``. Quadratic kappa (Cohen 1968) is computed for
    ordered classes only.
    """
    total = matrices.sum(axis=(1, 2))
    hits = np.diagonal(matrices, axis1=1, axis2=2)
    true, given = matrices.sum(axis=2), matrices.sum(axis=1)
    complete = np.where((true > 0).all(axis=1), 1.0, np.nan)
    recall = complete * _ratio(hits, true).mean(axis=1)
    metrics = {
        "accuracy": _ratio(hits.sum(axis=1), total),
        "balanced_accuracy": recall,
        "macro_recall": recall,
        "macro_precision": complete * np.nan_to_num(_ratio(hits, given)).mean(axis=1),
        "macro_f1": complete * _ratio(2 * hits, true + given).mean(axis=1),
    }
    if ordered:
        grade = np.arange(matrices.shape[1])
        cost = (grade[:, None] - grade[None, :]) ** 2
        observed = (matrices * cost).sum(axis=(1, 2)) * total
        by_chance = (true[:, :, None] * given[:, None, :] * cost).sum(axis=(1, 2))
        metrics["quadratic_kappa"] = 1 - _ratio(observed, by_chance)
    return metrics


def auc(positive: np.ndarray, scores: np.ndarray, fits: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the area under the ROC curve for each weighting, shape (resample,).

    The Mann-Whitney form: the share of (positive, negative) pairs in which the positive scores higher, ties counting
    half. Only pairs scored by the same fitted model are compared, since scores of different models have no common
    scale; the pairs of all models are pooled. With one model this is the ordinary AUC.

    Args:
        positive: bool, shape (unit,).
        scores: shape (unit,).
        fits: number of the model that scored each unit, shape (unit,).
        weights: shape (resample, unit).
    """
    won, pairs = np.zeros(len(weights)), np.zeros(len(weights))
    for fit in np.unique(fits):
        chosen = fits == fit
        of_fit = _pairs_won(positive[chosen], scores[chosen], weights[:, chosen])
        won, pairs = won + of_fit[0], pairs + of_fit[1]
    return _ratio(won, pairs)


def _pairs_won(positive: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the weighted number of pairs won by the positive, and of all pairs, each with shape (resample,)."""
    order = np.argsort(scores, kind="stable")
    ordered = scores[order]
    # Units with one score form a tie; sums over ties turn units into distinct scores in ascending order.
    ties = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    ups = np.add.reduceat(weights[:, order] * positive[order], ties, axis=1)
    downs = np.add.reduceat(weights[:, order] * ~positive[order], ties, axis=1)
    below = np.cumsum(downs, axis=1) - downs
    return (ups * (below + downs / 2)).sum(axis=1), ups.sum(axis=1) * downs.sum(axis=1)


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Return the quotient, NaN where the denominator is 0."""
    undefined = np.full(np.broadcast_shapes(numerator.shape, denominator.shape), np.nan)
    return np.divide(numerator, denominator, out=undefined, where=denominator > 0)
