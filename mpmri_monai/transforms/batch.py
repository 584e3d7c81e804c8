"""Augmentation of whole batches on the device where they lie: the six views and the random crop of the paper.

Jia et al. (KSII TIIS 13(10), 2019) store each sample six times (identity, three rotations by 90°, two flips) and crop
32 of 36 pixels at random. Copies never count as samples: here a view is only another way to visit one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from mpmri_monai.errors import ConfigError

VIEWS = 6
"""Identity, rotations by 90°, 180° and 270°, flip of columns, flip of rows; in this order."""


class Augmentation(Protocol):
    """How a training loader shows a sample each time that it visits it.

    Attributes:
        visits: times that an epoch visits each sample.
    """

    visits: int

    def variants(self, samples: int, generator: torch.Generator) -> Tensor:
        """Return what tells the visits of one epoch apart, (sample, visit)."""

    def __call__(self, images: Tensor, variants: Tensor, generator: torch.Generator) -> Tensor:
        """Return a batch as the network sees it.

        Args:
            images: stored crops (batch, channel, …).
            variants: (batch,), of the visits that the batch is made of.
            generator: on the CPU, so that random numbers do not depend on the device.
        """


class Views:
    """The augmentation of the paper: each visit another of the six views, of a crop shifted at random.

    Args:
        views: visits an epoch, 1 to 6; with 6 every view of every sample is seen each epoch.
        pixels: side of the network's input.
        jitter: largest shift of the crop in pixels; 2 is the paper's crop of 32 from 36.

    Raises:
        ConfigError: a value that means nothing.
    """

    def __init__(self, views: int = 6, pixels: int = 32, jitter: int = 2) -> None:
        if not 1 <= views <= VIEWS:
            raise ConfigError(expected=f"views between 1 and {VIEWS}", found=str(views))
        if jitter < 0:
            raise ConfigError(expected="a jitter of 0 pixels or more", found=str(jitter))
        self.visits, self.pixels, self.jitter = views, pixels, jitter

    def variants(self, samples: int, generator: torch.Generator) -> Tensor:
        """Return the numbers of different views, int (sample, visit)."""
        return torch.rand((samples, VIEWS), generator=generator).argsort(dim=1)[:, : self.visits]

    def __call__(self, images: Tensor, variants: Tensor, generator: torch.Generator) -> Tensor:
        """Return crops (batch, channel, ``pixels``, ``pixels``) of ``images`` (batch, channel, row, column)."""
        return augment(images, variants, self.pixels, self.jitter, generator)


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
        ConfigError: the images are smaller than the crop and its offset, not square, or volumes.
    """
    if images.ndim != 4:
        raise ConfigError(
            expected="images (batch, channel, row, column)", found=f"a shape of {'×'.join(map(str, images.shape))}"
        )
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


def as_size(size: int | Sequence[int]) -> tuple[int, ...]:
    """Return what a network sees as (row, column) or (depth, row, column), in pixels; a number is a square's side."""
    return (size, size) if isinstance(size, int) else tuple(int(length) for length in size)


def centre_starts(shape: Sequence[int], size: Sequence[int]) -> tuple[int, ...]:
    """Return where the central part of ``size`` begins along each axis of ``shape``.

    Raises:
        ConfigError: the part is larger, or has more axes.
    """
    if len(shape) != len(size) or any(length < part for length, part in zip(shape, size, strict=True)):
        least = f"{size[0]}" if len(set(size)) == 1 else "×".join(map(str, size))
        raise ConfigError(expected=f"images of at least {least} pixels", found="×".join(map(str, shape)))
    return tuple((length - part) // 2 for length, part in zip(shape, size, strict=True))


def centre_crop(images: Tensor, size: int | Sequence[int]) -> Tensor:
    """Return the central part of ``images``; what evaluation and inference see.

    Args:
        images: (…, row, column), or (…, depth, row, column) for a size of three.
        size: of the part, as `as_size` takes it.

    Raises:
        ConfigError: the images are smaller.
    """
    wanted = as_size(size)
    starts = centre_starts(images.shape[-len(wanted) :], wanted)
    return images[..., *(slice(start, start + part) for start, part in zip(starts, wanted, strict=True))]


def augment(images: Tensor, views: Tensor, pixels: int, jitter: int, generator: torch.Generator) -> Tensor:
    """Return the views of a batch, cropped to ``pixels`` at random within ±``jitter`` pixels of the centre.

    A jitter of 2 is the paper's random crop of 32 from 36. The random numbers come from ``generator`` (on the CPU, so
    that they do not depend on the device).
    """
    offsets = torch.randint(-jitter, jitter + 1, (2, len(images)), generator=generator).to(images.device)
    return views_of_batch(crop(images, pixels, offsets[0], offsets[1]), views)
