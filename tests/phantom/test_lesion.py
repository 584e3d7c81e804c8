from __future__ import annotations

import numpy as np
import pytest

from mpmri_monai.phantom.classes import BRAIN, HCC, NAMES
from mpmri_monai.phantom.lesion import Lesion


def lesion(latents=None, radius=12.0, center=(0.0, 0.0, 0.0), model=HCC) -> Lesion:
    values = {} if latents is None else latents
    amounts = tuple(values.get(name, -50.0) for name in model.names)
    return Lesion(model.classes[0], center, radius, (1.0, 1.0, 1.0), amounts, seed=(5, 0, 0, 0, 1), model=model)


def ball(steps=41):
    axis = np.linspace(-1, 1, steps)
    u = np.stack(np.meshgrid(axis, axis, axis, indexing="ij")).reshape(3, -1)
    u = u[:, (u * u).sum(axis=0) <= 1]
    return u, np.sqrt((u * u).sum(axis=0))


EVERY = [pytest.param(model, latent, id=latent.name) for model in (HCC, BRAIN) for latent in model.latents]
STRUCTURES = [one for one in EVERY if one.values[1].pattern not in ("size", "outline", "mean")]


@pytest.mark.parametrize(("model", "latent"), STRUCTURES)
def test_structure_leaves_the_mean_of_the_lesion_alone(model, latent):
    u, radius = ball()
    sequence = next(iter(latent.weights))
    contrast = lesion({latent.name: 0.0}, model=model).contrast(sequence, u, radius)
    expected = latent.typical * abs(latent.weights[sequence])
    assert contrast.std() == pytest.approx(expected, rel=0.1)
    assert abs(contrast.mean()) < 0.1 * expected


@pytest.mark.parametrize(("model", "latent"), EVERY)
def test_a_latent_changes_exactly_the_sequences_that_it_names(model, latent):
    u, radius = ball(15)
    low, high = (lesion({latent.name: z}, model=model) for z in (-1.0, 1.0))
    for sequence in model.sequences:
        change = np.abs(high.contrast(sequence, u, radius) - low.contrast(sequence, u, radius)).max()
        if latent.pattern in ("size", "outline"):
            assert change == 0  # it changes where the lesion lies, not how it shines
        else:
            assert (change > 1e-3) == (sequence in latent.weights)


def test_a_large_lesion_is_a_small_one_magnified():
    values = dict.fromkeys(NAMES, 0.3)
    direction = np.random.default_rng(0).normal(size=(3, 200))
    points = (direction / np.linalg.norm(direction, axis=0) * np.linspace(0.1, 0.95, 200)).astype(np.float32)
    small, large = lesion(values, 4.0), lesion(values, 30.0)
    seen = [one.contrast("T2", *one.local(tuple(points * one.radius))) for one in (small, large)]
    assert seen[0] == pytest.approx(seen[1], abs=1e-4)


def test_the_box_holds_the_lesion():
    one = lesion(dict.fromkeys(NAMES, 3.0), 20.0, (5.0, 6.0, 7.0))
    center, half = one.box()
    points = np.random.default_rng(1).uniform(-40, 50, (40000, 3)).astype(np.float32)
    inside = one.membership(one.local(tuple(points.T.copy()))[1]) > 0
    assert inside.any()
    assert (np.abs(points[inside] - center) <= half).all()
