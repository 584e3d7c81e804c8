"""Labels that mean nothing: given to other patients, so that whatever is then found is chance or a leak."""

from __future__ import annotations

import numpy as np
import pandas as pd

from mpmri_monai.sequences import Task


def permuted_labels(rows: pd.DataFrame, task: Task, seed: int) -> pd.Series:
    """Return labels for ``rows`` (patient, label) that are independent of the images, patients kept as wholes.

    Where patients differ by their class (grades), each patient gets the worst class of another one, drawn without
    replacement, for all his lesions: the number of patients of each class stays. Where every patient holds both
    classes (lesion and background), both names are exchanged in each patient with probability one half: which regions
    belong together, and how many, stays.

    Args:
        rows: labelled samples.
        task: whose classes the labels are.
        seed: the same seed gives the same labels, in whatever order the rows are.
    """
    rng = np.random.default_rng(seed)
    if task.patient_level:
        worst = rows.groupby("patient", sort=True)["label"].agg(lambda labels: max(labels, key=task.classes.index))
        given = dict(zip(worst.index, rng.permutation(worst.to_numpy()).tolist(), strict=True))
        return rows["patient"].map(given)
    patients = sorted(set(rows["patient"]))
    exchanged = {patient for patient, coin in zip(patients, rng.random(len(patients)), strict=True) if coin < 0.5}
    other = dict(zip(task.classes, reversed(task.classes), strict=True))
    return rows["label"].where(~rows["patient"].isin(exchanged), rows["label"].map(other))
