"""From a predictions table to metrics with intervals, at slice, lesion and patient level."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import roc_curve

from mpmri_monai.errors import EvaluationError
from mpmri_monai.evaluation import metrics
from mpmri_monai.evaluation.bootstrap import CONFIDENCE, interval, resamples
from mpmri_monai.evaluation.levels import FIT, RULES, UNIT, at_level, levels_of, tested_rows
from mpmri_monai.evaluation.predictions import PROBABILITY, check_predictions
from mpmri_monai.sequences import Task

SCHEMA = "mpmri-monai/metrics/1"
CHUNK = 4_000_000
"""Elements of the weights that are worked on at once: 32 MB in float64."""

ROC_GRID = np.linspace(0, 1, 201)
"""False positive rates at which the curves of several models are averaged."""


def evaluate(
    predictions: pd.DataFrame, task: Task, *, role: str = "test", bootstraps: int = 2000, seed: int = 0
) -> dict[str, Any]:
    """Return the metrics of one role as JSON-like content, with patient-bootstrap intervals.

    Everything predicted for the role counts, over all repeats and outer folds: confusion matrices are added up, and
    AUC compares only units that the same model scored. An interval is the percentile interval over resamples of
    the *patients*, stratified by their worst class; a drawn patient brings all its lesions, slices and repeats.

    Args:
        predictions: see `mpmri_monai.evaluation.predictions`.
        task: the classes in order.
        role: ``test`` or ``val``.
        bootstraps: number of resamples.
        seed: of the resampling.

    Returns:
        ``{"schema", "task", "role", "classes", "confidence", "bootstraps", "unlabelled", "levels": {level: {"n",
        "patients", "per_class", "rule", "confusion", "roc", "metrics"}}}``. A metric is ``{"value", "low", "high",
        "resamples"}`` with the number of resamples in which it is defined; an undefined value is None, and so are
        ``low`` and ``high`` where all resamples agree. ``n`` and ``per_class`` count lesions (slices, patients) once;
        ``confusion`` has one entry per repeat in which a unit was predicted, rows are the truth.

    Raises:
        EvaluationError: the table is not one of this task, or has no labelled row of this role.
        LeakageError: a patient has two roles in one fit.
    """
    if bootstraps < 1:
        raise EvaluationError(expected="at least 1 bootstrap resample", found=str(bootstraps))
    predictions = check_predictions(predictions, "the predictions to evaluate")
    rows = tested_rows(predictions, task, role)
    patients, counts = resamples(rows, task, bootstraps, np.random.default_rng(seed))
    in_role = (predictions["role"] == role) & (predictions["inner"] == "")
    return {
        "schema": SCHEMA,
        "task": task.name,
        "role": role,
        "classes": list(task.classes),
        "confidence": CONFIDENCE,
        "bootstraps": bootstraps,
        "unlabelled": int((in_role & (predictions["label"] == "")).sum()),
        "levels": {level: _level(rows, task, level, patients, counts) for level in levels_of(rows, task)},
    }


def _level(rows: pd.DataFrame, task: Task, level: str, patients: pd.Index, counts: np.ndarray) -> dict[str, Any]:
    units = at_level(rows, task, level)
    truth = units["label"].map({name: index for index, name in enumerate(task.classes)}).to_numpy(int)
    probabilities = units[[PROBABILITY + name for name in task.classes]].to_numpy(float)
    fits = units.groupby(FIT).ngroup().to_numpy()
    owner = patients.get_indexer(pd.Index(units["patient"]))
    step = max(1, CHUNK // len(units))
    blocks = [
        metrics.all_metrics(truth, probabilities, fits, counts[start : start + step][:, owner], task)
        for start in range(0, len(counts), step)
    ]
    once = units.drop_duplicates(UNIT[level])
    as_is = np.ones((1, len(units)))
    (matrix,) = metrics.confusion(truth, probabilities.argmax(axis=1), as_is, len(task.classes))
    return {
        "n": len(once),
        "patients": int(units["patient"].nunique()),
        "per_class": {name: int((once["label"] == name).sum()) for name in task.classes},
        "rule": RULES[level],
        "confusion": matrix.astype(int).tolist(),
        "roc": {name: _roc(truth == k, probabilities[:, k], fits) for k, name in enumerate(task.classes)},
        "metrics": {
            name: interval(value[0], np.concatenate([block[name] for block in blocks]))
            for name, value in metrics.all_metrics(truth, probabilities, fits, as_is, task).items()
        },
    }


def _roc(positive: np.ndarray, scores: np.ndarray, fits: np.ndarray) -> dict[str, list[float]] | None:
    """Return the ROC curve of one class, or None when no model scored both a positive and a negative.

    For several models it is the vertical average of their curves, weighted by their number of pairs as the AUC is.
    """
    curves, pairs = [], []
    for fit in np.unique(fits):
        chosen = positive[fits == fit]
        if chosen.any() and not chosen.all():
            curves.append(roc_curve(chosen, scores[fits == fit])[:2])
            pairs.append(chosen.sum() * (~chosen).sum())
    if not curves:
        return None
    if len(curves) == 1:
        fpr, tpr = curves[0]
        return {"fpr": fpr.tolist(), "tpr": tpr.tolist()}
    heights = np.average([np.interp(ROC_GRID, *curve) for curve in curves], axis=0, weights=pairs)
    return {"fpr": [0.0, *ROC_GRID.tolist()], "tpr": [0.0, *heights.tolist()]}
