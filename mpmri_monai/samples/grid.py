"""Where grid samples are taken: one a lesion, or one a study that has labels but no lesion."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mpmri_monai.errors import MaskError
from mpmri_monai.samples.locate import Position, reference_of
from mpmri_monai.samples.plane import CropGrid, ParallelPlanes
from mpmri_monai.samples.region import extent_mm
from mpmri_monai.samples.settings import Grid
from mpmri_monai.volumes import Mask, Stack

WHOLE = "whole"
"""Lesion id of a study that is one sample."""

TIE = 1e-6
"""A place halfway between two slices goes to the one nearer to the start of the axis (slices)."""


def grid_planes(stacks: Mapping[str, Stack]) -> ParallelPlanes:
    """Return the slice planes of the reference sequence, with canonical axes."""
    return ParallelPlanes.of(stacks[reference_of(stacks)].geometry).canonical()


def lesion_position(name: str, mask: Mask, planes: ParallelPlanes, grid: Grid, shape: tuple[int, ...]) -> Position:
    """Return the position of a lesion: a grid around the centre of its box.

    A point of the grid belongs to the lesion when it lies in a voxel of the mask. Of a lesion so small that no point
    does, the points nearest to its voxels do.

    Args:
        name: id of the lesion.
        mask: of the lesion.
        planes: slices of the reference, whose axes the grid has.
        grid: as in the settings.
        shape: of what is stored.

    Raises:
        MaskError: E_MASK_EMPTY: the lesion has no voxel near the points around its centre, as a ring may.
    """
    position = _around(mask, name, "lesion", planes, grid, shape)
    if not position.mask.any():
        raise MaskError(
            expected="a lesion with voxels near the centre of its box",
            found="none among the points of the grid there",
            where=f"lesion {name}",
            fix="check the mask for stray voxels, or take a larger grid",
            code="E_MASK_EMPTY",
        )
    return position


def whole_position(
    stacks: Mapping[str, Stack], organ: Mask | None, planes: ParallelPlanes, grid: Grid, shape: tuple[int, ...]
) -> Position:
    """Return the position of a study without lesions: around the organ, or else the whole reference volume."""
    if organ is None:
        geometry = stacks[reference_of(stacks)].geometry
        organ = Mask(np.ones(geometry.shape[::-1], bool), geometry)
    return _around(organ, WHOLE, "study", planes, grid, shape)


def crop_grid(
    planes: ParallelPlanes, across: float, down: float, offset: float, grid: Grid, shape: tuple[int, ...]
) -> CropGrid:
    """Return the stored crop around a point given in the planes' own axes.

    Along the depth it is moved by at most half a slice, so that its first plane seen lies on a slice of the reference.
    Where planes and slices are equally far apart, each plane then is an acquired slice, each another one.
    """
    half = (grid.slices - 1) / 2 * grid.depth_mm
    number = (offset - half - planes.offsets_mm[0]) / planes.spacing_mm
    first = planes.offsets_mm[0] + planes.spacing_mm * np.floor(number + 0.5 - TIE)
    slices, rows, columns = shape
    return CropGrid(
        centre_mm=planes.point(across, down, first + half),
        row_direction=planes.row_direction,
        column_direction=planes.column_direction,
        normal=planes.normal,
        pitch_mm=grid.plane_mm,
        depth_mm=grid.depth_mm,
        shape=(slices, rows, columns),
    )


def _around(mask: Mask, name: str, kind: str, planes: ParallelPlanes, grid: Grid, shape: tuple[int, ...]) -> Position:
    """Return the position around the centre of a mask's box."""
    points = mask.points_mm()
    axes = (planes.row_direction, planes.column_direction, planes.normal)
    ends = [extent_mm(mask, points, axis) for axis in axes]
    crop = crop_grid(planes, *((low + high) / 2 for low, high in ends), grid, shape)
    inside = mask.contains(crop.points_mm())
    if not inside.any():
        inside = crop.nearest(points)
    extent = max(high - low for low, high in ends[:2])
    return Position(name, kind, 0, crop, inside, extent, grid.depth_mm)
