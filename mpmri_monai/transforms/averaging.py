"""The crops that test-time averaging looks at: six views of three sizes in five places, cut from the stored crop.

Tajbakhsh et al. (IEEE TMI 35(5), 2016) score a candidate by the mean probability of its patches at scales 1.0, 1.2 and
1.5, shifted by 10 % and flipped or rotated. The views are those of the paper that training follows (`batch.view`).
"""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor
from torch.nn import functional

from mpmri_monai.errors import ConfigError
from mpmri_monai.transforms.batch import VIEWS, view

SCALES = (1.0, 1.2, 1.5)
"""Sides of the crops, in sides of the network's input."""
SHIFT = 0.1
"""How far a crop lies off the centre, in its own side."""
PLACES = ((0, 0), (-1, 0), (1, 0), (0, -1), (0, 1))
"""The centre, and one shift along rows and columns each way."""
CROPS = len(SCALES) * len(PLACES) * VIEWS
"""Crops that the mean is over."""


def check_room(stored: int, pixels: int) -> None:
    """Raise ConfigError when the largest size for an input of ``pixels`` does not fit into crops of ``stored``."""
    largest = max(_sides(pixels))
    if stored < largest:
        raise ConfigError(
            expected=f"stored crops of at least {largest} pixels, to average over scales up to {SCALES[-1]}",
            found=f"{stored}",
            fix=f"--samples#reach of at least {SCALES[-1]}, or --averaging False",
        )


def averaging_crops(images: Tensor, pixels: int) -> Iterator[Tensor]:
    """Yield the ``CROPS`` crops (batch, channel, ``pixels``, ``pixels``) of stored ``images``, the central one first.

    Sides and shifts are whole pixels: a side is rounded to the parity of ``pixels``, so that every size has the same
    centre (32, 38 and 48 of 52 for an input of 32), and a shift ends where the stored crop does (3, 4, and 2 instead
    of 5). The larger sizes are resampled by an antialiased bilinear filter, the smallest is what training sees.

    Args:
        images: (batch, channel, row, column) in [0, 1], square.
        pixels: side of the network's input.

    Raises:
        ConfigError: the largest size does not fit into the stored crops, or they are not square.
    """
    stored, columns = images.shape[-2:]
    if stored != columns:
        raise ConfigError(expected="square stored crops", found=f"{stored}×{columns}")
    check_room(stored, pixels)
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
