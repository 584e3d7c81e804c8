"""Metrics of weighted predictions, for many weightings at once.

A bootstrap resample of patients is a weight per unit (how often its patient was drawn), so that one matrix of weights
with shape (resample, unit) gives every metric of every resample without copying a prediction. All functions return NaN
where a metric is not defined; none falls back on the classes that happen to be there.
"""

from __future__ import annotations

import numpy as np

from mpmri_monai.sequences import Task

ECE_BINS = 10
"""Bins of equal width for the expected calibration error; the number that most publications use."""


def all_metrics(
    truth: np.ndarray, probabilities: np.ndarray, fits: np.ndarray, weights: np.ndarray, task: Task
) -> dict[str, np.ndarray]:
    """Return every metric by name, each with shape (resample,).

    Args:
        truth: class index of each unit, shape (unit,).
        probabilities: shape (unit, class).
        fits: number of the model that scored each unit, shape (unit,).
        weights: shape (resample, unit), not negative.
        task: names the classes.
    """
    matrices = confusion(truth, probabilities.argmax(axis=1), weights, len(task.classes))
    areas, precisions = {}, {}
    for k, name in enumerate(task.classes):
        areas[f"auc_{name}"], precisions[f"average_precision_{name}"] = ranked(
            truth == k, probabilities[:, k], fits, weights
        )
    return {
        **from_confusion(matrices, task),
        **areas,
        "macro_auc": np.mean(list(areas.values()), axis=0),
        **precisions,
        "macro_average_precision": np.mean(list(precisions.values()), axis=0),
        "brier": brier(truth, probabilities, weights),
        "ece": ece(truth, probabilities, weights),
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


def from_confusion(matrices: np.ndarray, task: Task) -> dict[str, np.ndarray]:
    """Return the metrics that confusion matrices determine, each with shape (resample,).

    Sensitivity and specificity are of one class against the rest; a task of two classes also has them without a
    name, of its last class. Macro averages are over all classes and are NaN when a class is absent from the truth.
    The precision of a class that is never predicted is 0, as in scikit-learn with ``zero_division=0``. Quadratic
    kappa (Cohen 1968) is computed for ordered classes only.
    """
    total = matrices.sum(axis=(1, 2))
    hits = np.diagonal(matrices, axis1=1, axis2=2)
    true, given = matrices.sum(axis=2), matrices.sum(axis=1)
    complete = np.where((true > 0).all(axis=1), 1.0, np.nan)
    sensitivity = _ratio(hits, true)
    negatives = total[:, None] - true
    specificity = _ratio(negatives - (given - hits), negatives)
    recall = complete * sensitivity.mean(axis=1)
    metrics = {
        "accuracy": _ratio(hits.sum(axis=1), total),
        "balanced_accuracy": recall,
        "macro_recall": recall,
        "macro_precision": complete * np.nan_to_num(_ratio(hits, given)).mean(axis=1),
        "macro_f1": complete * _ratio(2 * hits, true + given).mean(axis=1),
    }
    if task.ordered:
        metrics["quadratic_kappa"] = _quadratic_kappa(matrices)
    if len(task.classes) == 2:
        metrics |= {"sensitivity": sensitivity[:, -1], "specificity": specificity[:, -1]}
    metrics |= {f"sensitivity_{name}": sensitivity[:, k] for k, name in enumerate(task.classes)}
    return metrics | {f"specificity_{name}": specificity[:, k] for k, name in enumerate(task.classes)}


def decision_metrics(task: Task) -> set[str]:
    """Return the names of the metrics that decisions alone determine."""
    classes = len(task.classes)
    return set(from_confusion(np.ones((1, classes, classes)), task))


def brier(truth: np.ndarray, probabilities: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the Brier score (Brier 1950), shape (resample,): squared error summed over all classes, in [0, 2].

    For two classes it is twice the mean squared error of one probability, which some software calls Brier score.
    """
    errors = ((probabilities - np.eye(probabilities.shape[1])[truth]) ** 2).sum(axis=1)
    return _ratio(weights @ errors, weights.sum(axis=1))


def ece(truth: np.ndarray, probabilities: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the expected calibration error of the predicted class, shape (resample,), in [0, 1].

    Units are binned by the highest probability, `ECE_BINS` bins of equal width (0, 0.1], (0.1, 0.2], …; the error is
    the absolute difference of mean probability and share of right predictions in a bin, averaged over the bins by
    their weight (Naeini 2015, Guo 2017). It is biased upwards in small samples, where chance alone makes differences.
    """
    confidence = probabilities.max(axis=1)
    bins = np.clip(np.ceil(confidence * ECE_BINS).astype(int) - 1, 0, ECE_BINS - 1)
    gaps = np.zeros((len(truth), ECE_BINS))
    gaps[np.arange(len(truth)), bins] = confidence - (probabilities.argmax(axis=1) == truth)
    return _ratio(np.abs(weights @ gaps).sum(axis=1), weights.sum(axis=1))


def auc(positive: np.ndarray, scores: np.ndarray, fits: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the area under the ROC curve for each weighting, shape (resample,); see `ranked`."""
    return ranked(positive, scores, fits, weights)[0]


def ranked(
    positive: np.ndarray, scores: np.ndarray, fits: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the metrics of the order of the scores for each weighting: AUC and average precision.

    AUC is in the Mann-Whitney form: the share of (positive, negative) pairs in which the positive scores higher, ties
    counting half. Only pairs scored by the same fitted model are compared, since scores of different models have no
    common scale; the pairs of all models are pooled. Average precision is the mean over the positives of the
    precision among the units of the same model that score as high or higher, as in scikit-learn. With one model these
    are the ordinary ones.

    Args:
        positive: bool, shape (unit,).
        scores: shape (unit,).
        fits: number of the model that scored each unit, shape (unit,).
        weights: shape (resample, unit).
    """
    won, pairs, precision, positives = np.zeros((4, len(weights)))
    for fit in np.unique(fits):
        chosen = fits == fit
        ups, downs = _by_score(positive[chosen], scores[chosen], weights[:, chosen])
        below, above = np.cumsum(downs, axis=1), np.cumsum(ups[:, ::-1], axis=1)[:, ::-1]
        all_ups, all_downs = above[:, 0], below[:, -1]
        won += (ups * (below - downs / 2)).sum(axis=1)
        pairs += all_ups * all_downs
        reached = above + all_downs[:, None] - below + downs
        precision += (ups * np.divide(above, reached, out=np.zeros_like(above), where=reached > 0)).sum(axis=1)
        positives += all_ups
    mixed = np.where(pairs > 0, 1.0, np.nan)  # without a negative the precision would be 1 whatever the scores
    return _ratio(won, pairs), mixed * _ratio(precision, positives)


def _by_score(positive: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the weights of positives and of negatives at each distinct score, ascending, shape (resample, score)."""
    order = np.argsort(scores, kind="stable")
    ordered = scores[order]
    ties = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    weights, positive = weights[:, order], positive[order]
    ups, downs = weights * positive, weights * ~positive
    if len(ties) == len(ordered):
        return ups, downs
    return np.add.reduceat(ups, ties, axis=1), np.add.reduceat(downs, ties, axis=1)


def _quadratic_kappa(matrices: np.ndarray) -> np.ndarray:
    total, true, given = matrices.sum(axis=(1, 2)), matrices.sum(axis=2), matrices.sum(axis=1)
    grade = np.arange(matrices.shape[1])
    cost = (grade[:, None] - grade[None, :]) ** 2
    observed = (matrices * cost).sum(axis=(1, 2)) * total
    by_chance = (true[:, :, None] * given[:, None, :] * cost).sum(axis=(1, 2))
    return 1 - _ratio(observed, by_chance)


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Return the quotient, NaN where the denominator is 0."""
    undefined = np.full(np.broadcast_shapes(numerator.shape, denominator.shape), np.nan)
    return np.divide(numerator, denominator, out=undefined, where=denominator > 0)
