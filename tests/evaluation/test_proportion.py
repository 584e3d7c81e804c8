import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from mpmri_monai.evaluation.proportion import clustered_proportion


@given(st.lists(st.booleans(), min_size=2, max_size=60))
def test_one_lesion_a_patient_gives_the_exact_binomial_interval(hits):
    found = clustered_proportion(np.array(hits), np.arange(len(hits)))
    share = sum(hits) / len(hits)
    exact = binomtest(sum(hits), len(hits)).proportion_ci(0.95, "exact")
    assert found["value"] == pytest.approx(share)
    assert found["low"] <= exact.low + 1e-12 and found["high"] >= exact.high - 1e-12
    # the variance between patients is n / (n - 1) times the binomial one, and nothing else differs
    effective = len(hits) - 1 if 0 < share < 1 else len(hits)
    assert found["high"] - found["low"] <= exact.high - exact.low + 2 / effective


def test_lesions_that_are_alike_within_a_patient_count_as_one():
    hits, patients = np.array([True, False, True, True, False, True]), np.arange(6)
    once = clustered_proportion(hits, patients)
    copies = clustered_proportion(np.repeat(hits, 50), np.repeat(patients, 50))
    assert copies["n"], copies["patients"] == (300, 6)
    assert copies["low"] <= once["low"] and copies["high"] >= once["high"]


def test_a_perfect_share_has_the_interval_of_its_patients():
    found = clustered_proportion(np.ones(40, bool), np.repeat(np.arange(10), 4))
    assert found["high"] == 1
    assert found["low"] == pytest.approx(binomtest(10, 10).proportion_ci(0.95, "exact").low)


def test_nothing_is_said_without_lesions_and_no_interval_for_one_patient():
    assert clustered_proportion(np.array([], bool), np.array([]))["value"] is None
    one = clustered_proportion(np.array([True, False]), np.array(["P1", "P1"]))
    assert one["value"] == 0.5
    assert one["low"] is None and one["high"] is None


@pytest.mark.parametrize(("patients", "share"), [(10, 0.9), (10, 0.6), (30, 0.85)])
def test_intervals_cover_when_lesions_of_a_patient_are_alike(patients, share):
    """Each patient has one to three lesions and a chance of its own, Beta distributed: correlation 1/3."""
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(400):
        owner = np.repeat(np.arange(patients), rng.integers(1, 4, patients))
        chance = rng.beta(2 * share, 2 * (1 - share), patients)
        found = clustered_proportion(rng.random(len(owner)) < chance[owner], owner)
        inside += found["low"] <= share <= found["high"]
    assert inside / 400 >= 0.94
