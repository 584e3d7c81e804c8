import hashlib

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpmri_monai.cohort import holdout, kfold, patient_table, read_splits, roles_of, splits_digest, write_splits
from mpmri_monai.cohort.splits import COLUMNS
from mpmri_monai.errors import LeakageError, ManifestError, SplitError
from mpmri_monai.sequences import GRADES


def lesions_of(counts, extra=()):
    """One lesion a patient with the given count of each grade, then ``extra`` lesions (patient number, grade)."""
    grades = [grade for grade, count in zip(GRADES, counts, strict=True) for _ in range(count)]
    rows = [(f"P{number:03d}", f"P{number:03d}-L1", grade) for number, grade in enumerate(grades)]
    rows += [(f"P{number:03d}", f"P{number:03d}-L{index + 2}", grade) for index, (number, grade) in enumerate(extra)]
    table = pd.DataFrame(rows, columns=["patient", "lesion", "label"])
    return table.assign(study=table["patient"] + "-1", site="A")


def patients_of(counts):
    return patient_table(lesions_of(counts), GRADES)


counts_per_class = st.tuples(*[st.integers(8, 60)] * 3)
seeds = st.integers(0, 2**32)


def test_patient_counts_by_its_worst_lesion():
    table = patient_table(lesions_of((2, 2, 1), extra=[(0, "poorly"), (2, "well")]), GRADES)
    assert table["patient"].tolist() == ["P000", "P001", "P002", "P003", "P004"]
    assert table["label"].tolist() == ["poorly", "well", "moderately", "moderately", "poorly"]
    assert table["holds"].tolist() == ["well poorly", "well", "well moderately", "moderately", "poorly"]


def test_class_without_patients_is_refused():
    with pytest.raises(SplitError, match="none of class poorly"):
        patients_of((3, 3, 0))


def test_unlabelled_rows_are_refused():
    rows = lesions_of((3, 3, 3))
    rows.loc[0, "label"] = ""
    with pytest.raises(SplitError, match="labelled"):
        patient_table(rows, GRADES)


@settings(max_examples=60, deadline=None)
@given(counts=counts_per_class, test=st.floats(0.2, 0.6), val=st.just(0.0) | st.floats(1e-6, 0.4), seed=seeds)
def test_holdout_is_disjoint_covers_and_is_stratified(counts, test, val, seed):
    patients = patients_of(counts)
    splits = holdout(patients, test=test, val=val, seed=seed)
    assert splits["patient"].is_unique
    assert set(splits["patient"]) == set(patients["patient"])
    label = patients.set_index("patient")["label"]
    roles = {"train", "test"} | ({"val"} if val > 0 else set())
    shares = {"test": test, "val": (1 - test) * val, "train": (1 - test) * (1 - val)}
    for grade, count in zip(GRADES, counts, strict=True):
        given_roles = splits.loc[splits["patient"].map(label) == grade, "role"].value_counts()
        assert set(given_roles.index) == roles
        for role in roles:
            assert abs(given_roles[role] - shares[role] * count) <= 1 + 1e-9


@settings(max_examples=40, deadline=None)
@given(counts=counts_per_class, folds=st.integers(2, 6), val=st.sampled_from([0.0, 0.15, 0.3]), seed=seeds)
def test_kfold_tests_every_patient_once(counts, folds, val, seed):
    patients = patients_of(counts)
    splits = kfold(patients, folds=folds, val=val, seed=seed)
    tested = splits[splits["role"] == "test"]
    assert sorted(tested["patient"]) == sorted(patients["patient"])
    label = patients.set_index("patient")["label"]
    sizes = tested["outer"].value_counts()
    assert sizes.max() - sizes.min() <= 1
    for outer in range(folds):
        roles = roles_of(splits, 0, outer)
        assert set(roles) == set(patients["patient"])
        for role in set(roles.values()):
            assert {label[patient] for patient, given in roles.items() if given == role} == set(GRADES)
    per_class = tested.groupby([tested["patient"].map(label), "outer"]).size().unstack()
    assert (per_class.max(axis=1) - per_class.min(axis=1) <= 1).all()


