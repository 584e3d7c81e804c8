"""What repetitions of a training show: curves with bands, and the variance of training again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from mpmri_monai.errors import EvaluationError
from mpmri_monai.evaluation.comparison import COMPARED, check_paired
from mpmri_monai.evaluation.intervals import RANGES
from mpmri_monai.evaluation.pooling import cannot_be_pooled
from mpmri_monai.evaluation.roc import GRID, mean_curve
from mpmri_monai.evaluation.scored import Redrawn, Resampling, around, or_none, resampling, scored
from mpmri_monai.sequences import Task

SD_LABEL = "mean ± SD over {n} repeats: not an interval"
ONE_LABEL = "one repeat: no band"

RETRAINING = (
    "value: mean over the seeds; sd_retraining: SD over the seeds; sd_patients: spread over resamples of the patients "
    "with fixed predictions, root mean square over the seeds; interval_fixed: Student's t with sd_patients, as if the "
    "trained model were the only one; interval_both: with the variances of both added, for one training among many"
)


def roc_band(
    predictions: pd.DataFrame,
    task: Task,
    of: str,
    level: str = "lesion",
    *,
    role: str = "test",
    unit: str = "patient",
) -> dict[str, Any]:
    """Return the mean ROC curve of one class against the rest, and its SD over the repeats.

    In a repeat the curves of its folds are averaged vertically, weighted by their pairs of units, as the AUC is.

    Args:
        predictions: see `mpmri_monai.evaluation.predictions`.
        task: the classes in order.
        of: the class.
        level: ``slice``, ``lesion`` or ``patient``.
        role: ``test`` or ``val``.
        unit: what was divided: ``patient``, or ``lesion`` or ``sample`` in a protocol that is not patient-disjoint.

    Returns:
        ``{"fpr", "mean", "low", "high", "n", "label"}``: lists over the same false positive rates; ``low`` and
        ``high`` are mean ∓ SD cut at 0 and 1, lists of None with one repeat; ``n`` repeats; ``label`` says what
        the band is.

    Raises:
        EvaluationError: an unknown class; no repeat has a fit that scored both the class and the rest; as `evaluate`.
    """
    if of not in task.classes:
        raise EvaluationError(expected=f"a class among {', '.join(task.classes)}", found=repr(of))
    units = scored(predictions, task, level, role, unit)
    k = task.classes.index(of)
    repeat = units.units["repeat"].to_numpy()
    apart = cannot_be_pooled("auc", units.patients, units.fits)
    found = [
        None
        if apart
        else mean_curve(units.truth[repeat == r] == k, units.probabilities[repeat == r, k], units.fits[repeat == r])
        for r in np.unique(repeat)
    ]
    curves = np.array([curve for curve in found if curve is not None])
    if not len(curves):
        raise EvaluationError(
            expected=f"a fitted model that scored both {of} and the rest",
            found=f"none in {len(found)} repeats",
            fix="use repeated k-fold, not leave-one-out",
        )
    mean = curves.mean(axis=0)
    several = len(curves) > 1
    sd = curves.std(axis=0, ddof=1) if several else None
    # A curve starts in the corner: at rate 0 its grid value is already the upper end of the first step.
    return {
        "fpr": [0.0, *GRID.tolist()],
        "mean": [0.0, *mean.tolist()],
        "low": [0.0, *np.clip(mean - sd, 0, 1).tolist()] if several else [None] * (len(mean) + 1),
        "high": [0.0, *np.clip(mean + sd, 0, 1).tolist()] if several else [None] * (len(mean) + 1),
        "n": len(curves),
        "label": SD_LABEL.format(n=len(curves)) if several else ONE_LABEL,
    }


def over_epochs(histories: Sequence[pd.DataFrame], column: str) -> dict[str, Any]:
    """Return the mean of a column of the training histories over the runs, and its SD, for each epoch.

    Args:
        histories: one for each run, with columns ``epoch`` and ``column``.
        column: such as ``val_accuracy``.

    Returns:
        ``{"epoch", "mean", "sd", "n", "label"}``: lists over the epochs; ``sd`` is a list of None with one run.

    Raises:
        EvaluationError: no history, one without the column, or runs of different epochs.
    """
    lacking = sum(column not in history or "epoch" not in history for history in histories)
    if not histories or lacking:
        raise EvaluationError(
            expected=f"training histories with columns epoch and {column}",
            found=f"{len(histories)} histories, {lacking} without",
        )
    epochs = {tuple(history["epoch"]) for history in histories}
    if len(epochs) > 1:
        raise EvaluationError(
            expected="runs of the same epochs",
            found=f"runs of {', '.join(str(n) for n in sorted({len(one) for one in epochs}))} epochs",
        )
    values = np.array([history[column].to_numpy(float) for history in histories])
    several = len(values) > 1
    return {
        "epoch": [int(epoch) for epoch in epochs.pop()],
        "mean": values.mean(axis=0).tolist(),
        "sd": values.std(axis=0, ddof=1).tolist() if several else [None] * values.shape[1],
        "n": len(values),
        "label": SD_LABEL.format(n=len(values)) if several else ONE_LABEL,
    }


def retraining(
    tables: Mapping[Any, pd.DataFrame],
    task: Task,
    level: str = "lesion",
    *,
    metrics: Sequence[str] = COMPARED,
    role: str = "test",
    bootstraps: int = 2000,
    seed: int = 0,
) -> dict[str, Any]:
    """Return what intervals from fixed predictions leave out: the variance of training again on the same splits.

    The intervals are value ± t · √variance, cut at the ends of the metric's range, around the mean over the seeds:
    with the variance from the patients alone, and with that of training added (Satterthwaite's degrees of freedom).
    They are for the result of one training, which is what a study reports.

    Args:
        tables: predictions tables by the seed of the training, all of the same splits.
        task: the classes in order.
        level: ``slice``, ``lesion`` or ``patient``.
        metrics: names among those of `evaluate`.
        role: ``test`` or ``val``.
        bootstraps: number of resamples of the patients, the same for every seed.
        seed: of the resampling.

    Returns:
        ``{"level", "seeds", "method", "metrics": {name: {"value", "sd_retraining", "sd_patients", "interval_fixed":
        [low, high], "interval_both": [low, high]}}}``; what is not defined is None.

    Raises:
        EvaluationError: fewer than two tables, or tables of different units, fits or labels; as `evaluate`.
    """
    if len(tables) < 2:
        raise EvaluationError(expected="predictions of at least two seeds on the same splits", found=str(len(tables)))
    models = [scored(table, task, level, role) for table in tables.values()]
    for model in models[1:]:
        check_paired(models[0], model)
    drawn = resampling(models[:1], bootstraps, np.random.default_rng(seed))
    found = [model.redrawn(metrics, drawn) for model in models]
    return {
        "level": level,
        "seeds": len(models),
        "method": RETRAINING,
        "metrics": {name: _variances(drawn, name, [one[name] for one in found]) for name in metrics},
    }


def _variances(drawn: Resampling, name: str, found: Sequence[Redrawn]) -> dict[str, Any]:
    """Return the content of one metric from what each seed gave."""
    values = np.array([one.value for one in found])
    if not np.isfinite(values).all():
        return dict.fromkeys(("value", "sd_retraining", "sd_patients")) | {
            "interval_fixed": [None, None],
            "interval_both": [None, None],
        }
    between = values.var(ddof=1)
    variances, freedoms = zip(*(drawn.variance(one) for one in found), strict=True)
    within, freedom = np.mean(variances), np.mean(freedoms)
    total = within + between
    of_total = total**2 / (within**2 / freedom + between**2 / (len(found) - 1)) if total > 0 else 1.0
    return {
        "value": float(values.mean()),
        "sd_retraining": float(np.sqrt(between)),
        "sd_patients": or_none(np.sqrt(within)),
        "interval_fixed": _within_range(name, around(values.mean(), within, freedom)),
        "interval_both": _within_range(name, around(values.mean(), total, of_total)),
    }


def _within_range(name: str, interval: tuple[float | None, float | None]) -> list[float | None]:
    smallest, largest = RANGES.get(name, (0.0, 1.0))
    return [None if end is None else min(max(end, smallest), largest) for end in interval]
