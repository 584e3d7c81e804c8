"""Every scheme: disjoint, covering, stratified, the same in any order; impossible requests are refused with counts."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpmri_monai.cohort import (
    UNITS,
    holdout,
    kfold,
    leave_one_patient_out,
    leave_one_site_out,
    patient_table,
    roles_of,
    splits_digest,
    unit_table,
)
from mpmri_monai.errors import SplitError
from mpmri_monai.sequences import GRADES

SITES = ("A", "B", "C")
SCHEMES = (holdout, kfold, leave_one_patient_out, leave_one_site_out)
counts_per_class = st.tuples(*[st.integers(8, 60)] * 3)
seeds = st.integers(0, 2**32)


@settings(max_examples=60, deadline=None)
@given(counts=counts_per_class, test=st.floats(0.2, 0.6), val=st.just(0.0) | st.floats(1e-6, 0.4), seed=seeds)
def test_holdout_is_disjoint_covers_and_is_stratified(patients_of, counts, test, val, seed):
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
def test_kfold_tests_every_patient_once(patients_of, counts, folds, val, seed):
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


@settings(max_examples=40, deadline=None)
@given(counts=counts_per_class, shares=st.tuples(*[st.floats(0.05, 1)] * 2), seed=seeds)
@pytest.mark.parametrize("make", [holdout, kfold])
def test_smaller_shares_of_the_training_patients_lie_within_larger_ones(patients_of, make, counts, shares, seed):
    patients = patients_of(counts)
    label = patients.set_index("patient")["label"]
    whole = make(patients, seed=seed)
    less, more = (make(patients, train_share=share, seed=seed) for share in sorted(shares))
    for outer in sorted(set(whole["outer"])):
        everyone, few, many = (roles_of(splits, 0, outer) for splits in (whole, less, more))
        trained = [{name for name, role in roles.items() if role == "train"} for roles in (few, many, everyone)]
        assert trained[0] <= trained[1] <= trained[2]
        for grade in GRADES:
            there, all_there = (sum(label[name] == grade for name in names) for names in (trained[0], trained[2]))
            assert there >= 1
            assert abs(there - min(shares) * all_there) <= 0.5 + 1e-6 or there == 1
        for roles in (few, many):
            others = {name: role for name, role in roles.items() if role != "train"}
            assert others == {name: role for name, role in everyone.items() if role != "train"}


def test_inner_folds_are_of_the_patients_who_train_at_all(patients_of):
    patients = patients_of((20, 20, 20))
    splits = kfold(patients, folds=3, val=0.0, inner_folds=2, train_share=0.5, seed=4)
    for outer in range(3):
        trained = {name for name, role in roles_of(splits, 0, outer).items() if role == "train"}
        assert len(trained) == pytest.approx(20, abs=1.5)  # of 40, rounded in each of three classes
        for inner in ("0", "1"):
            assert set(roles_of(splits, 0, outer, inner)) == trained


def test_all_of_the_training_patients_are_the_same_as_no_share(patients_of):
    patients = patients_of((9, 9, 9))
    assert splits_digest(holdout(patients, train_share=1.0)) == splits_digest(holdout(patients))
    with pytest.raises(SplitError, match="train_share 0"):
        holdout(patients, train_share=0.0)


def test_a_share_that_loses_a_class_is_refused_with_counts(lesions_of):
    """Two patients hold a class that is not stratified for: few of the others' draws have one of them."""
    extra = [(number, "moderately") for number in (0, 31)]
    patients = patient_table(lesions_of((30, 0, 30), extra=extra), ("well", "moderately", "poorly"))
    patients.loc[patients["label"] == "moderately", "label"] = "well"
    with pytest.raises(SplitError, match=r"every class in train.*hold each class: moderately 2") as error:
        for seed in range(20):
            holdout(patients, val=0.0, train_share=0.05, seed=seed)
    assert "train_share" in str(error.value)


