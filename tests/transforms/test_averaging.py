"""The crops of test-time averaging, by what a ramp and known pictures must become."""

import pytest
import torch
from torch.nn import functional

from mpmri_monai.errors import ConfigError
from mpmri_monai.transforms.averaging import CROPS, PLACES, averaging_crops, check_room
from mpmri_monai.transforms.batch import VIEWS, centre_crop, view

ROUNDING = 1e-5
"""Relative; sums of float32 over a crop."""


def ramp(stored=52):
    """Row number in channel 0, column number in channel 1, both from the centre."""
    line = torch.arange(stored, dtype=torch.float32) - (stored - 1) / 2
    return torch.stack([line[:, None].expand(stored, stored), line[None, :].expand(stored, stored)])[None]


def unturned(images, pixels=32):
    """The crops of view 0, by scale and place."""
    return list(averaging_crops(images, pixels))[::VIEWS]


def test_there_are_six_views_of_three_sizes_in_five_places():
    crops = list(averaging_crops(torch.rand(2, 3, 52, 52), 32))
    assert len(crops) == CROPS == 90
    assert {tuple(crop.shape) for crop in crops} == {(2, 3, 32, 32)}
    assert len({tuple(crop.flatten().tolist()) for crop in crops}) == CROPS  # no two are the same picture


def test_the_first_crop_is_what_is_seen_without_averaging():
    images = torch.rand(2, 3, 52, 52)
    assert torch.equal(next(iter(averaging_crops(images, 32))), centre_crop(images, 32))


def test_each_place_is_seen_in_all_views():
    crops = list(averaging_crops(torch.rand(1, 2, 52, 52), 32))
    for start in range(0, CROPS, VIEWS):
        for index in range(VIEWS):
            assert torch.equal(crops[start + index], view(crops[start], index))


@pytest.mark.parametrize(
    ("stored", "pixels", "shifts"),
    [(52, 32, (3, 4, 2)), (62, 32, (3, 4, 5)), (48, 32, (3, 4, 0)), (78, 48, (5, 6, 3)), (53, 33, (3, 4, 2))],
)
def test_shifts_are_a_tenth_of_the_crop_or_the_room_that_there_is(stored, pixels, shifts):
    """The mean over a crop of a ramp is its value at the crop's centre, resampled or not."""
    found = [crop.mean(dim=(0, 2, 3)) for crop in unturned(ramp(stored), pixels)]
    wanted = [(down * shift, right * shift) for shift in shifts for down, right in PLACES]
    torch.testing.assert_close(torch.stack(found), torch.tensor(wanted, dtype=torch.float32), rtol=0, atol=1e-4)


def test_larger_sizes_are_resampled_to_the_input():
    """Within a resampled ramp, one pixel of the input spans side / 32 stored pixels."""
    for crop, side in zip(unturned(ramp())[:: len(PLACES)], (32, 38, 48), strict=True):
        line = crop[0, 0, 4:28, 16]
        assert ((line[-1] - line[0]) / 23).item() == pytest.approx(side / 32, rel=0.01)


def test_resampling_averages_over_area():
    """A chequerboard at the finest pitch becomes grey where pixels are larger than its fields."""
    line = torch.arange(64)
    board = ((line[:, None] + line[None, :]) % 2).float()[None, None]
    largest = unturned(board, 32)[2 * len(PLACES)]
    aliased = functional.interpolate(centre_crop(board, 48), size=(32, 32), mode="bilinear", align_corners=False)
    inner = largest[..., 2:-2, 2:-2]
    assert inner.std() < 0.2 * aliased[..., 2:-2, 2:-2].std()
    assert inner.mean() == pytest.approx(0.5, abs=0.01)


def test_values_stay_between_those_of_the_image_and_absent_channels_stay_zero():
    images = torch.rand(2, 3, 52, 52)
    images[:, 1] = 0
    crops = torch.stack(list(averaging_crops(images, 32)))
    assert crops.min() >= 0
    assert crops.max() <= 1 + ROUNDING
    assert (crops[:, :, 1] == 0).all()


def test_a_picture_turned_by_180_degrees_gives_the_same_mean():
    """Views, places and sizes go into themselves under this turn; a cut that is off by one pixel would not."""
    images, weights = torch.rand(1, 1, 52, 52), torch.rand(32, 32)
    answers = [
        torch.stack([torch.sigmoid((crop * weights).mean(dim=(1, 2, 3))) for crop in averaging_crops(seen, 32)]).mean()
        for seen in (images, view(images, 2))
    ]
    assert answers[0] == pytest.approx(answers[1].item(), rel=ROUNDING)


def test_stored_crops_that_are_too_small_or_no_squares_are_refused():
    with pytest.raises(ConfigError, match=r"at least 48 pixels.*found 46.*averaging False"):
        next(iter(averaging_crops(torch.rand(1, 1, 46, 46), 32)))
    with pytest.raises(ConfigError, match="52×60"):
        next(iter(averaging_crops(torch.rand(1, 1, 52, 60), 32)))
    with pytest.raises(ConfigError, match=r"one plane.*6×52×52.*averaging False"):
        next(iter(averaging_crops(torch.rand(1, 1, 6, 52, 52), (4, 32, 32))))


def test_room_is_asked_for_before_there_are_images():
    check_room(48, 32)
    check_room((52, 52), [32, 32])
    with pytest.raises(ConfigError, match="at least 48"):
        check_room(47, 32)
    with pytest.raises(ConfigError, match="32×30"):
        check_room(52, (32, 30))
    with pytest.raises(ConfigError, match="6×40×40"):
        check_room((6, 40, 40), (4, 25, 25))
