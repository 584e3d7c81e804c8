"""Intervals by resampling patients."""

from __future__ import annotations

import numpy as np
import pandas as pd

from mpmri_monai.sequences import Task

CONFIDENCE = 0.95

SAME = 1e-12
"""Resampled metrics this close are the same number; sums of other weights round differently."""


def resamples(rows: pd.DataFrame, task: Task, bootstraps: int, rng: np.random.Generator) -> tuple[pd.Index, np.ndarray]:
    """Return the patients, and how often each resample draws each of them, shape (resample, patient).

    Patients are drawn with replacement among those of the same worst class, so that every resample has as many
    patients of each class as the cohort.
    """
    rank = rows["label"].map({name: index for index, name in enumerate(task.classes)})
    worst = rank.groupby(rows["patient"], sort=True).max()
    counts = np.zeros((bootstraps, len(worst)))
    for grade in sorted(set(worst)):
        members = np.flatnonzero(worst == grade)
        counts[:, members] = rng.multinomial(len(members), np.full(len(members), 1 / len(members)), size=bootstraps)
    return worst.index, counts


def interval(value: float, resampled: np.ndarray) -> dict[str, float | int | None]:
    """Return a metric with its percentile interval over the resamples in which it is defined.

    Where all of these agree, as with one patient a class or a perfect result, they say nothing about the spread: the
    interval is then None, not of width 0.
    """
    defined = resampled[np.isfinite(resampled)]
    if not np.isfinite(value) or defined.size == 0:
        return {"value": None, "low": None, "high": None, "resamples": int(defined.size)}
    tail = (1 - CONFIDENCE) / 2
    if np.ptp(defined) < SAME:
        return {"value": float(value), "low": None, "high": None, "resamples": int(defined.size)}
    low, high = np.quantile(defined, [tail, 1 - tail])
    return {"value": float(value), "low": float(low), "high": float(high), "resamples": int(defined.size)}
