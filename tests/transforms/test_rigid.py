"""Rotations about the depth axis and translations of stored crops."""

import math

import numpy as np
import pytest
import torch
from scipy.ndimage import affine_transform

from mpmri_monai.errors import ConfigError
from mpmri_monai.transforms.batch import centre_crop
from mpmri_monai.transforms.rigid import RigidAugmentation

SIZE, STORED = (4, 9, 9), (6, 15, 15)
ROUNDING = 1e-5
"""float32 coordinates of about ten pixels, times differences of neighbours of at most 1."""


@pytest.fixture
def images():
    return torch.rand((5, 2, *STORED), generator=torch.Generator().manual_seed(1))


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(2)


def test_nothing_moves_where_nothing_may(images, generator):
    still = RigidAugmentation(SIZE, 3, rotation_deg=0, shift=0, depth_shift=0)
    angles = still.variants(5, generator)
    assert torch.equal(still(images, angles[:, 0], generator), centre_crop(images, SIZE))


def test_motion_by_nothing_gives_the_central_crop(images, generator):
    """The general way, at angle 0 without translation."""
    turning = RigidAugmentation(SIZE, 1, rotation_deg=90, shift=0, depth_shift=0)
    torch.testing.assert_close(
        turning(images, torch.zeros(5), generator), centre_crop(images, SIZE), rtol=0, atol=ROUNDING
    )


def test_quarter_turns_are_exact_and_positive_ones_go_counter_clockwise(images, generator):
    turning = RigidAugmentation(SIZE, 1, rotation_deg=180, shift=0, depth_shift=0)
    seen = turning(images, torch.tensor([90.0, -90.0, 180.0, 0.0, -180.0]), generator)
    crop = centre_crop(images, SIZE)
    wanted = [crop[0].rot90(1, (-2, -1)), crop[1].rot90(-1, (-2, -1)), crop[2].rot90(2, (-2, -1)), crop[3]]
    for index, image in enumerate([*wanted, crop[4].rot90(2, (-2, -1))]):
        torch.testing.assert_close(seen[index], image, rtol=0, atol=ROUNDING)


@pytest.mark.parametrize("size", [SIZE, (4, 9, 7), (1, 9, 9)])
def test_any_motion_is_that_of_an_independent_resampler(images, size):
    """SciPy's affine_transform, order 1, nearest at the border; the far translations reach beyond the stored crop."""
    shift, depth_shift = min(size[1:]) / 2, size[0] / 2
    moving = RigidAugmentation(size, 1, rotation_deg=180, shift=shift, depth_shift=depth_shift)
    angles = torch.tensor([-170.0, -33.0, 12.5, 90.0, 141.0])
    seen = moving(images, angles, torch.Generator().manual_seed(3))
    drawn = torch.Generator().manual_seed(3)
    plane = (2 * torch.rand((2, 5), generator=drawn) - 1) * shift
    deep = (2 * torch.rand(5, generator=drawn) - 1) * depth_shift
    centre = np.array([(stored - part) // 2 + (part - 1) / 2 for stored, part in zip(STORED, size, strict=True)])
    for index, angle in enumerate(angles.tolist()):
        cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
        matrix = np.array([[1, 0, 0], [0, cos, sin], [0, -sin, cos]])
        moved = centre + np.array([deep[index], *plane[:, index]])
        offset = moved - matrix @ ((np.array(size) - 1) / 2)
        for channel in range(2):
            wanted = affine_transform(images[index, channel].numpy(), matrix, offset, size, order=1, mode="nearest")
            np.testing.assert_allclose(seen[index, channel].numpy(), wanted, atol=2 * ROUNDING)


def test_values_stay_in_their_range_and_absent_channels_stay_zero(images, generator):
    images[:, 1] = 0
    moving = RigidAugmentation(SIZE, 1, shift=4.5, depth_shift=2.0)
    seen = moving(images, moving.variants(5, generator)[:, 0], generator)
    assert seen.shape == (5, 2, *SIZE)
    assert seen.min() >= 0
    assert seen.max() <= 1 + ROUNDING
    assert not seen[:, 1].any()


def test_the_angles_of_a_sample_are_spread_over_the_range(generator):
    angles = RigidAugmentation(SIZE, 32, rotation_deg=90).variants(7, generator)
    assert angles.shape == (7, 32)
    parts = ((angles + 90) / 180 * 32).floor()
    assert torch.equal(parts.sort(dim=1).values, torch.arange(32.0).expand(7, 32))
    assert len(angles.unique()) == 7 * 32


def test_motion_depends_on_its_generator_alone(images):
    moving = RigidAugmentation(SIZE)
    angles = moving.variants(5, torch.Generator().manual_seed(4))[:, 3]
    torch.manual_seed(1)
    first = moving(images, angles, torch.Generator().manual_seed(7))
    torch.manual_seed(2)
    assert torch.equal(first, moving(images, angles, torch.Generator().manual_seed(7)))
    assert not torch.equal(first, moving(images, angles, torch.Generator().manual_seed(8)))


@pytest.mark.parametrize(
    "options",
    [
        {"size": (9, 9)},
        {"size": (0, 9, 9)},
        {"copies": 0},
        {"rotation_deg": -1},
        {"rotation_deg": 181},
        {"rotation_deg": math.nan},
        {"shift": -1},
        {"shift": math.inf},
        {"depth_shift": math.nan},
        {"shift": 4.6},
        {"depth_shift": 2.1},
    ],
)
def test_values_that_mean_nothing_are_refused(options):
    with pytest.raises(ConfigError):
        RigidAugmentation(**{"size": SIZE} | options)


def test_planes_and_too_small_crops_are_refused(images, generator):
    moving = RigidAugmentation((7, 9, 9))
    with pytest.raises(ConfigError, match="at least 7×9×9"):
        moving(images, torch.ones(5), generator)
    with pytest.raises(ConfigError, match="volumes"):
        moving(images[:, :, 0], torch.ones(5), generator)


@pytest.mark.parametrize(
    ("options", "stored", "far"),
    [
        ({"shift": 0, "depth_shift": 0}, (4, 12, 12), 0),  # the diagonal of 9x9 points is 8 * sqrt(2) = 11.3 long
        ({"shift": 0, "depth_shift": 0}, (4, 9, 9), 4 * math.sqrt(2) - 4.5),
        ({"shift": 2, "depth_shift": 0}, (4, 12, 12), 4 * math.sqrt(2) + 2 - 6),
        ({"shift": 0, "depth_shift": 2}, (5, 12, 12), 1),
        ({"shift": 1, "depth_shift": 0, "rotation_deg": 0}, (4, 9, 9), 0.5),
        ({"shift": 0, "depth_shift": 0, "rotation_deg": 90}, (4, 9, 9), 4 * math.sqrt(2) - 4.5),
    ],
)
def test_motions_beyond_the_stored_crop_are_told_once(options, stored, far, generator, caplog):
    moving = RigidAugmentation(SIZE, 1, **options)
    assert moving.beyond(stored) == pytest.approx(far)
    for _ in range(2):
        moving(torch.rand((3, 1, *stored)), torch.zeros(3), generator)
    assert caplog.text.count("beyond the stored crops") == (far > 0)
