import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpmri_monai.evaluation.conformal import (
    MarginalSets,
    coverage_range,
    fit_by_class,
    fit_marginal,
    hierarchical_quantile,
)
from mpmri_monai.evaluation.fitted import VAL, NotFitted, Seen
from mpmri_monai.evaluation.scored import scored
from mpmri_monai.sequences import GRADES, TASKS

GRADE = TASKS["hcc_grade"]
SEEN = Seen(VAL, "s", frozenset(), dict.fromkeys(GRADES, 9))


def lesions(predictions):
    return scored(predictions, GRADE, "lesion")


@given(
    st.lists(st.floats(0, 1), min_size=1, max_size=80),
    st.sampled_from([0.05, 0.1, 0.2, 0.5]),
)
def test_one_lesion_a_patient_is_split_conformal(scores, alpha):
    rank = math.ceil((len(scores) + 1) * (1 - alpha) - 1e-9)
    expected = sorted(scores)[rank - 1] if rank <= len(scores) else math.inf
    assert hierarchical_quantile(np.array(scores), np.arange(len(scores)), alpha) == expected


@given(st.lists(st.lists(st.floats(0, 1), min_size=1, max_size=4), min_size=1, max_size=20), st.randoms())
def test_order_and_copies_of_all_lesions_of_a_patient_change_nothing(patients, random):
    flat = [(score, number) for number, scores in enumerate(patients) for score in scores]
    copied = flat + [pair for pair in flat if pair[1] % 2]
    random.shuffle(copied)

    def quantile(pairs):
        return hierarchical_quantile(np.array([pair[0] for pair in pairs]), np.array([pair[1] for pair in pairs]))

    assert quantile(copied) == quantile(flat)


@pytest.mark.parametrize("patients", [9, 30])
def test_a_lesion_of_a_new_patient_is_covered_as_promised(patients):
    """Scores of one patient share an effect; the coverage is 90 %, and at most 1 / (patients + 1) more."""
    rng = np.random.default_rng(patients)
    covered = []
    for _ in range(2000):
        owner = np.repeat(np.arange(patients), rng.integers(1, 4, patients))
        effect = rng.normal(size=patients + 1)
        quantile = hierarchical_quantile(effect[owner] + 0.5 * rng.normal(size=len(owner)), owner)
        covered.append(effect[-1] + 0.5 * rng.normal() <= quantile)
    standard_error = 0.3 / math.sqrt(2000)
    assert 0.9 - 3 * standard_error <= np.mean(covered) <= 0.9 + 1 / (patients + 1) + 3 * standard_error


def test_sets_hold_the_true_class_of_nine_in_ten_new_patients(drawn):
    rng = np.random.default_rng(0)
    hits, by_class = [], []
    for _ in range(25):
        table = drawn(rng, patients=180, slices=1)
        is_calibration = table["patient"].str[1:].astype(int) < 90
        calibration, new = lesions(table[is_calibration]), lesions(table[~is_calibration])
        for found, fit in ((hits, fit_marginal), (by_class, fit_by_class)):
            members = fit(calibration, VAL, "s").sets(new.probabilities)
            assert members.any(axis=1).all()
            found.append(members[np.arange(len(members)), new.truth])
    assert 0.89 <= np.concatenate(hits).mean() <= 0.93
    assert 0.89 <= np.concatenate(by_class).mean() <= 0.95


def test_each_class_is_covered_where_one_is_harder(drawn):
    """The network hardly knows the last class: marginal sets leave it out, class-conditional sets pay with size."""
    rng = np.random.default_rng(1)
    marginal, by_class = [], []
    for _ in range(12):
        table = drawn(rng, patients=240, slices=1, skill=3)
        hard = (table["label"] == "poorly") & (rng.random(len(table)) < 0.25)
        table.loc[hard, [f"p_{name}" for name in GRADES]] = [0.6, 0.3, 0.1]
        is_calibration = table["patient"].str[1:].astype(int) < 120
        calibration, new = lesions(table[is_calibration]), lesions(table[~is_calibration])
        worst = new.truth == 2
        for found, fit in ((marginal, fit_marginal), (by_class, fit_by_class)):
            found.append(fit(calibration, VAL, "s").sets(new.probabilities)[worst, 2])
    assert np.concatenate(marginal).mean() < 0.85
    assert np.concatenate(by_class).mean() >= 0.88


def test_a_set_is_never_empty():
    sets = MarginalSets("hcc_grade", GRADES, {"alpha": 0.1, "quantiles": dict.fromkeys(GRADES, 0.05)}, SEEN)
    members = sets.sets(np.array([[0.4, 0.35, 0.25], [0.0, 0.02, 0.98]]))
    assert members.tolist() == [[True, False, False], [False, False, True]]


@pytest.mark.parametrize(("patients", "marginal", "by_class"), [(8, False, False), (9, True, False), (60, True, True)])
def test_too_few_patients_have_no_sets_and_are_told_how_many_it_takes(drawn, patients, marginal, by_class):
    units = lesions(drawn(np.random.default_rng(2), patients=patients))
    for fit, available, needed in ((fit_marginal, marginal, "9"), (fit_by_class, by_class, "20")):
        found = fit(units, VAL, "s")
        assert isinstance(found, NotFitted) != available
        if not available:
            assert found.as_json()["needed"].startswith(needed)


def test_range_of_coverage_agrees_with_simulation():
    rng = np.random.default_rng(3)
    coverage = [np.sort(rng.random(20))[18] for _ in range(20_000)]  # the 19th of 20 uniform scores
    assert coverage_range(20) == pytest.approx(tuple(np.quantile(coverage, [0.05, 0.95])), abs=0.01)


def test_quantiles_for_other_classes_are_refused():
    with pytest.raises(ValueError, match="quantiles"):
        MarginalSets("hcc_grade", GRADES, {"alpha": 0.1, "quantiles": {"well": 0.5}}, SEEN)
