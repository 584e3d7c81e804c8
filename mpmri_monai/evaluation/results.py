"""From a predictions table to metrics with intervals, at slice, lesion and patient level."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import roc_curve

from mpmri_monai.cohort.splits import NOT_DISJOINT, UNITS
from mpmri_monai.errors import EvaluationError
from mpmri_monai.evaluation import metrics
from mpmri_monai.evaluation.bootstrap import CONFIDENCE, left_out, redrawn, strata
from mpmri_monai.evaluation.intervals import LIMITS, METHOD_IN_WORDS, interval
from mpmri_monai.evaluation.levels import (
    FIT,
    RULES,
    UNIT,
    at_level,
    check_complete,
    check_no_copies,
    levels_of,
    tested_rows,
)
from mpmri_monai.evaluation.pooling import LEFT_OUT_ONE_BY_ONE, cannot_be_pooled, pooling
from mpmri_monai.evaluation.predictions import PROBABILITY, check_predictions
from mpmri_monai.sequences import Task

SCHEMA = "mpmri-monai/metrics/1"
CHUNK = 4_000_000
"""Elements of the weights that are worked on at once: 32 MB in float64."""

ROC_GRID = np.linspace(0, 1, 201)
"""False positive rates at which the curves of several models are averaged."""

SD_LABEL = "SD over repeats: not an interval"


def evaluate(
    predictions: pd.DataFrame,
    task: Task,
    *,
    role: str = "test",
    unit: str = "patient",
    bootstraps: int = 2000,
    seed: int = 0,
) -> dict[str, Any]:
    """Return the metrics of one role as JSON-like content, with patient-bootstrap intervals.

    Everything predicted for the role counts, over all repeats and outer folds; ``pooling`` says how. Intervals are
    from resamples of the *patients*, each with all its lesions, slices and repeats: see
    `mpmri_monai.evaluation.intervals`.

    Args:
        predictions: see `mpmri_monai.evaluation.predictions`.
        task: the classes in order.
        role: ``test`` or ``val``.
        unit: what was divided. With ``lesion`` or ``sample`` the protocol of a publication is replicated: stored
            copies count as samples, slices are the only level, and the result carries a ``warning``.
        bootstraps: number of resamples.
        seed: of the resampling.

    Returns:
        ``{"schema", "task", "role", "unit", "warning", "classes", "confidence", "bootstraps", "intervals": {"method",
        "limits"}, "unlabelled", "levels": {level: {"n", "patients", "per_class", "patients_per_class", "rule",
        "confusion", "roc", "pooling", "metrics"}}, "repeats"}``. For a metric see `intervals.interval`. ``n`` and
        ``per_class`` count lesions (slices, patients) once, ``patients_per_class`` the patients that have one of the
        class; ``confusion`` has one entry per repeat in which a unit was predicted, rows are the truth. ``repeats`` is
        ``{level: {metric: {"mean", "sd", "n", "label"}}}``, where there are several.

    Raises:
        EvaluationError: the table is not one of this task, has no labelled row of this role, misses a part of the
            predictions, or counts copies as samples.
        LeakageError: a patient has two roles in one fit, with ``unit`` patient.
    """
    if bootstraps < 1:
        raise EvaluationError(expected="at least 1 bootstrap resample", found=str(bootstraps))
    if unit not in UNITS:
        raise EvaluationError(expected=f"a unit among {', '.join(UNITS)}", found=repr(unit))
    predictions = check_predictions(predictions, "the predictions to evaluate")
    rows = tested_rows(predictions, task, role, unit)
    if unit == "patient":
        check_no_copies(rows)
    check_complete(rows, role, unit)
    stratum = strata(rows, task)
    weights = redrawn(stratum.to_numpy(), bootstraps, np.random.default_rng(seed))
    levels = levels_of(rows, task) if unit == "patient" else levels_of(rows, task)[:1]
    units = {level: at_level(rows, task, level) for level in levels}
    in_role = (predictions["role"] == role) & (predictions["inner"] == "")
    result = {
        "schema": SCHEMA,
        "task": task.name,
        "role": role,
        "unit": unit,
        "classes": list(task.classes),
        "confidence": CONFIDENCE,
        "bootstraps": bootstraps,
        "intervals": {"method": METHOD_IN_WORDS, "limits": LIMITS},
        "unlabelled": int((in_role & (predictions["label"] == "")).sum()),
        "levels": {level: _level(table, task, level, stratum, weights) for level, table in units.items()},
    }
    if unit != "patient":
        result["warning"] = NOT_DISJOINT
    if rows["repeat"].nunique() > 1:
        result["repeats"] = {level: _repeats(table, task) for level, table in units.items()}
    return result


def _level(table: pd.DataFrame, task: Task, level: str, stratum: pd.Series, weights: np.ndarray) -> dict[str, Any]:
    truth, probabilities, fits = _arrays(table, task)
    owner = stratum.index.get_indexer(pd.Index(table["patient"]))
    as_is = np.ones((1, len(table)))
    values = metrics.all_metrics(truth, probabilities, fits, as_is, task)
    resampled = _all_metrics(table, task, weights[:, owner])
    jackknife = _all_metrics(table, task, left_out(stratum.to_numpy())[:, owner])
    once = table.drop_duplicates(UNIT[level])
    (matrix,) = metrics.confusion(truth, probabilities.argmax(axis=1), as_is, len(task.classes))
    per_class = {name: int((once["label"] == name).sum()) for name in task.classes}
    absent = [name for name, number in per_class.items() if number == 0]
    found = {}
    for name, value in values.items():
        if cannot_be_pooled(name, table["patient"].to_numpy(), fits):
            found[name] = interval(name, np.nan, np.empty(0), np.empty(0), np.empty(0)) | {"why": LEFT_OUT_ONE_BY_ONE}
        else:
            found[name] = interval(name, value[0], resampled[name], jackknife[name], stratum.to_numpy())
        if absent and found[name]["value"] is None:
            found[name]["why"] = f"no {level} of class {', '.join(absent)}"
    return {
        "n": len(once),
        "patients": int(table["patient"].nunique()),
        "per_class": per_class,
        "patients_per_class": {
            name: int(once.loc[once["label"] == name, "patient"].nunique()) for name in task.classes
        },
        "rule": RULES[level],
        "confusion": matrix.astype(int).tolist(),
        "roc": {name: _roc(truth == k, probabilities[:, k], fits) for k, name in enumerate(task.classes)},
        "pooling": {name: pooling(name) for name in found},
        "metrics": found,
    }


def _arrays(table: pd.DataFrame, task: Task) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return true class (unit,), probabilities (unit, class) and number of the fit (unit,) of `levels.at_level`."""
    truth = table["label"].map({name: index for index, name in enumerate(task.classes)}).to_numpy(int)
    probabilities = table[[PROBABILITY + name for name in task.classes]].to_numpy(float)
    return truth, probabilities, table.groupby(FIT).ngroup().to_numpy()


def _all_metrics(table: pd.DataFrame, task: Task, weights: np.ndarray) -> dict[str, np.ndarray]:
    """Return all metrics for weights of shape (resample, unit), worked on in blocks."""
    step = max(1, CHUNK // len(table))
    blocks = [
        metrics.all_metrics(*_arrays(table, task), weights[start : start + step], task)
        for start in range(0, len(weights), step)
    ]
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}


def _repeats(table: pd.DataFrame, task: Task) -> dict[str, dict[str, Any]]:
    """Return mean and SD of each metric over the repeats in which it is defined."""
    names = np.unique(table["repeat"])
    of_repeat = (table["repeat"].to_numpy() == names[:, None]).astype(float)
    truth, probabilities, fits = _arrays(table, task)
    found = {}
    for name, by_repeat in metrics.all_metrics(truth, probabilities, fits, of_repeat, task).items():
        pooled = not cannot_be_pooled(name, table["patient"].to_numpy(), fits)
        values = by_repeat[np.isfinite(by_repeat) & pooled]
        several = values.size > 1
        found[name] = {
            "mean": float(values.mean()) if values.size else None,
            "sd": float(values.std(ddof=1)) if several else None,
            "n": int(values.size),
            "label": SD_LABEL,
        }
    return found


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
