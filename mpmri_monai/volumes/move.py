"""A mask on the grid of another image: for showing it there, and for sampling grids; the mask itself stays as drawn."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from mpmri_monai.catalogue import Caution
from mpmri_monai.volumes.geometry import Geometry
from mpmri_monai.volumes.masks import Mask, mask_error, outside_share

VOLUME_TOLERANCE = 0.15
"""A change of volume beyond this share is worth a look: the lesion is no longer the one that was drawn."""


@dataclass(frozen=True, eq=False)
class Moved:
    """A mask on another grid, with what the move did to its volume."""

    mask: Mask
    volume_before_ml: float
    volume_after_ml: float

    @property
    def change(self) -> float:
        """Relative change of volume; 0.1 is a tenth more."""
        return self.volume_after_ml / self.volume_before_ml - 1

    @property
    def caution(self) -> Caution | None:
        """W_MASK_VOLUME when the volume changed by more than 15 %."""
        if abs(self.change) <= VOLUME_TOLERANCE:
            return None
        volumes = f"{self.volume_before_ml:.2f} to {self.volume_after_ml:.2f} ml"
        return Caution("W_MASK_VOLUME", f"on this grid its volume changes from {volumes} ({self.change:+.0%})")


def move_mask(mask: Mask, geometry: Geometry, name: str = "mask") -> Moved:
    """Put a mask on another grid: a voxel belongs to it when its centre lies in a voxel of the mask.

    So each slice of the new grid takes the nearest slice of the old one (none when that is more than half a spacing
    away), and in it the nearest voxel. Nothing is interpolated.

    Raises:
        MaskError: a part of the mask lies outside the grid (E_MASK_OUT), or none of it is left (E_MASK_EMPTY).
    """
    outside = outside_share(mask, geometry)
    fix = "use a sequence that covers it"
    if outside:
        raise mask_error(name, "a mask inside the image", f"{outside:.0%} of its voxels outside", "E_MASK_OUT", fix)
    low, high = _box(mask, geometry)
    column, row, slice_index = (np.arange(start, stop) for start, stop in zip(low, high, strict=True))
    k, r, c = np.meshgrid(slice_index, row, column, indexing="ij")
    voxels = np.zeros(geometry.shape[::-1], bool)
    part = mask.contains(geometry.to_mm(np.stack([c, r, k], axis=-1)))
    voxels[low[2] : high[2], low[1] : high[1], low[0] : high[0]] = part
    if not part.any():
        found = f"none: it is thinner than {geometry.slice_spacing_mm:.1f} mm, the slice spacing there"
        raise mask_error(name, "voxels of the mask on the grid of the image", found, "E_MASK_EMPTY", fix)
    moved = Mask(voxels, geometry, drawn_on=mask.drawn_on)
    return Moved(moved, mask.volume_ml, moved.volume_ml)


def _box(mask: Mask, geometry: Geometry) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First and last-but-one index (column, row, slice) of the part of a grid that a mask's own box reaches into."""
    ends = np.array([[side.start - 0.5, side.stop - 0.5] for side in reversed(mask.box)]).T
    corners = [[ends[side, axis] for axis, side in enumerate(sides)] for sides in product((0, 1), repeat=3)]
    index = geometry.to_index(mask.geometry.to_mm(corners))
    low = np.floor(index.min(axis=0)).astype(int).clip(0)
    return low, np.minimum(np.ceil(index.max(axis=0)).astype(int) + 1, geometry.shape)
