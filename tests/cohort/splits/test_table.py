"""The splits table on disk, and looking roles up in it."""

import hashlib

import pandas as pd
import pytest

from mpmri_monai.cohort import (
    OUTER_FIT,
    check_splits,
    holdout,
    kfold,
    read_splits,
    roles_of,
    row_roles,
    splits_digest,
    unit_table,
    write_splits,
)
from mpmri_monai.cohort.splits import COLUMNS
from mpmri_monai.errors import LeakageError, ManifestError, SplitError
from mpmri_monai.sequences import GRADES


def test_file_survives_writing_and_reading(patients_of, tmp_path):
    splits = kfold(patients_of((9, 9, 9)), repeats=2, seed=1)
    path = tmp_path / "splits.csv"
    write_splits(path, splits)
    assert path.read_text().splitlines()[0] == "unit,patient,lesion,sample,repeat,outer,inner,role"
    assert splits_digest(splits) == hashlib.sha256(path.read_bytes()).hexdigest()
    again = read_splits(path)
    assert splits_digest(again) == splits_digest(splits)
    assert roles_of(again, 1, 3) == roles_of(splits, 1, 3)


def test_patient_numbers_stay_text(tmp_path):
    path = tmp_path / "splits.csv"
    path.write_text(",".join(COLUMNS) + "\npatient,007,,,0,0,,test\npatient,NA,,,0,0,,train\n")
    assert roles_of(read_splits(path)) == {"007": "test", "NA": "train"}


def test_patient_in_two_roles_is_a_leak(tmp_path):
    path = tmp_path / "splits.csv"
    path.write_text(",".join(COLUMNS) + "\npatient,a,,,0,0,,test\npatient,a,,,0,0,,train\n")
    with pytest.raises(LeakageError, match="such as a"):
        roles_of(read_splits(path))


def test_missing_fold_is_refused(patients_of):
    with pytest.raises(SplitError, match="fold 7"):
        roles_of(holdout(patients_of((9, 9, 9))), 0, 7)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "patient,role\na,test\n",
        ",".join(COLUMNS) + "\n",
        ",".join(COLUMNS) + "\npatient,a,,,0,0,,tst\n",
        ",".join(COLUMNS) + f"\npatient,a,,,{10**30},0,,test\n",
        ",".join(COLUMNS) + "\npatient,a,,,zero,0,,test\n",
        ",".join(COLUMNS) + "\nperson,a,,,0,0,,test\n",
        ",".join(COLUMNS) + "\npatient,a,,,0,0, ,test\n",
        ",".join(COLUMNS) + "\npatient,a,,,0,0,nan,test\n",
    ],
)
def test_other_files_are_refused(tmp_path, text):
    path = tmp_path / "splits.csv"
    path.write_text(text)
    with pytest.raises(ManifestError):
        read_splits(path)


def test_missing_file_is_refused(tmp_path):
    with pytest.raises(ManifestError, match="No such file"):
        read_splits(tmp_path / "splits.csv")


def test_rows_get_the_role_of_their_patient_lesion_or_sample(samples_of):
    rows = samples_of((6, 6, 6))
    for unit in ("patient", "lesion", "sample"):
        splits = holdout(unit_table(rows, GRADES, unit), val=0, seed=1)
        roles = row_roles(rows, splits)
        assert set(roles) == {"train", "test"}
        both = roles.groupby(rows["patient"]).nunique().max()
        assert (both == 1) == (unit == "patient")
        assert roles.groupby(rows["lesion"]).nunique().max() == (2 if unit == "sample" else 1)


def test_rows_without_a_role_are_told_apart(lesions_of):
    rows = lesions_of((3, 3, 3))
    splits = holdout(unit_table(rows, GRADES, "patient"), val=0)
    assert row_roles(rows, splits[splits["patient"] != "P004"]).isna().tolist() == [i == 4 for i in range(9)]


def test_patients_have_no_one_role_in_a_split_of_samples(samples_of):
    splits = holdout(unit_table(samples_of((6, 6, 6)), GRADES, "sample"), val=0)
    with pytest.raises(SplitError, match="not patient-disjoint"):
        roles_of(splits)


def table(*rows, unit="patient"):
    return pd.DataFrame([(unit, *row) for row in rows], columns=list(COLUMNS))


def test_a_file_that_fits_its_cohort_passes(patients_of):
    patients = patients_of((9, 9, 9))
    check_splits(kfold(patients, inner_folds=2), patients["patient"], "patient")


@pytest.mark.parametrize(
    ("rows", "error", "message"),
    [
        ([("a", "", "", 0, 0, "", "train")] * 2, SplitError, "1 rows too many"),
        ([("a", "", "", 0, 0, OUTER_FIT, "train"), ("x", "", "", 0, 0, OUTER_FIT, "test")], SplitError, "1 of 2 that"),
        ([("a", "", "", 0, 0, "", "train"), ("a", "", "", 0, 0, "", "test")], LeakageError, "1 patients in two"),
        (
            [("a", "", "", 0, 0, "", "test"), ("b", "", "", 0, 0, "", "train"), ("a", "", "", 0, 0, "0", "val")],
            LeakageError,
            "1 of 1 in repeat 0, fold 0, inner fold 0",
        ),
    ],
)
def test_a_file_that_does_not_is_refused_with_the_counts(rows, error, message):
    with pytest.raises(error, match=message):
        check_splits(table(*rows), ["a", "b"], "patient")


def test_a_file_of_samples_has_to_be_asked_for(samples_of):
    rows = samples_of((6, 6, 6))
    splits = holdout(unit_table(rows, GRADES, "sample"), val=0)
    check_splits(splits, set(rows["patient"]), "sample")
    with pytest.raises(SplitError, match="--split#unit sample; its results will say: not patient-disjoint"):
        check_splits(splits, set(rows["patient"]), "patient")
