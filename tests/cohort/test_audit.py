"""The leak rules, each on tables with and without the leak it is about."""

import pandas as pd
import pytest

from mpmri_monai.cohort import audit, holdout, kfold, splits_digest, unit_table
from mpmri_monai.cohort.audit import LEAK, PASSED, UNKNOWN, Check, Fit
from mpmri_monai.sequences import GRADES

OWN = audit.OWN_PARTS


@pytest.fixture(scope="module")
def rows():
    """Nine patients with two samples each."""
    table = [(f"P{i}", f"P{i}-1", "L1", f"L1-{k:02d}", "A", GRADES[i % 3]) for i in range(9) for k in range(2)]
    return pd.DataFrame(table, columns=["patient", "study", "lesion", "sample", "site", "label"])


@pytest.fixture(scope="module")
def splits(rows):
    return holdout(unit_table(rows, GRADES, "patient"), val=0)


@pytest.fixture(scope="module")
def replica(rows):
    return holdout(unit_table(rows, GRADES, "sample"), val=0)


@pytest.fixture
def predictions(rows, splits):
    role = rows["patient"].map(dict(zip(splits["patient"], splits["role"], strict=True)))
    return rows.assign(role=role, repeat=0, outer=0, inner="")


def images(patients, voxels):
    study = [f"{patient}-1" for patient in patients]
    return pd.DataFrame({"patient": patients, "study": study, "sequence": "T2", "voxels": voxels})


def test_a_split_of_patients_passes_and_one_of_samples_is_two_leaks(splits, replica):
    assert audit.check_unit(splits).outcome == audit.check_roles(splits).outcome == PASSED
    assert "not patient-disjoint" in audit.check_unit(replica).found
    both = replica.groupby("patient")["role"].nunique().gt(1).sum()
    assert audit.check_roles(replica).found == f"E_LEAK_ROLES: {both} of 9 patients in more than one role of a fit"


def test_a_patient_is_in_one_role_of_each_fit_not_of_all(rows):
    folds = kfold(unit_table(rows, GRADES, "patient"), folds=3, val=0, inner_folds=2)
    assert audit.check_roles(folds) == Check(
        "patients across roles", PASSED, "9 patients, each in one role (fits looked at: 9)"
    )
    tested = folds.loc[(folds["role"] == "test") & (folds["outer"] == 0), "patient"].iloc[0]
    inside = folds.iloc[[0]].assign(patient=tested, inner="0", role="train")
    assert "1 test patients inside the inner folds" in audit.check_roles(pd.concat([folds, inside])).found


def test_the_same_images_under_two_names_leak_across_roles_only(splits):
    names = {role: list(rows["patient"]) for role, rows in splits.groupby("role")}
    everybody = images(sorted(splits["patient"]), [f"v{i}" for i in range(9)])
    assert audit.check_images(everybody, splits, Fit(0, 0)).outcome == PASSED
    one, other = names["train"][:2]
    alike = everybody["voxels"].where(everybody["patient"] != one, everybody.set_index("patient").at[other, "voxels"])
    within = audit.check_images(everybody.assign(voxels=alike), splits, Fit(0, 0))
    assert within.outcome == PASSED
    assert "1 under two patients of one role" in within.found
    across = audit.check_images(images([names["train"][0], names["test"][0]], ["v", "v"]), splits, Fit(0, 0))
    assert across.outcome == LEAK
    assert "1 images under two patients" in across.found
    assert audit.check_images(None, splits, Fit(0, 0)).outcome == UNKNOWN
    assert "no images of 7 of 9 patients" in audit.check_images(everybody[:2], splits, Fit(0, 0)).found


def test_copies_among_the_test_rows_leak(predictions):
    assert audit.check_copies(predictions).outcome == PASSED
    copies = predictions.assign(sample=predictions["sample"] + "+rot90")
    found = audit.check_copies(pd.concat([predictions, copies])).found
    tested = int((predictions["role"] == "test").sum())
    assert found == f"E_LEAK_COPIES: {tested} of {2 * tested} test rows are copies of others"
    assert audit.check_copies(None).outcome == UNKNOWN


