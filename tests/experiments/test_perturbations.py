"""Perturbations are what their formulas say: moments, ramps, crops cut elsewhere, attacks that raise the loss."""

import math

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import rice
from torch.nn import functional

from mpmri_monai.errors import ConfigError
from mpmri_monai.experiments.perturbations import fgsm, gain, pgd, rician_noise, shading, shifted_crop
from mpmri_monai.samples.intensity import Window
from mpmri_monai.samples.plane import CropPlane
from mpmri_monai.samples.resample import take_crop
from mpmri_monai.transforms.batch import centre_crop, crop
from mpmri_monai.volumes import Geometry, Stack

MOMENT_TOLERANCE = 0.01
"""Relative: ten times the standard error of a second moment over 5·10⁵ pixels."""

ROOM = 10
"""Pixels between the stored crop of 52 and the network's 32, on each side."""


def flat(level, count=2, channels=2, side=500):
    return torch.full((count, channels, side, side), level), torch.ones((count, channels), dtype=torch.bool)


@pytest.mark.parametrize("sigma", [0.02, 0.1])
@pytest.mark.parametrize("level", [0.0, 0.05, 0.4])
def test_rician_noise_has_the_moments_of_the_rice_distribution(level, sigma):
    noisy = rician_noise(*flat(level), sigma, np.random.default_rng(0)).double()
    assert float((noisy**2).mean()) == pytest.approx(level**2 + 2 * sigma**2, rel=MOMENT_TOLERANCE)
    assert float(noisy.mean()) == pytest.approx(rice(level / sigma, scale=sigma).mean(), rel=MOMENT_TOLERANCE)
    if level == 0:
        assert float(noisy.mean()) == pytest.approx(sigma * math.sqrt(math.pi / 2), rel=MOMENT_TOLERANCE)