@settings(max_examples=8, deadline=None)
@given(counts=counts_per_class, seed=seeds, shuffle=st.randoms(use_true_random=False), by_site=st.booleans())
@pytest.mark.parametrize("make", SCHEMES)
def test_rows_in_any_order_give_the_same_splits(lesions_of, make, counts, seed, shuffle, by_site):
    rows = lesions_of([count // 4 + 4 for count in counts], extra=[(0, "poorly")], sites=SITES)
    order = list(range(len(rows)))
    shuffle.shuffle(order)
    first, second = patient_table(rows, GRADES), patient_table(rows.iloc[order], GRADES)
    pd.testing.assert_frame_equal(first, second)
    shuffled = first.sample(frac=1, random_state=1)
    options = {"seed": seed, "by_site": by_site, "inner_folds": 0 if make is leave_one_patient_out else 2}
    assert splits_digest(make(first, **options)) == splits_digest(make(shuffled, **options))


@settings(max_examples=10, deadline=None)
@given(counts=st.tuples(*[st.integers(3, 8)] * 3), seed=seeds)
def test_leaving_one_patient_out_tests_each_alone(patients_of, counts, seed):
    patients = patients_of(counts)
    splits = leave_one_patient_out(patients, seed=seed)
    tested = splits[splits["role"] == "test"]
    assert tested["patient"].tolist() == sorted(patients["patient"])
    for outer in range(len(patients)):
        assert set(roles_of(splits, 0, outer)) == set(patients["patient"])


@settings(max_examples=20, deadline=None)
@given(counts=counts_per_class, seed=seeds, repeats=st.integers(1, 2))
def test_leaving_one_site_out_tests_all_of_it_and_trains_on_none(patients_of, counts, seed, repeats):
    patients = patients_of(counts, sites=SITES)
    splits = leave_one_site_out(patients, seed=seed, repeats=repeats)
    for repeat in range(repeats):
        for outer, site in enumerate(SITES):
            roles = roles_of(splits, repeat, outer)
            assert set(roles) == set(patients["patient"])
            assert {name for name, role in roles.items() if role == "test"} == set(
                patients.loc[patients["site"] == site, "patient"]
            )


def test_a_patient_of_two_sites_or_a_single_site_cannot_be_left_out(patients_of, lesions_of):
    with pytest.raises(SplitError, match="found 1 site"):
        leave_one_site_out(patients_of((9, 9, 9)))
    rows = lesions_of((9, 9, 9), extra=[(4, "well"), (4, "well")], sites=SITES)
    rows.loc[rows["lesion"] == "P004-L2", "site"] = "C"
    with pytest.raises(SplitError, match="1 patients at two sites"):
        leave_one_site_out(patient_table(rows, GRADES))


@settings(max_examples=8, deadline=None)
@given(counts=st.tuples(*[st.integers(12, 30)] * 3), folds=st.integers(2, 4), seed=seeds, by_site=st.booleans())
@pytest.mark.parametrize("make", [holdout, kfold, leave_one_site_out])
def test_inner_folds_never_see_the_outer_test_patients(patients_of, make, counts, folds, seed, by_site):
    patients = patients_of(counts, sites=SITES)
    splits = make(patients, inner_folds=folds, seed=seed, by_site=by_site)
    outer_rows = splits[splits["inner"] == ""].reset_index(drop=True)
    pd.testing.assert_frame_equal(outer_rows, make(patients, seed=seed, by_site=by_site))
    for outer in outer_rows["outer"].unique():
        roles = roles_of(splits, 0, outer)
        tested = {patient for patient, role in roles.items() if role == "test"}
        held_out = []
        for inner in range(folds):
            inside = roles_of(splits, 0, outer, str(inner))
            assert set(inside) == set(roles) - tested
            assert set(inside.values()) == {"train", "val"}
            held_out += [patient for patient, role in inside.items() if role == "val"]
        assert sorted(held_out) == sorted(set(roles) - tested)


@settings(max_examples=20, deadline=None)
@given(counts=counts_per_class, folds=st.integers(2, 5), seed=seeds)
def test_folds_by_site_hold_their_share_of_every_class_of_every_site(patients_of, counts, folds, seed):
    patients = patients_of(counts, sites=SITES).set_index("patient")
    splits = kfold(patients.reset_index(), folds=folds, val=0, seed=seed, by_site=True)
    tested = splits[splits["role"] == "test"].join(patients, on="patient")
    per_fold = tested.groupby(["label", "site", "outer"]).size().unstack(fill_value=0)
    assert (per_fold.max(axis=1) - per_fold.min(axis=1) <= 1).all()
    sizes = tested["outer"].value_counts()
    assert sizes.max() - sizes.min() <= 1


@settings(max_examples=20, deadline=None)
@given(counts=counts_per_class, test=st.floats(0.25, 0.6), val=st.sampled_from([0.0, 0.2]), seed=seeds)
def test_a_holdout_by_site_has_about_its_shares_at_every_site(patients_of, counts, test, val, seed):
    patients = patients_of(counts, sites=SITES).set_index("patient")
    splits = holdout(patients.reset_index(), test=test, val=val, seed=seed, by_site=True).join(patients, on="patient")
    shares = {"test": test, "val": (1 - test) * val, "train": (1 - test) * (1 - val)}
    for _, rows in splits.groupby(["label", "site"]):
        for role, share in shares.items():
            assert abs((rows["role"] == role).sum() - share * len(rows)) <= 2


@settings(max_examples=15, deadline=None)
@given(counts=st.tuples(*[st.integers(6, 15)] * 3), seed=seeds, unit=st.sampled_from(["lesion", "sample"]))
@pytest.mark.parametrize("make", [holdout, kfold])
def test_lesions_and_samples_are_divided_each_into_one_role(samples_of, make, counts, seed, unit):
    units = unit_table(samples_of(counts), GRADES, unit)
    splits = make(units, val=0, seed=seed)
    first = splits[splits["outer"] == 0]
    assert set(splits["unit"]) == {unit}
    assert not first.duplicated(UNITS[unit]).any()
    assert len(first) == len(units)
    label = first.merge(units, on=UNITS[unit])
    assert (label.groupby(["label", "role"]).size().unstack() > 0).all().all()
    assert (splits["sample"] == "").all() == (unit == "lesion")


def test_every_patient_is_tested_equally_often(patients_of):
    """Over many repeats a patient is in test with the asked share: 0.4 ± 4 standard errors; by site, too."""
    for by_site in (False, True):
        splits = holdout(patients_of((10, 10, 10), sites=SITES), repeats=400, seed=0, by_site=by_site)
        share = splits["role"].eq("test").groupby(splits["patient"]).mean()
        assert np.abs(share - 0.4).max() < 4 * np.sqrt(0.4 * 0.6 / 400)


def test_seeds_and_repeats_differ(patients_of):
    patients = patients_of((20, 20, 20))
    splits = holdout(patients, repeats=5, seed=3)
    drawn = {tuple(sorted(p for p, role in roles_of(splits, r).items() if role == "test")) for r in range(5)}
    assert len(drawn) == 5
    assert splits_digest(splits) != splits_digest(holdout(patients, repeats=5, seed=4))
    first = splits[splits["repeat"] == 0].reset_index(drop=True)
    pd.testing.assert_frame_equal(first, holdout(patients, repeats=1, seed=3))


def test_paper_cohort_splits_three_to_two(patients_of):
    splits = holdout(patients_of((10, 33, 5)))
    assert splits["role"].value_counts().to_dict() == {"train": 24, "val": 5, "test": 19}


@pytest.mark.parametrize("make", [holdout, kfold])
def test_too_few_patients_are_refused_with_the_counts(patients_of, make):
    with pytest.raises(SplitError, match="moderately 9, poorly 2, well 20"):
        make(patients_of((20, 9, 2)))


def test_the_refusal_names_the_options_that_help(patients_of):
    with pytest.raises(SplitError, match="--split#val 0") as refused:
        holdout(patients_of((20, 9, 2)))
    assert refused.value.code == "E_CLASS_EMPTY"
    with pytest.raises(SplitError, match="--split#folds"):
        kfold(patients_of((20, 9, 4)), val=0)
    with pytest.raises(SplitError, match=r"moderately 5, poorly 3, well 8.*--split#inner_folds"):
        holdout(patients_of((14, 9, 5)), inner_folds=4)


def test_smallest_class_that_can_be_split(patients_of):
    splits = holdout(patients_of((3, 3, 3)))
    assert splits["role"].value_counts().to_dict() == {"train": 3, "val": 3, "test": 3}
    kfold(patients_of((5, 5, 5)), folds=5, val=0)
    with pytest.raises(SplitError):
        kfold(patients_of((5, 5, 4)), folds=5, val=0)


def test_class_that_is_nobodys_worst_may_be_impossible(lesions_of):
    rows = lesions_of((0, 12, 12), extra=[(12, "well")])
    with pytest.raises(SplitError, match="well 1"):
        holdout(patient_table(rows, GRADES))


def test_class_that_everybody_has_is_no_obstacle(lesions_of):
    rows = lesions_of((0, 0, 12), extra=[(number, "background") for number in range(12)])
    splits = holdout(patient_table(rows, ("background", "poorly")))
    assert set(splits["role"]) == {"train", "val", "test"}


@pytest.mark.parametrize("options", [{"test": 0}, {"test": 1}, {"val": 1}, {"val": -0.1}, {"repeats": 0}])
def test_impossible_shares_are_refused(patients_of, options):
    with pytest.raises(SplitError):
        holdout(patients_of((9, 9, 9)), **options)


def test_one_fold_is_refused(patients_of):
    with pytest.raises(SplitError, match="2 folds"):
        kfold(patients_of((9, 9, 9)), folds=1)
