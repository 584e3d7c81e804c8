import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from mpmri_monai.errors import EvaluationError
from mpmri_monai.evaluation import delong_interval, delong_test


def direct(positive, scores):
    """AUCs and their covariance from the kernel of all pairs, as DeLong et al. write it (their equations 3 to 6)."""
    kernels = []
    for one in scores:
        up, down = one[positive], one[~positive]
        kernels.append((up[:, None] > down[None]) + 0.5 * (up[:, None] == down[None]))
    kernels = np.array(kernels)
    by_positive, by_negative = kernels.mean(axis=2), kernels.mean(axis=1)
    covariance = np.cov(by_positive) / positive.sum() + np.cov(by_negative) / (~positive).sum()
    return kernels.mean(axis=(1, 2)), covariance


def test_interval_of_hanley_and_mcneil():
    """Ratings of 58 normal and 51 abnormal CT scans (Radiology 143 (1982) 29-36, Table I).

    Stata's manual, `roctab disease rating`: area 0.8932, standard error 0.0307, interval 0.83295 to 0.95339.
    """
    normal, abnormal = (33, 6, 6, 11, 2), (3, 2, 2, 11, 33)
    ratings = np.r_[np.repeat(range(1, 6), normal), np.repeat(range(1, 6), abnormal)]
    positive = np.repeat([False, True], [58, 51])
    area, low, high = delong_interval(positive, ratings)
    assert (area, low, high) == pytest.approx((0.8932, 0.83295, 0.95339), abs=5e-5)
    assert (high - low) / 2 / norm.ppf(0.975) == pytest.approx(0.0307, abs=5e-5)


@pytest.mark.parametrize("decimals", [1, 9])
def test_paired_test_as_from_all_pairs(decimals):
    rng = np.random.default_rng(3)
    positive = rng.random(40) < 0.4
    common = rng.normal(size=40) + positive
    scores = np.round(np.stack([common + rng.normal(size=40), common + 0.5 * rng.normal(size=40)]), decimals)
    areas, covariance = direct(positive, scores)
    found = delong_test(positive, *scores)
    assert found["a"] == pytest.approx(roc_auc_score(positive, scores[0]))
    assert (found["a"], found["b"]) == pytest.approx(tuple(areas))
    z = (areas[0] - areas[1]) / np.sqrt(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    assert found["z"] == pytest.approx(z)
    assert found["p"] == pytest.approx(2 * norm.cdf(-abs(z)))
    assert found["low"] < found["difference"] < found["high"]


def test_no_variance_no_interval():
    positive = np.array([True, True, False, False])
    area, low, high = delong_interval(positive, np.array([3, 4, 1, 2]))
    assert area == 1
    assert np.isnan([low, high]).all()
    found = delong_test(positive, np.array([3, 1, 2, 0]), np.array([3, 1, 2, 0]))
    assert found["difference"] == 0
    assert (found["low"], found["p"]) == (None, None)


def test_one_positive_has_no_variance():
    with pytest.raises(EvaluationError, match="1 positives, 3 negatives"):
        delong_interval(np.array([True, False, False, False]), np.arange(4))


def test_p_values_are_uniform_and_intervals_cover():
    rng = np.random.default_rng(0)
    positive = np.arange(60) < 25
    p, covered = [], []
    for _ in range(500):
        common = rng.normal(size=60) + positive
        p.append(delong_test(positive, *(common + rng.normal(size=(2, 60))))["p"])
        _, low, high = delong_interval(positive, common)
        covered.append(low <= norm.cdf(1 / np.sqrt(2)) <= high)
    assert [np.mean(np.array(p) <= level) for level in (0.05, 0.5)] == pytest.approx([0.05, 0.5], abs=0.04)
    assert np.mean(covered) == pytest.approx(0.945, abs=0.025)
