"""Cohorts as tables: one row a lesion."""

import pandas as pd
import pytest

from mpmri_monai.cohort import patient_table
from mpmri_monai.sequences import GRADES


@pytest.fixture(scope="session")
def lesions_of():
    """lesions_of((a, b, c), extra, sites): a, b, c patients with one lesion of each grade, then further lesions."""

    def make(counts, extra=(), sites=("A",)):
        grades = [grade for grade, count in zip(GRADES, counts, strict=True) for _ in range(count)]
        rows = [(f"P{number:03d}", f"P{number:03d}-L1", grade) for number, grade in enumerate(grades)]
        rows += [
            (f"P{number:03d}", f"P{number:03d}-L{index + 2}", grade) for index, (number, grade) in enumerate(extra)
        ]
        table = pd.DataFrame(rows, columns=["patient", "lesion", "label"])
        number = table["patient"].str[1:].astype(int)
        site = [sites[value % len(sites)] for value in number]
        return table.assign(study=table["patient"] + "-1", sample=table["lesion"] + "-00", site=site)

    return make


@pytest.fixture(scope="session")
def patients_of(lesions_of):
    """patients_of((a, b, c), sites): the table of patients with so many of each grade."""
    return lambda counts, sites=("A",): patient_table(lesions_of(counts, sites=sites), GRADES)


@pytest.fixture(scope="session")
def samples_of(lesions_of):
    """samples_of((a, b, c)): three samples a lesion, and a second lesion in every third patient."""

    def make(counts):
        first = lesions_of(counts)
        lesions = lesions_of(counts, extra=[(number, first["label"][number]) for number in range(0, len(first), 3)])
        return pd.concat([lesions.assign(sample=lesions["lesion"] + f"-{i:02d}") for i in range(3)], ignore_index=True)

    return make
