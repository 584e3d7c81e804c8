"""What is divided, and by which class it is stratified."""

import pytest

from mpmri_monai.cohort import patient_table, unit_table
from mpmri_monai.errors import SplitError
from mpmri_monai.sequences import GRADES


def test_patient_counts_by_its_worst_lesion(lesions_of):
    table = patient_table(lesions_of((2, 2, 1), extra=[(0, "poorly"), (2, "well")]), GRADES)
    assert table["patient"].tolist() == ["P000", "P001", "P002", "P003", "P004"]
    assert table["label"].tolist() == ["poorly", "well", "moderately", "moderately", "poorly"]
    assert table["holds"].tolist() == ["well poorly", "well", "well moderately", "moderately", "poorly"]


def test_class_without_patients_is_refused(patients_of):
    with pytest.raises(SplitError, match="none of class poorly"):
        patients_of((3, 3, 0))


def test_unlabelled_rows_are_refused(lesions_of):
    rows = lesions_of((3, 3, 3))
    rows.loc[0, "label"] = ""
    with pytest.raises(SplitError, match="labelled"):
        patient_table(rows, GRADES)


def test_lesions_and_samples_are_named_by_their_patient_too(samples_of):
    rows = samples_of((3, 3, 3))
    lesions, samples = unit_table(rows, GRADES, "lesion"), unit_table(rows, GRADES, "sample")
    assert list(lesions.columns) == ["patient", "lesion", "label", "holds", "site"]
    assert len(lesions) == rows["lesion"].nunique() == 12
    assert len(samples) == len(rows)
