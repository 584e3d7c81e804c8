from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import multivariate_normal, norm

from mpmri_monai.errors import EvaluationError
from mpmri_monai.phantom.classes import BRAIN, BRAIN_SOURCE, HCC, LATENTS, model_of, posterior
from mpmri_monai.sequences import GRADES, PAPER_FUSIONS, SEQUENCES

PRIOR = (0.2, 0.5, 0.3)


def test_posterior_is_bayes_rule_with_scipy_densities():
    z = np.random.default_rng(0).normal(size=(20, len(LATENTS)))
    seen = HCC.visible(("T2", "S1"))
    density = np.stack([multivariate_normal(HCC.means[k, seen]).pdf(z[:, seen]) * PRIOR[k] for k in range(3)], axis=1)
    expected = density / density.sum(axis=1, keepdims=True)
    assert posterior(z, ("T2", "S1"), PRIOR) == pytest.approx(expected)


def test_latents_that_a_fusion_does_not_show_do_not_matter():
    rng = np.random.default_rng(1)
    z = rng.normal(size=(5, len(LATENTS)))
    other = np.where(HCC.visible(["OUT"]), z, rng.normal(size=z.shape))
    assert posterior(z, ["OUT"], PRIOR) == pytest.approx(posterior(other, ["OUT"], PRIOR))
    assert not np.allclose(posterior(z, SEQUENCES, PRIOR), posterior(other, SEQUENCES, PRIOR))


def test_posterior_is_calibrated():
    rng = np.random.default_rng(2)
    labels = rng.choice(3, 6000, p=PRIOR)
    z = np.stack([HCC.draw(GRADES[k], rng) for k in labels])
    probability = posterior(z, ("T2", "OUT", "S4"), PRIOR)
    for k in range(3):
        error = np.sqrt((probability[:, k] * (1 - probability[:, k])).sum()) / 6000
        assert probability[:, k].mean() == pytest.approx((labels == k).mean(), abs=4 * error)


def test_nothing_seen_leaves_the_prior():
    assert posterior(np.zeros((1, len(LATENTS))), (), PRIOR)[0] == pytest.approx(PRIOR)


def test_a_class_that_the_cohort_lacks_gets_nothing():
    assert posterior(np.zeros((1, len(LATENTS))), SEQUENCES, (0.5, 0.5, 0.0))[0, 2] == 0


def accuracy(sequences, prior=(1 / 3, 1 / 3, 1 / 3), count=20000, model=HCC):
    rng = np.random.default_rng(3)
    z = model.means[rng.choice(len(prior), count, p=prior)] + rng.standard_normal((count, len(model.latents)))
    return model.posterior(z, sequences, prior).max(axis=1).mean()


@pytest.mark.parametrize("prior", [(1 / 3, 1 / 3, 1 / 3), (12 / 51, 34 / 51, 5 / 51)])
def test_the_ceiling_leaves_room_and_is_worth_reaching(prior):
    assert 0.85 < accuracy(("T2", "OUT", "S4"), prior) <= accuracy(SEQUENCES, prior) < 0.95


def test_fusions_pay_and_the_papers_best_one_is_best():
    named = {fusion: accuracy(fusion) for fusion in PAPER_FUSIONS.values()}
    best = max(named, key=named.get)
    assert best == ("T2", "OUT", "S4")
    assert max(accuracy([name]) for name in SEQUENCES) < named[best] - 0.08


def test_the_brain_leaves_a_known_room_to_perfection():
    # two Gaussians with unit variance at distance d: the best accuracy is that of a threshold half way, Φ(d / 2)
    distance = np.linalg.norm(BRAIN.means[1] - BRAIN.means[0])
    expected = norm.cdf(distance / 2)
    assert 0.93 < expected < 0.97
    assert accuracy(("T2",), (0.5, 0.5), 40000, BRAIN) == pytest.approx(expected, abs=0.003)


def test_mean_and_size_tell_little_of_the_brain():
    plain = [latent.pattern in ("size", "outline", "mean") for latent in BRAIN.latents]
    distance = np.linalg.norm((BRAIN.means[1] - BRAIN.means[0])[plain])
    assert norm.cdf(distance / 2) < 0.7


def test_the_source_shows_the_same_structures_inverted():
    for target, source in zip(BRAIN.latents, BRAIN_SOURCE.latents, strict=True):
        assert (source.pattern, source.means) == (target.pattern, target.means)
        assert source.weights["T2"] * target.weights["T2"] < 0


def test_the_model_is_known_by_its_classes():
    assert model_of(["poorly"]) is HCC
    assert model_of(["unhealthy", "healthy"]) is BRAIN
    with pytest.raises(EvaluationError, match="unhealthy"):
        model_of(["benign"])


@pytest.mark.parametrize("latent", LATENTS, ids=lambda latent: latent.name)
def test_amounts_grow_with_the_latent(latent):
    amounts = [latent.amount(z) for z in np.linspace(-4, 4, 30)]
    assert amounts[0] > 0
    assert (np.diff(amounts) > 0).all()
