"""The crops that test-time averaging looks at: six views of three sizes in five places, cut from the stored crop.

Tajbakhsh et al. (IEEE TMI 35(5), 2016) score a candidate by the mean probability of its patches at scales 1.0, 1.2 and
1.5, shifted by 10 % and flipped or rotated. The views are those of the paper that training follows (`batch.view`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch import Tensor
from torch.nn import functional

from mpmri_monai.errors import ConfigError
from mpmri_monai.transforms.batch import VIEWS, as_size, view

SCALES = (1.0, 1.2, 1.5)
"""Sides of the crops, in sides of the network's input."""
SHIFT = 0.1
"""How far a crop lies off the centre, in its own side."""
PLACES = ((0, 0), (-1, 0), (1, 0), (0, -1), (0, 1))
"""The centre, and one shift along rows and columns each way."""
CROPS = len(SCALES) * len(PLACES) * VIEWS
"""Crops that the mean is over."""


def check_room(stored: int | Sequence[int], size: int | Sequence[int]) -> None:
    """Refuse to average over crops for an input of ``size`` from stored crops of ``stored``, sizes as in `as_size`.

    Raises:
        ConfigError: they are volumes or not square, or the largest crop does not fit.
    """
    seen, room = as_size(size), as_size(stored)
    found = f"{'×'.join(map(str, room))} for an input of {'×'.join(map(str, seen))}"
    if len(seen) != 2 or len(room) != 2:
        raise ConfigError(
            expected="crops of one plane, to average over their views, sizes and places",
            found=f"volumes of {found}",
            fix="--averaging False",
        )
    if seen[0] != seen[1] or room[0] != room[1]:
        raise ConfigError(expected="square stored crops", found=found)
    largest = max(_sides(seen[0]))
    if room[0] < largest:
        raise ConfigError(
            expected=f"stored crops of at least {largest} pixels, to average over scales up to {SCALES[-1]}",
            found=f"{room[0]}",
            fix=f"--samples#reach of at least {SCALES[-1]}, or --averaging False",
        )


def averaging_crops(images: Tensor, size: int | Sequence[int]) -> Iterator[Tensor]:
    """Yield the ``CROPS`` crops (batch, channel, row, column) of ``size`` of stored ``images``, the central one first.

    Sides and shifts are whole pixels: a side is rounded to the parity of the input's, so that every size has the same
    centre (32, 38 and 48 of 52 for an input of 32), and a shift ends where the stored crop does (3, 4, and 2 instead
    of 5). The larger sizes are resampled by an antialiased bilinear filter, the smallest is what training sees.

    Args:
        images: (batch, channel, row, column) in [0, 1], square.
        size: of the network's input, square.

    Raises:
        ConfigError: as `check_room`.
    """
    check_room(images.shape[2:], size)
    stored, pixels = images.shape[-1], as_size(size)[0]
    for side in _sides(pixels):
        room = (stored - side) // 2
        shift = min(round(SHIFT * side), room)
        for down, right in PLACES:
            top, left = room + down * shift, room + right * shift
            seen = _resampled(images[..., top : top + side, left : left + side], pixels)
            for index in range(VIEWS):
                yield view(seen, index)


def _sides(pixels: int) -> list[int]:
    return [pixels + 2 * round((scale - 1) * pixels / 2) for scale in SCALES]


def _resampled(images: Tensor, pixels: int) -> Tensor:
    if images.shape[-1] == pixels:
        return images
    return functional.interpolate(images, size=(pixels, pixels), mode="bilinear", align_corners=False, antialias=True)
