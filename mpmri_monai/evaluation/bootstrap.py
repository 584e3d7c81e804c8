"""Patients drawn again, with all that belongs to them."""

from __future__ import annotations

import numpy as np
import pandas as pd

from mpmri_monai.sequences import Task

CONFIDENCE = 0.95

SAME = 1e-12
"""Resampled metrics this close are the same number; sums of other weights round differently."""


def strata(rows: pd.DataFrame, task: Task) -> pd.Series:
    """Return the stratum of each patient, by patient, numbered from 0: that of the worst class.

    A task without a patient level has one stratum: every patient brings lesions of all its classes. A class with a
    single patient joins the class below it (the lowest one that above), as collapsed strata do in surveys (Cochran,
    Sampling Techniques, 1977, section 5A.12): alone, the patient would be in every resample, as if sure to come again.
    """
    rank = rows["label"].map({name: index for index, name in enumerate(task.classes)})
    worst = rank.groupby(rows["patient"], sort=True).max()
    if not task.patient_level:
        return worst * 0
    patients = worst.value_counts().sort_index()
    opens_another = (patients > 1) & (patients.cumsum().shift(fill_value=0) > 1)
    return worst.map(opens_another.cumsum())


def redrawn(stratum: np.ndarray, bootstraps: int, rng: np.random.Generator) -> np.ndarray:
    """Return the weight of each patient in each resample, shape (resample, patient).

    Patients are the clusters: whatever belongs to one (lesions, slices, repeats) is drawn together. They are drawn
    with replacement within their `strata`, n - 1 of n, each counting n / (n - 1) times (Rao and Wu, JASA 83, 1988):
    every stratum keeps its weight, and the variance of a mean is unbiased, where drawing n of n gives (n - 1) / n of
    it. A patient who is alone in a stratum is in every resample.

    Args:
        stratum: of each patient, shape (patient,).
        bootstraps: number of resamples.
        rng: draws.
    """
    weights = np.ones((bootstraps, len(stratum)))
    for members in _members(stratum):
        n = len(members)
        if n > 1:
            weights[:, members] = rng.multinomial(n - 1, np.full(n, 1 / n), size=bootstraps) * (n / (n - 1))
    return weights


def left_out(stratum: np.ndarray) -> np.ndarray:
    """Return the weights of the jackknife, shape (patient, patient): row i leaves out patient i.

    The other patients of the stratum count n / (n - 1) times, so that it keeps its weight; a patient who is alone in
    a stratum stays.
    """
    weights = np.ones((len(stratum), len(stratum)))
    for members in _members(stratum):
        n = len(members)
        if n > 1:
            weights[np.ix_(members, members)] = (1 - np.eye(n)) * (n / (n - 1))
    return weights


def _members(stratum: np.ndarray) -> list[np.ndarray]:
    return [np.flatnonzero(stratum == value) for value in np.unique(stratum)]