@settings(max_examples=20, deadline=None)
@given(counts=counts_per_class, seed=seeds, shuffle=st.randoms(use_true_random=False))
def test_rows_in_any_order_give_the_same_splits(counts, seed, shuffle):
    rows = lesions_of(counts, extra=[(0, "poorly")])
    order = list(range(len(rows)))
    shuffle.shuffle(order)
    first, second = patient_table(rows, GRADES), patient_table(rows.iloc[order], GRADES)
    pd.testing.assert_frame_equal(first, second)
    shuffled = first.sample(frac=1, random_state=1)
    for make in (holdout, kfold):
        assert splits_digest(make(first, seed=seed)) == splits_digest(make(shuffled, seed=seed))


def test_seeds_and_repeats_differ():
    patients = patients_of((20, 20, 20))
    splits = holdout(patients, repeats=5, seed=3)
    drawn = {tuple(sorted(p for p, role in roles_of(splits, r).items() if role == "test")) for r in range(5)}
    assert len(drawn) == 5
    assert splits_digest(splits) != splits_digest(holdout(patients, repeats=5, seed=4))
    first = splits[splits["repeat"] == 0].reset_index(drop=True)
    pd.testing.assert_frame_equal(first, holdout(patients, repeats=1, seed=3))


def test_every_patient_is_tested_equally_often():
    """Over many repeats a patient is in test with the asked share: 0.4 ± 4 standard errors."""
    splits = holdout(patients_of((10, 10, 10)), repeats=400, seed=0)
    share = splits["role"].eq("test").groupby(splits["patient"]).mean()
    assert np.abs(share - 0.4).max() < 4 * np.sqrt(0.4 * 0.6 / 400)


def test_paper_cohort_splits_three_to_two():
    splits = holdout(patients_of((10, 33, 5)))
    assert splits["role"].value_counts().to_dict() == {"train": 24, "val": 5, "test": 19}


@pytest.mark.parametrize("make", [holdout, kfold])
def test_too_few_patients_are_refused_with_the_counts(make):
    with pytest.raises(SplitError, match="moderately 9, poorly 2, well 20"):
        make(patients_of((20, 9, 2)))


def test_smallest_class_that_can_be_split():
    splits = holdout(patients_of((3, 3, 3)))
    assert splits["role"].value_counts().to_dict() == {"train": 3, "val": 3, "test": 3}
    kfold(patients_of((5, 5, 5)), folds=5, val=0)
    with pytest.raises(SplitError):
        kfold(patients_of((5, 5, 4)), folds=5, val=0)


def test_class_that_is_nobodys_worst_may_be_impossible():
    rows = lesions_of((0, 12, 12), extra=[(12, "well")])
    with pytest.raises(SplitError, match="well 1"):
        holdout(patient_table(rows, GRADES))


def test_class_that_everybody_has_is_no_obstacle():
    rows = lesions_of((0, 0, 12), extra=[(number, "background") for number in range(12)])
    splits = holdout(patient_table(rows, ("background", "poorly")))
    assert set(splits["role"]) == {"train", "val", "test"}


@pytest.mark.parametrize("options", [{"test": 0}, {"test": 1}, {"val": 1}, {"val": -0.1}, {"repeats": 0}])
def test_impossible_shares_are_refused(options):
    with pytest.raises(SplitError):
        holdout(patients_of((9, 9, 9)), **options)


def test_one_fold_is_refused():
    with pytest.raises(SplitError, match="2 folds"):
        kfold(patients_of((9, 9, 9)), folds=1)


def test_file_survives_writing_and_reading(tmp_path):
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


def test_missing_fold_is_refused():
    with pytest.raises(SplitError, match="fold 7"):
        roles_of(holdout(patients_of((9, 9, 9))), 0, 7)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "patient,role\na,test\n",
        ",".join(COLUMNS) + "\n",
        ",".join(COLUMNS) + "\npatient,a,,,0,0,,tst\n",
        ",".join(COLUMNS) + "\npatient,a,,,zero,0,,test\n",
        ",".join(COLUMNS) + "\nperson,a,,,0,0,,test\n",
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