def test_splits_that_were_changed_after_the_start_are_noticed(splits):
    recorded = splits_digest(splits)
    assert audit.check_recorded_splits(splits, recorded).outcome == PASSED
    assert audit.check_recorded_splits(splits.iloc[1:], recorded).outcome == LEAK
    assert audit.check_recorded_splits(splits, None).outcome == UNKNOWN


def test_predictions_in_another_role_than_their_patient_leak(predictions, splits):
    assert audit.check_predicted_roles(predictions, splits, Fit(0, 0)).outcome == PASSED
    moved = predictions.assign(role="test")
    trained = int((predictions["role"] == "train").sum())
    assert f"{trained} of 18 rows in another role" in audit.check_predicted_roles(moved, splits, Fit(0, 0)).found
    stranger = predictions.assign(patient=predictions["patient"].replace("P0", "X"))
    assert "2 of 18 rows" in audit.check_predicted_roles(stranger, splits, Fit(0, 0)).found
    assert "another fit" in audit.check_predicted_roles(predictions.assign(outer=1), splits, Fit(0, 0)).found


def test_copies_stand_in_the_role_of_their_sample(rows, replica):
    role = dict(zip(zip(replica["patient"], replica["sample"], strict=True), replica["role"], strict=True))
    given = [role[key] for key in zip(rows["patient"], rows["sample"], strict=True)]
    copies = rows.assign(role=given, repeat=0, outer=0, inner="", sample=rows["sample"] + "+flipud")
    assert audit.check_predicted_roles(copies, replica, Fit(0, 0)).outcome == PASSED


def test_what_was_fitted_must_not_have_seen_test_patients():
    assert audit.check_fitted({}, 4).found == "nothing was fitted after training"
    assert audit.check_fitted({"temperature": 0}, 4).outcome == PASSED
    leak = audit.check_fitted({"temperature": 2, "conformal": 0}, 4)
    assert leak.found == "E_LEAK_FITTED: temperature saw 2 of 4 test patients"


def test_training_on_other_samples_than_its_own_is_a_leak_or_cannot_be_told():
    assert audit.check_parts(OWN, "by volume").outcome == PASSED
    assert audit.check_parts(OWN | {"train": "$@cohort.samples('test')"}, "").outcome == LEAK
    assert audit.check_parts(OWN | {"train": "@mine"}, "").outcome == UNKNOWN


def test_the_epoch_must_not_be_chosen_on_the_test_set(splits, replica, rows):
    def outcome(parts=OWN, table=splits, validated=False):
        return audit.check_epoch(parts, table, Fit(0, 0), validated).outcome

    assert outcome() == PASSED
    assert outcome(validated=None) == UNKNOWN
    assert outcome(validated=True) == LEAK  # nobody validates, yet something was validated on
    assert outcome(table=replica) == LEAK
    assert outcome(parts=OWN | {"validate": "$@cohort.samples('test')"}) == LEAK
    own = holdout(unit_table(rows, GRADES, "patient"), val=0.3)
    assert outcome(table=own, validated=True) == PASSED


def test_pretraining_passes_only_when_it_is_known():
    assert audit.check_pretraining(0, 5, "scratch").outcome == PASSED
    assert audit.check_pretraining(3, 5, "").found.startswith("E_LEAK_PRETRAINED: 3 of 5 test patients")
    assert audit.check_pretraining(None, 5, "unknown").outcome == UNKNOWN


def test_many_runs_give_one_table_with_leaks_first():
    one, other = Check("a", PASSED, "x"), Check("a", LEAK, "y")
    rows = audit.merged([[one], [other], [one], [Check("a", LEAK, "z")]])
    assert [(row.outcome, row.found) for row in rows] == [
        (LEAK, "2 of 4 runs: y (and 1 other findings)"),
        (PASSED, "2 of 4 runs: x"),
    ]
