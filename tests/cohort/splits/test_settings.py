"""The split group of a configuration: what it makes, and what it refuses."""

import pytest

from mpmri_monai.cohort import SplitSettings, kfold, patient_table, splits_digest, write_splits
from mpmri_monai.errors import ConfigError, SplitError
from mpmri_monai.sequences import GRADES


def made(rows, **options):
    return SplitSettings(**options).table(rows, GRADES, set(rows["patient"]), seed=3)


def test_the_scheme_is_the_one_that_is_named(lesions_of):
    rows = lesions_of((9, 9, 9), sites=("A", "B", "C"))
    fits = {
        name: made(rows, **options)[["repeat", "outer"]].drop_duplicates().shape[0]
        for name, options in {
            "holdout": {"repeats": 4},
            "folds": {"folds": 5},
            "patients": {"leave_out": "patient"},
            "sites": {"leave_out": "site", "repeats": 2},
        }.items()
    }
    assert fits == {"holdout": 4, "folds": 5, "patients": 27, "sites": 6}


def test_a_file_counts_as_it_is(lesions_of, tmp_path):
    rows = lesions_of((9, 9, 9))
    splits = kfold(patient_table(rows, GRADES), folds=4, seed=8)
    write_splits(tmp_path / "s.csv", splits)
    assert splits_digest(made(rows, file=str(tmp_path / "s.csv"))) == splits_digest(splits)


def test_a_replica_has_no_validation_set_of_its_own(samples_of):
    splits = made(samples_of((6, 6, 6)), unit="sample")
    assert set(splits["role"]) == {"train", "test"}
    assert SplitSettings(unit="sample").replica
    assert not SplitSettings().replica


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fold": -1}, "fold"),
        ({"unit": "slice"}, "unit"),
        ({"leave_out": "centre"}, "leave_out"),
        ({"flods": 3}, "known are file, unit, folds"),
        ({"folds": 3, "leave_out": "site"}, "folds or leave_out"),
        ({"unit": "lesion", "inner_folds": 3}, "unit lesion with inner_folds 3"),
        ({"train_share": 0}, "train_share"),
        ({"train_share": 0.5, "file": "splits.csv"}, "split#file or split#train_share"),
        ({"inner": 2, "inner_folds": 2}, "split#inner below split#inner_folds"),
    ],
)
def test_what_cannot_be_is_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        SplitSettings(**options)


def test_a_share_of_the_training_patients_trains(lesions_of):
    roles = [made(lesions_of((20, 20, 20)), train_share=share)["role"].value_counts() for share in (1.0, 0.25)]
    assert roles[1]["train"] == pytest.approx(roles[0]["train"] / 4, abs=1.5)
    assert roles[1].drop("train").to_dict() == roles[0].drop("train").to_dict()


def test_one_inner_fold_is_refused(lesions_of):
    with pytest.raises(SplitError, match="at least 2 inner folds"):
        made(lesions_of((9, 9, 9)), inner_folds=1)
