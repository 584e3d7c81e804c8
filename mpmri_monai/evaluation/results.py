"""From a predictions table to metrics with intervals, at slice, lesion and patient level."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from mpmri_monai.cohort.splits import NOT_DISJOINT, UNITS
from mpmri_monai.errors import EvaluationError
from mpmri_monai.evaluation import metrics
from mpmri_monai.evaluation.bootstrap import CONFIDENCE
from mpmri_monai.evaluation.intervals import EFFECTIVE_IN_WORDS, EXACT_IN_WORDS, LIMITS, METHOD_IN_WORDS
from mpmri_monai.evaluation.levels import RULES, UNIT, levels_of
from mpmri_monai.evaluation.no_spread import interval_of
from mpmri_monai.evaluation.pooling import LEFT_OUT_ONE_BY_ONE, pooling
from mpmri_monai.evaluation.predictions import check_predictions
from mpmri_monai.evaluation.roc import roc
from mpmri_monai.evaluation.scored import Resampling, Scored, resampling, scored_rows, units_of
from mpmri_monai.sequences import Task

SCHEMA = "mpmri-monai/metrics/1"

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
    if unit not in UNITS:
        raise EvaluationError(expected=f"a unit among {', '.join(UNITS)}", found=repr(unit))
    predictions = check_predictions(predictions, "the predictions to evaluate")
    rows = scored_rows(predictions, task, role, unit)
    levels = levels_of(rows, task) if unit == "patient" else levels_of(rows, task)[:1]
    units = {level: units_of(rows, task, level) for level in levels}
    drawn = resampling([units[levels[0]]], bootstraps, np.random.default_rng(seed))
    in_role = (predictions["role"] == role) & (predictions["inner"] == "")
    result = {
        "schema": SCHEMA,
        "task": task.name,
        "role": role,
        "unit": unit,
        "classes": list(task.classes),
        "confidence": CONFIDENCE,
        "bootstraps": bootstraps,
        "intervals": {"method": f"{METHOD_IN_WORDS} {EXACT_IN_WORDS} {EFFECTIVE_IN_WORDS}", "limits": LIMITS},
        "unlabelled": int((in_role & (predictions["label"] == "")).sum()),
        "levels": {level: _level(of_level, drawn) for level, of_level in units.items()},
    }
    if unit != "patient":
        result["warning"] = NOT_DISJOINT
    if rows["repeat"].nunique() > 1:
        result["repeats"] = {level: _repeats(of_level) for level, of_level in units.items()}
    return result


def _level(units: Scored, drawn: Resampling) -> dict[str, Any]:
    classes, level = units.task.classes, units.level
    once = units.units.drop_duplicates(UNIT[level])
    per_class = {name: int((once["label"] == name).sum()) for name in classes}
    absent = [name for name, number in per_class.items() if number == 0]
    found = {}
    for name, values in units.redrawn(None, drawn).items():
        found[name] = interval_of(units, name, values, drawn)
        if absent and found[name]["value"] is None:
            found[name]["why"] = f"no {level} of class {', '.join(absent)}"
        elif not units.comparable(name):
            found[name]["why"] = LEFT_OUT_ONE_BY_ONE
    as_is = np.ones((1, len(units.truth)))
    (matrix,) = metrics.confusion(units.truth, units.decided, as_is, len(classes))
    return {
        "n": len(once),
        "patients": len(set(units.patients)),
        "per_class": per_class,
        "patients_per_class": {name: int(once.loc[once["label"] == name, "patient"].nunique()) for name in classes},
        "rule": RULES[level],
        "confusion": matrix.astype(int).tolist(),
        "roc": {name: _roc(units, k) for k, name in enumerate(classes)},
        "pooling": {name: pooling(name) for name in found},
        "metrics": found,
    }


def _repeats(units: Scored) -> dict[str, dict[str, Any]]:
    """Return mean and SD of each metric over the repeats in which it is defined."""
    repeat = units.units["repeat"].to_numpy()
    of_repeat = (repeat == np.unique(repeat)[:, None]).astype(float)
    by_name = metrics.all_metrics(units.truth, units.probabilities, units.fits, of_repeat, units.task)
    found = {}
    for name, by_repeat in by_name.items():
        values = by_repeat[np.isfinite(by_repeat) & units.comparable(name)]
        found[name] = {
            "mean": float(values.mean()) if values.size else None,
            "sd": float(values.std(ddof=1)) if values.size > 1 else None,
            "n": int(values.size),
            "label": SD_LABEL,
        }
    return found


def _roc(units: Scored, k: int) -> dict[str, list[float]] | None:
    """Return the ROC curve of class ``k``, or None where there can be no AUC either."""
    curve = roc(units.truth == k, units.probabilities[:, k], units.fits) if units.comparable("auc") else None
    return None if curve is None else {"fpr": curve[0].tolist(), "tpr": curve[1].tolist()}
