"""Augmentation of grid samples on the device: rotations about the depth axis and translations, in one step a batch."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from mpmri_monai.errors import ConfigError
from mpmri_monai.transforms.batch import centre_crop, centre_starts

logger = logging.getLogger(__name__)


class RigidAugmentation:
    """Each visit of a sample is another rigid motion of its stored crop, cut to what the network sees.

    The slices of a grid sample lie further apart than the points within one, so that samples are turned about the depth
    axis alone. The angles of one sample's visits are spread over their range: it is cut into as many equal parts as
    there are visits, and each visit draws from a part of its own. Translations are uniform along each axis.

    A network is asked about crops that were not moved, so moved ones have to be as sharp: of smoother ones it learns
    how much texture and noise a class has, and takes the sharp ones for the class with more. So values between pixels
    are cubic convolutions (Keys, IEEE TASSP 29(6), 1981, with a = -0.75), cut to [0, 1], and nothing is interpolated
    between slices. Values outside the stored crop are its border's; where motions reach that far, the log says so once.

    Args:
        size: of the network's input, (depth, row, column) in voxels.
        copies: visits an epoch.
        rotation_deg: largest rotation either way; 180 allows any.
        shift: largest translation along rows and columns either way, in voxels.
        depth_shift: largest translation along the depth either way, in whole slices.

    Raises:
        ConfigError: a value that means nothing, or a translation by more than half the size, which would move what lies
            in the centre, the lesion, out of view.
    """

    def __init__(
        self,
        size: Sequence[int],
        copies: int = 32,
        rotation_deg: float = 180.0,
        shift: float = 2.0,
        depth_shift: int = 0,
    ) -> None:
        self.size = tuple(int(length) for length in size)
        if len(self.size) != 3 or min(self.size) < 1:
            raise ConfigError(expected="a size (depth, row, column) in voxels", found=repr(size))
        if copies < 1:
            raise ConfigError(expected="at least 1 copy of each sample", found=str(copies))
        if not 0 <= rotation_deg <= 180:
            raise ConfigError(expected="a rotation_deg from 0 to 180", found=str(rotation_deg))
        most, deepest = min(self.size[1:]) / 2, self.size[0] / 2
        if not (0 <= shift <= most and 0 <= depth_shift <= deepest):
            raise ConfigError(
                expected=f"a shift from 0 to {most:g} voxels and a depth_shift from 0 to {deepest:g}, half the size",
                found=f"{shift} and {depth_shift}",
            )
        if depth_shift % 1:
            raise ConfigError(expected="a depth_shift of whole slices", found=str(depth_shift))
        self.visits, self.rotation_deg, self.shift, self.depth_shift = copies, rotation_deg, shift, int(depth_shift)
        self._told = False

    def variants(self, samples: int, generator: torch.Generator) -> Tensor:
        """Return the angles of the visits in degrees, counter-clockwise with rows downwards, float (sample, visit)."""
        share = (torch.arange(self.visits) + torch.rand((samples, self.visits), generator=generator)) / self.visits
        return (2 * share - 1) * self.rotation_deg

    def __call__(self, images: Tensor, variants: Tensor, generator: torch.Generator) -> Tensor:
        """Return moved crops of ``size``.

        Args:
            images: (batch, channel, depth, row, column) in [0, 1].
            variants: angles in degrees (batch,).
            generator: of the translations; on the CPU, so that they do not depend on the device.

        Raises:
            ConfigError: the images are no volumes, or smaller than ``size``.
        """
        if images.ndim != 5:
            raise ConfigError(
                expected="volumes (batch, channel, depth, row, column)",
                found=f"a shape of {'×'.join(map(str, images.shape))}",
            )
        down, along = (2 * torch.rand((2, len(images)), generator=generator) - 1) * self.shift
        deep = torch.randint(-self.depth_shift, self.depth_shift + 1, (len(images),), generator=generator)
        if not (self.rotation_deg or self.shift or self.depth_shift):
            return centre_crop(images, self.size)
        starts = centre_starts(images.shape[2:], self.size)
        self._tell_border(images.shape[2:])
        slices = self._slices(images, starts[0], deep.to(images.device))
        points = self._points(images.shape[-2:], starts[1:], torch.deg2rad(variants), down, along)
        # Every slice of a sample moves alike: they are sampled as channels of one image.
        seen = functional.grid_sample(
            slices.flatten(1, 2), points.to(images.device), mode="bicubic", padding_mode="border", align_corners=False
        )
        return seen.clamp(0, 1).unflatten(1, (images.shape[1], self.size[0]))

    def beyond(self, stored: Sequence[int]) -> float:
        """Return how many voxels the farthest motion reaches beyond stored crops (depth, row, column), at least 0."""
        depth, rows, columns = ((length - 1) / 2 for length in self.size)
        reached = (depth + self.depth_shift, self._turned(rows, columns), self._turned(columns, rows))
        return max(0.0, *(far - length / 2 for far, length in zip(reached, stored, strict=True)))

    def _turned(self, along: float, across: float) -> float:
        """Return how far a corner moves along an axis from the centre that it lies ``along`` and ``across`` from."""
        angle = min(math.radians(self.rotation_deg), math.atan2(across, along))
        return math.cos(angle) * along + math.sin(angle) * across + self.shift

    def _tell_border(self, stored: Sequence[int]) -> None:
        """Log, once, that some of what is seen is no measurement."""
        if not self._told and (far := self.beyond(stored)) > 0:
            logger.warning(
                "rotations and translations reach up to %.1f voxels beyond the stored crops, whose border is repeated "
                "there: take a larger samples#reach, unless nothing lies beyond",
                far,
            )
        self._told = True

    def _slices(self, images: Tensor, start: int, deep: Tensor) -> Tensor:
        """Return the slices (batch, channel, depth, …) that lie ``deep`` (batch,) slices off those of the centre."""
        wanted = start + torch.arange(self.size[0], device=images.device) + deep[:, None]
        return images.take_along_dim(wanted.clamp(0, images.shape[2] - 1)[:, None, :, None, None], dim=2)

    def _points(
        self, stored: Sequence[int], starts: Sequence[int], angle: Tensor, down: Tensor, along: Tensor
    ) -> Tensor:
        """Return where each pixel is taken from, as `grid_sample` counts: (batch, row, column, 2), column first."""
        centres = [start + (length - 1) / 2 for start, length in zip(starts, self.size[1:], strict=True)]
        row, column = (torch.arange(length) - (length - 1) / 2 for length in self.size[1:])
        row, column = row[:, None], column[None, :]
        cos, sin = angle.cos()[:, None, None], angle.sin()[:, None, None]
        rows = centres[0] + cos * row + sin * column + down[:, None, None]
        columns = centres[1] - sin * row + cos * column + along[:, None, None]
        # -1 and 1 are the outer edges of the first and the last pixel (align_corners=False).
        return torch.stack([(2 * columns + 1) / stored[1] - 1, (2 * rows + 1) / stored[0] - 1], dim=-1)
