"""Rotations about the depth axis and translations of stored crops."""

import math

import numpy as np
import pytest
import torch

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


def keys(distance):
    """Weight of a pixel in a cubic convolution (Keys 1981, equation 4), a = -0.75."""
    x, a = abs(distance), -0.75
    if x >= 2:
        return 0.0
    return ((a + 2) * x - (a + 3)) * x * x + 1 if x < 1 else ((a * x - 5 * a) * x + 8 * a) * x - 4 * a


def cubic(plane, row, column):
    """Return the value of a plane between its pixels, its border repeated."""
    total = 0.0
    for i in range(math.floor(row) - 1, math.floor(row) + 3):
        for j in range(math.floor(column) - 1, math.floor(column) + 3):
            pixel = plane[min(max(i, 0), plane.shape[0] - 1), min(max(j, 0), plane.shape[1] - 1)]
            total += keys(row - i) * keys(column - j) * pixel
    return min(max(total, 0.0), 1.0)


@pytest.mark.parametrize("size", [SIZE, (4, 9, 7), (1, 9, 9)])
def test_any_motion_is_that_of_the_definition(images, size):
    """Cubic convolutions within whole slices; the far translations reach beyond the stored crop."""
    shift, depth_shift = min(size[1:]) / 2, size[0] // 2
    moving = RigidAugmentation(size, 1, rotation_deg=180, shift=shift, depth_shift=depth_shift)
    angles = torch.tensor([-170.0, -33.0, 12.5, 90.0, 141.0])
    seen = moving(images, angles, torch.Generator().manual_seed(3))
    drawn = torch.Generator().manual_seed(3)
    plane = (2 * torch.rand((2, 5), generator=drawn) - 1) * shift
    deep = torch.randint(-depth_shift, depth_shift + 1, (5,), generator=drawn)
    start, *centre = ((stored - part) // 2 for stored, part in zip(STORED, size, strict=True))
    for index, angle in enumerate(angles.tolist()):
        cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
        for at in ((0, 0, 0), (size[0] - 1, 3, 5), (0, size[1] - 1, 2)):
            row, column = (place - (part - 1) / 2 for place, part in zip(at[1:], size[1:], strict=True))
            moved = np.array([[cos, sin], [-sin, cos]]) @ [row, column] + plane[:, index].numpy()
            moved += np.array(centre) + (np.array(size[1:]) - 1) / 2
            taken = min(max(start + at[0] + int(deep[index]), 0), STORED[0] - 1)
            for channel in range(2):
                wanted = cubic(images[index, channel, taken].numpy(), *moved)
                assert float(seen[(index, channel, *at)]) == pytest.approx(wanted, abs=2 * ROUNDING)


def test_moved_crops_are_as_sharp_as_those_that_are_not(generator):
    """Waves four pixels long keep their contrast; linear interpolation leaves 82 % of it, and less between slices."""
    column = torch.arange(41.0) * 2 * math.pi / 4
    phases = 2 * math.pi * torch.rand((200, 1, 8, 1, 1), generator=generator)
    waves = (0.5 + 0.4 * torch.sin(column + phases)).expand(-1, -1, -1, 41, -1)
    moving = RigidAugmentation((4, 25, 25), 1, depth_shift=1)
    moved = moving(waves, moving.variants(200, generator)[:, 0], generator)
    assert float(moved.std()) > 0.97 * float(centre_crop(waves, (4, 25, 25)).std())


def test_slices_are_those_that_were_acquired(generator):
    stored = torch.arange(6.0)[:, None, None].expand(50, 1, 6, 15, 15) / 10
    moving = RigidAugmentation(SIZE, 1, depth_shift=1)
    seen = moving(stored, moving.variants(50, generator)[:, 0], generator)
    torch.testing.assert_close(seen, seen[..., :1, :1].expand_as(seen), rtol=0, atol=ROUNDING)
    first = (10 * seen[:, 0, 0, 0, 0]).round().int().tolist()
    assert set(first) == {0, 1, 2}
    steps = seen[:, 0, 1:, 0, 0] - seen[:, 0, :-1, 0, 0]
    torch.testing.assert_close(steps, torch.full_like(steps, 0.1), rtol=0, atol=ROUNDING)


def test_values_stay_in_their_range_and_absent_channels_stay_zero(images, generator):
    images[:, 1] = 0
    moving = RigidAugmentation(SIZE, 1, shift=4.5, depth_shift=2)
    seen = moving(images, moving.variants(5, generator)[:, 0], generator)
    assert seen.shape == (5, 2, *SIZE)
    assert seen.min() >= 0
    assert seen.max() <= 1
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
        {"depth_shift": 3},
        {"depth_shift": 0.5},
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
