"""What the experiments on transfer measure of every start, and how they say whether one is better than another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from mpmri_monai.evaluation import evaluate, operating_points
from mpmri_monai.evaluation.bootstrap import CONFIDENCE
from mpmri_monai.experiments.context import Context
from mpmri_monai.experiments.nested import LEVEL
from mpmri_monai.experiments.summary import NOTHING
from mpmri_monai.experiments.texts import NOT_DEFINED, with_interval
from mpmri_monai.sequences import Task

UNFINISHED = "not all folds finished"
ACCURACY, AUC = "accuracy", "macro_auc"
SENSITIVITY = "sensitivity"
"""Begins the keys of sensitivities in `measured`."""
RATES = {"10 %": 0.9, "15 %": 0.85, "20 %": 0.8}
"""Specificity at each rate of false positives of Tajbakhsh et al. (2016)."""

Metric = Mapping[str, Any]
"""``value, low, high`` of a metric."""


def names_of(task: Task) -> dict[str, str]:
    """Return what is measured, in words, by key; of more than two classes, means over each against the rest."""
    mean = "" if len(task.classes) == 2 else "macro "
    at = {f"{SENSITIVITY}_{rate}": f"{mean}sensitivity at {rate} FPR" for rate in RATES}
    return {ACCURACY: "accuracy", AUC: f"{mean}AUC", **at}


def measured(predictions: pd.DataFrame, task: Task, seed: int) -> dict[str, Metric]:
    """Return the metrics of `names_of` of the test lesions, each with its interval over the patients."""
    found = evaluate(predictions, task, seed=seed)["levels"][LEVEL]["metrics"]
    points = operating_points(predictions, task, LEVEL, specificities=list(RATES.values()), seed=seed)["macro"]
    at = {f"{SENSITIVITY}_{rate}": point for rate, point in zip(RATES, points, strict=True)}
    return {ACCURACY: found[ACCURACY], AUC: found[AUC], **at}


def cells_of(found: Mapping[str, Metric]) -> list[str]:
    """Return the metrics of `measured` as cells of a table."""
    return [with_interval(metric) for metric in found.values()]


def training_accuracy(context: Context, cell: str) -> str:
    """Return the accuracy on training samples in the last epoch, mean over the runs of a cell, where it has epochs."""
    runs = [run for run in context.runs(cell) if (context.folder(run) / "history.csv").is_file()]
    last = [context.history(run)["train_accuracy"].iloc[-1] for run in runs]
    return f"{np.mean(last):.3f}" if last else NOTHING


def panels(names: Mapping[str, str], x_label: str, curves: Mapping[str, tuple[Sequence[float], Sequence[Any]]]) -> Any:
    """Return the panels of a figure of kind ``curves``, one for each metric of ``names``.

    Args:
        names: metrics to show, in words, by key.
        x_label: what the curves run over.
        curves: by name, places and what was `measured` there.
    """
    return [
        {
            "title": title,
            "x_label": x_label,
            "curves": [
                {"name": name, "x": list(x)}
                | {
                    part: [at[key][of] for at in found]
                    for part, of in (("mean", "value"), ("low", "low"), ("high", "high"))
                }
                for name, (x, found) in curves.items()
            ],
        }
        for key, title in names.items()
    ]


def verdict(difference: Mapping[str, Any]) -> str:
    """Return what a paired difference of a metric, the larger the better, shows: better, worse, or nothing.

    It shows something where its interval leaves out zero and its p-value, corrected by Holm's method, is small.
    """
    low, high, p = difference["low"], difference["high"], difference["p_holm"]
    if low is None or high is None or low <= 0 <= high or p is None or p >= 1 - CONFIDENCE:
        return "not shown to differ"
    return "better" if low > 0 else "worse"


def against(difference: Mapping[str, Any]) -> str:
    """Return a paired difference with its interval and what it shows, where it is defined."""
    if difference["difference"] is None:
        return NOT_DEFINED
    return f"{with_interval(difference, 'difference')}, {verdict(difference)}"
