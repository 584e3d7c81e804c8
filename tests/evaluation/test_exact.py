import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.contingency_tables import mcnemar as mcnemar_oracle
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from mpmri_monai.errors import EvaluationError
from mpmri_monai.evaluation import clopper_pearson, holm, mcnemar, permutation_p


def test_clopper_pearson_as_in_r():
    # R 4: binom.test(7, 20)$conf.int
    assert clopper_pearson(7, 20) == pytest.approx((0.1539092, 0.5921885), abs=1e-7)


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 200).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_clopper_pearson_as_in_statsmodels(case):
    assert clopper_pearson(*case) == pytest.approx(proportion_confint(*case, method="beta"), abs=1e-9)


def test_clopper_pearson_never_covers_less():
    n, rate = 12, 0.8
    drawn = np.random.default_rng(0).binomial(n, rate, 2000)
    intervals = {k: clopper_pearson(k, n) for k in range(n + 1)}
    assert np.mean([intervals[k][0] <= rate <= intervals[k][1] for k in drawn]) >= 0.95


@pytest.mark.parametrize("case", [(-1, 3), (4, 3), (0, 0)])
def test_impossible_counts_are_refused(case):
    with pytest.raises(EvaluationError):
        clopper_pearson(*case)


@pytest.mark.parametrize("only_a, only_b", [(3, 10), (10, 3), (5, 5), (0, 6), (1, 0)])
def test_mcnemar_as_in_statsmodels(only_a, only_b):
    oracle = mcnemar_oracle([[20, only_a], [only_b, 7]], exact=True)
    assert mcnemar(only_a, only_b) == pytest.approx(oracle.pvalue)


def test_mcnemar_without_discordant_units():
    assert mcnemar(0, 0) == 1


def test_permutation_p_counts_the_observed_labelling():
    assert permutation_p(0.9, np.linspace(0, 0.8, 99))["p"] == pytest.approx(0.01)
    assert permutation_p(0.5, [0.4, 0.5, 0.6])["p"] == pytest.approx(3 / 4)
    found = permutation_p(0.5, [0.4, 0.6])
    assert (found["n"], found["mean_null"], found["sd_null"]) == (2, pytest.approx(0.5), pytest.approx(np.sqrt(0.02)))


def test_permutation_p_is_uniform_under_the_null():
    rng = np.random.default_rng(0)
    p = np.array([permutation_p(values[0], values[1:])["p"] for values in rng.normal(size=(4000, 20))])
    assert [np.mean(p <= level) for level in (0.05, 0.25, 0.5)] == pytest.approx([0.05, 0.25, 0.5], abs=0.03)


@pytest.mark.parametrize("case", [(0.5, []), (float("nan"), [0.5]), (0.5, [0.4, float("nan")])])
def test_permutation_p_needs_defined_values(case):
    with pytest.raises(EvaluationError):
        permutation_p(*case)


@pytest.mark.parametrize("n", [1, 4, 9])
def test_holm_as_in_statsmodels(n):
    p_values = np.round(np.random.default_rng(n).random(n) ** 3, 2).tolist()
    assert holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1].tolist())


def test_holm_leaves_out_what_is_undefined():
    assert holm([0.01, None, 0.04]) == [0.02, None, 0.04]
    assert holm([None]) == [None]
