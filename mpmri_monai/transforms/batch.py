"""Augmentation of whole batches on the device where they lie: the six views and the random crop of the paper.

Jia et al. (KSII TIIS 13(10), 2019) store each sample six times (identity, three rotations by 90°, two flips) and crop
32 of 36 pixels at random. Copies never count as samples: here a view is only another way to visit one.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mpmri_monai.errors import ConfigError

VIEWS = 6
"""Identity, rotations by 90°, 180° and 270°, flip of columns, flip of rows; in this order."""


def view(images: Tensor, index: int) -> Tensor:
    """Return view ``index`` (0…5) of ``images`` (…, row, column)."""
    if not 0 <= index < VIEWS:
        raise ConfigError(expected=f"a view from 0 to {VIEWS - 1}", found=str(index))
    if index < 4:
        return torch.rot90(images, index, dims=(-2, -1))
    return images.flip(-1 if index == 4 else -2)


def views_of_batch(images: Tensor, views: Tensor) -> Tensor:
    """Return ``images`` (batch, channel, row, column), each in its own view; ``views`` is int (batch,)."""
    result = torch.empty_like(images)
    for index in range(VIEWS):
        chosen = torch.nonzero(views == index).flatten()
        if len(chosen):
            result[chosen] = view(images[chosen], index)
    return result


def crop(images: Tensor, pixels: int, row_offsets: Tensor, column_offsets: Tensor) -> Tensor:
    """Return ``pixels``×``pixels`` crops whose centres lie the given whole pixels off the images' centre.

    Args:
        images: (batch, channel, row, column).
        pixels: side of the crop.
        row_offsets, column_offsets: int (batch,).

    Raises:
        ConfigError: the images are smaller than the crop and its offset.
    """
    room = (images.shape[-1] - pixels) // 2
    reach = int(max(row_offsets.abs().max(), column_offsets.abs().max())) if len(row_offsets) else 0
    if reach > room or images.shape[-2] != images.shape[-1]:
        raise ConfigError(
            expected=f"square images of at least {pixels + 2 * reach} pixels",
            found="×".join(map(str, images.shape[-2:])),
        )
    span = torch.arange(pixels, device=images.device) + room
    batch = torch.arange(len(images), device=images.device)[:, None, None, None]
    channels = torch.arange(images.shape[1], device=images.device)[None, :, None, None]
    rows = (span + row_offsets[:, None])[:, None, :, None]
    columns = (span + column_offsets[:, None])[:, None, None, :]
    return images[batch, channels, rows, columns]


def centre_crop(images: Tensor, pixels: int) -> Tensor:
    """Return the central ``pixels``×``pixels`` of ``images`` (…, row, column); what evaluation and inference see."""
    top, left = ((length - pixels) // 2 for length in images.shape[-2:])
    if top < 0 or left < 0:
        raise ConfigError(expected=f"images of at least {pixels} pixels", found="×".join(map(str, images.shape[-2:])))
    return images[..., top : top + pixels, left : left + pixels]


def augment(images: Tensor, views: Tensor, pixels: int, jitter: int, generator: torch.Generator) -> Tensor:
    """Return the views of a batch, cropped to ``pixels`` at random within ±``jitter`` pixels of the centre.

    A jitter of 2 is the paper's random crop of 32 from 36. The random numbers come from ``generator`` (on the CPU, so
    that they do not depend on the device).
    """
    offsets = torch.randint(-jitter, jitter + 1, (2, len(images)), generator=generator).to(images.device)
    return views_of_batch(crop(images, pixels, offsets[0], offsets[1]), views)
