"""Where samples are taken: the slices of the reference sequence that cut a lesion, and its box in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mpmri_monai.errors import MaskError
from mpmri_monai.samples.plane import CropGrid, CropPlane, ParallelPlanes
from mpmri_monai.samples.region import extent_mm, half_width_mm
from mpmri_monai.samples.settings import Settings
from mpmri_monai.volumes import Mask, Stack

REFERENCES = ("T2", "IN", "OUT")
"""Sequences whose slices give the positions; the first that cuts the lesion counts."""

STEP_MM = 6.0
"""Distance of positions where no reference cuts the lesion: the slice spacing of the references (Jia et al. 2019)."""

TOUCH_MM = 0.01
"""A plane that enters a voxel less than this only touches it."""


@dataclass(frozen=True, eq=False)
class Position:
    """One place at which every sequence is taken."""

    region: str
    """Id of the lesion, ``BG-<n>``, ``whole`` or ``patch``."""
    kind: str
    """``lesion``, ``background``, ``study`` or ``patch``."""
    number: int
    plane: CropPlane | CropGrid
    mask: NDArray[np.bool_]
    """(row, column) or (depth, row, column): lesion; for background the disc inscribed in the box, or the ball; for a
    study its organ; for a patch all of it."""
    extent_mm: float
    """Larger in-plane extent of the lesion's box, before the minimum is applied."""
    slab_mm: float
    """Distance between neighbouring planes."""


def reference_of(stacks: Mapping[str, Stack]) -> str:
    """Return the reference sequence of a study: the first in the order of preference, else its first sequence."""
    return next((sequence for sequence in REFERENCES if sequence in stacks), next(iter(stacks)))


def reference_planes(stacks: Mapping[str, Stack]) -> list[ParallelPlanes]:
    """Return the slice planes of the references among ``stacks``, in order of preference."""
    return [ParallelPlanes.of(stacks[sequence].geometry) for sequence in REFERENCES if sequence in stacks]


def lesion_positions(name: str, mask: Mask, references: Sequence[ParallelPlanes], settings: Settings) -> list[Position]:
    """Return the positions of a lesion, in the order of the reference's slices.

    A slice cuts the lesion when its plane passes through the box of a mask voxel, that is when the distance of the
    voxel's centre from the plane is below half the voxel's width along the plane's normal, and the lesion fills at
    least one pixel of the crop there. Where no slice of any reference does, planes every 6 mm along the normal of the
    mask's own slices do, one of them through the voxel in the lesion's middle.

    Raises:
        MaskError: the lesion is too thin to fill a single pixel anywhere.
    """
    points = mask.points_mm()
    for planes in (*references, _own_planes(mask, points)):
        cut = planes.offsets_mm[_cuts(mask, points, planes)]
        box, extent = _box(mask, points, planes, settings)
        positions: list[Position] = []
        for offset in cut:
            plane = crop_plane(planes, *box, offset, extent, settings)
            inside = mask.contains(plane.points_mm())
            if inside.any():
                positions.append(Position(name, "lesion", len(positions), plane, inside, extent, planes.spacing_mm))
        if positions:
            return positions
    raise MaskError(
        expected="a lesion that fills at least one pixel of its crop",
        found=f"{len(points)} voxels that no crop meets",
        where=f"lesion {name}",
        fix="check the mask for stray voxels",
        code="E_MASK_EMPTY",
    )


def crop_plane(
    planes: ParallelPlanes, across: float, down: float, offset: float, extent: float, settings: Settings
) -> CropPlane:
    """Return the stored crop around a point given in the planes' own axes; ``extent`` maps to ``settings.pixels``."""
    pitch = max(extent, settings.minimum_box_mm) / settings.pixels
    centre = planes.point(across, down, offset)
    return CropPlane(centre, planes.row_direction, planes.column_direction, pitch, settings.stored_pixels)


def _cuts(mask: Mask, points: NDArray[np.float64], planes: ParallelPlanes) -> NDArray[np.bool_]:
    """Return which planes pass through the box of a voxel; (plane,)."""
    heights = np.unique(np.round(points @ planes.normal, 6))  # the voxels of one slice often share one height
    half = half_width_mm(mask, planes.normal)
    after = np.searchsorted(heights, planes.offsets_mm).clip(0, len(heights) - 1)
    before = (after - 1).clip(0)
    nearest = np.minimum(np.abs(heights[after] - planes.offsets_mm), np.abs(heights[before] - planes.offsets_mm))
    return nearest < half - TOUCH_MM


def _box(
    mask: Mask, points: NDArray[np.float64], planes: ParallelPlanes, settings: Settings
) -> tuple[tuple[float, float], float]:
    """Return the centre of the lesion's box along row and column direction, and its larger in-plane extent."""
    left, right = extent_mm(mask, points, planes.row_direction)
    top, bottom = extent_mm(mask, points, planes.column_direction)
    return ((left + right) / 2, (top + bottom) / 2), max(right - left, bottom - top)


def _own_planes(mask: Mask, points: NDArray[np.float64]) -> ParallelPlanes:
    """Return planes every 6 mm across the lesion, parallel to the mask's slices."""
    heights = points @ mask.geometry.normal
    low, high = extent_mm(mask, points, mask.geometry.normal)
    middle = heights[np.argmin(np.abs(heights - (low + high) / 2))]
    steps = np.arange(np.ceil((low - middle) / STEP_MM), np.floor((high - middle) / STEP_MM) + 1)
    return ParallelPlanes.parallel_to(mask.geometry, middle + STEP_MM * steps, STEP_MM)