def test_noise_depends_on_the_generator_alone():
    images, present = flat(0.3, side=8)
    first, again, other = (rician_noise(images, present, 0.1, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_shading_is_a_ramp_of_mean_one_along_its_angle():
    images, present = flat(0.5, count=3, side=33)
    shaded = shading(images, present, 0.4, torch.tensor([0.0, math.pi / 2, math.pi / 4])) / 0.5
    assert torch.allclose(shaded.mean(dim=(-2, -1)), torch.ones(3, 2), atol=1e-6)
    assert torch.allclose(shaded[0, :, 0], shaded[0, :, -1])  # along a row: the same in every row
    assert shaded[0, 0, 0, -1] > 1 > shaded[0, 0, 0, 0]
    assert torch.allclose(shaded[1], shaded[0].transpose(-2, -1), atol=1e-6)
    assert float(shaded[2].max()) == pytest.approx(1.4, abs=1e-5)  # the ramp's ends are the corners at 45°
    assert float(shaded[2].min()) == pytest.approx(0.6, abs=1e-5)


def test_gain_multiplies_and_clips():
    images = torch.tensor([0.1, 0.5, 0.9]).reshape(3, 1, 1, 1)
    present = torch.ones((3, 1), dtype=torch.bool)
    assert gain(images, present, 1.5).flatten().tolist() == pytest.approx([0.15, 0.75, 1.0])


@given(rows=st.integers(-ROOM, ROOM), columns=st.integers(-ROOM, ROOM))
@settings(max_examples=30, deadline=None)
def test_a_shift_by_whole_pixels_is_a_crop_cut_elsewhere(rows, columns):
    assume(math.hypot(rows, columns) <= ROOM)
    images = torch.rand((2, 3, 52, 52), generator=torch.Generator().manual_seed(0))
    pitch = torch.tensor([0.7, 0.7], dtype=torch.float64)
    angles = torch.full((2,), math.atan2(rows, columns), dtype=torch.float64)
    shifted = shifted_crop(images, 32, 0.7 * math.hypot(rows, columns), angles, pitch)
    assert torch.allclose(shifted, crop(images, 32, torch.tensor([rows] * 2), torch.tensor([columns] * 2)), atol=1e-6)


@given(
    shift_mm=st.floats(0, 6),
    angle=st.floats(-math.pi, math.pi),
    pitch_mm=st.floats(0.65, 1.5),
)
@settings(max_examples=20, deadline=None)
def test_a_shift_in_mm_equals_re_cutting_the_volume_there(shift_mm, angle, pitch_mm):
    """The signal is linear in the place, which bilinear interpolation keeps exactly, twice as well as once."""
    geometry = Geometry(np.array([[2.0, 0, 0, -60], [0, 2.0, 0, -60], [0, 0, 5.0, 0], [0, 0, 0, 1]]), (61, 61, 1))
    rows, columns = np.mgrid[0:61, 0:61]
    stack = Stack((10 + 3.0 * columns + 2.0 * rows)[None].astype(np.float32), np.ones(1), np.zeros(1), geometry)
    window = Window(0.0, 400.0)
    axes = np.eye(3)

    def cut(pixels, centre):
        return take_crop(stack, CropPlane(np.asarray(centre), axes[0], axes[1], pitch_mm, pixels), window).image

    stored = torch.as_tensor(cut(52, [1.0, -2.0, 0.0]))[None, None]
    centre = [1.0 + shift_mm * math.cos(angle), -2.0 + shift_mm * math.sin(angle), 0.0]
    shifted = shifted_crop(stored, 32, shift_mm, torch.tensor([angle]).double(), torch.tensor([pitch_mm]).double())
    assert torch.allclose(shifted[0, 0], torch.as_tensor(cut(32, centre)), atol=1e-5)


def test_a_shift_beyond_the_stored_crop_is_refused():
    images = torch.rand((1, 1, 52, 52))
    with pytest.raises(ConfigError, match=r"at most 5\.0 mm"):
        shifted_crop(images, 32, 5.5, torch.zeros(1), torch.tensor([0.5], dtype=torch.float64))
    unmoved = shifted_crop(images, 32, 0.0, torch.zeros(1), torch.tensor([0.5], dtype=torch.float64))
    assert torch.allclose(unmoved, centre_crop(images, 32), atol=1e-6)


@pytest.fixture
def classifier():
    torch.manual_seed(0)
    network = torch.nn.Sequential(
        torch.nn.Conv2d(2, 6, 3), torch.nn.Tanh(), torch.nn.Flatten(), torch.nn.Linear(6 * 36, 3)
    )
    images = 0.2 + 0.6 * torch.rand((16, 2, 8, 8))
    label = torch.arange(16) % 3
    return images, lambda batch: functional.cross_entropy(network(batch), label, reduction="none")


@pytest.mark.parametrize("epsilon", [0.002, 0.02])
def test_attacks_raise_every_loss_within_their_ball_and_steps_raise_it_more(classifier, epsilon):
    images, loss = classifier
    present = torch.ones((16, 2), dtype=torch.bool)
    one_step = fgsm(images, present, epsilon, loss)
    many = pgd(images, present, epsilon, loss, np.random.default_rng(0))
    for attacked in (one_step, many):
        assert float((attacked - images).abs().max()) <= epsilon * (1 + 1e-4)
        assert (loss(attacked) > loss(images)).all()
    assert (loss(many) >= loss(one_step)).all()


def test_fgsm_moves_a_linear_loss_by_epsilon_times_the_sum_of_its_weights():
    weight = torch.linspace(-1, 1, 16).reshape(1, 1, 4, 4)
    images = torch.full((1, 1, 4, 4), 0.5)
    attacked = fgsm(images, torch.ones((1, 1), dtype=torch.bool), 0.1, lambda x: (x * weight).sum(dim=(1, 2, 3)))
    assert float((attacked * weight).sum()) == pytest.approx(0.1 * float(weight.abs().sum()), rel=1e-5)


def test_a_channel_that_is_not_there_stays_zero_and_all_stay_in_range(classifier):
    images, loss = classifier
    present = torch.ones((16, 2), dtype=torch.bool)
    present[::2, 1] = False
    images = images * present[:, :, None, None]
    rng, angles = np.random.default_rng(0), torch.linspace(0, 6, 16)
    for changed in (
        rician_noise(images, present, 0.5, rng),
        shading(images, present, 0.8, angles),
        gain(images, present, 3.0),
        shifted_crop(images, 4, 1.0, angles, torch.ones(16)),
        fgsm(images, present, 0.3, loss),
        pgd(images, present, 0.3, loss, rng),
    ):
        assert (changed[::2, 1] == 0).all()
        assert 0 <= float(changed.min()) <= float(changed.max()) <= 1
