"""Labels that mean nothing: given to other patients, so that whatever is then found is chance or a leak."""

from __future__ import annotations

import numpy as np
import pandas as pd

from mpmri_monai.sequences import Task


def permuted_labels(rows: pd.DataFrame, task: Task, seed: int) -> pd.Series:
    """Return labels for ``rows`` (patient, label) that are independent of the images, patients kept as wholes.

    Where patients differ by their class (grades, and any label of which most patients hold one class), each patient
    gets the worst (last) class of another one, drawn without replacement, for all his lesions: the number of patients
    of each class stays. Where most patients hold several classes (lesion and background, organs), the names of all
    classes are drawn anew in each patient, every order of them as likely as another: which regions belong together,
    and how many, stays.

    Args:
        rows: labelled samples.
        task: whose classes the labels are.
        seed: the same seed gives the same labels, in whatever order the rows are.
    """
    rng = np.random.default_rng(seed)
    of_patient = rows.groupby("patient", sort=True)["label"]
    if task.patient_level or of_patient.nunique().eq(1).mean() > 0.5:
        worst = of_patient.agg(lambda labels: max(labels, key=task.classes.index))
        given = dict(zip(worst.index, rng.permutation(worst.to_numpy()).tolist(), strict=True))
        return rows["patient"].map(given)
    names = {
        patient: dict(zip(task.classes, rng.permutation(task.classes).tolist(), strict=True))
        for patient in sorted(set(rows["patient"]))
    }
    given = [names[patient][label] for patient, label in zip(rows["patient"], rows["label"], strict=True)]
    return pd.Series(given, index=rows.index, name="label")
