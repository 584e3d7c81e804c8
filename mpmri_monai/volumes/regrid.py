"""A sequence on the grid of another, in 3D: cropped first, then resampled, and never beyond what was acquired."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from mpmri_monai.errors import GeometryError
from mpmri_monai.volumes.boxes import Box, placed, reach, signal_of
from mpmri_monai.volumes.geometry import Geometry
from mpmri_monai.volumes.stack import Stack

COVERED = 0.5
"""A voxel of the new grid is covered when at least this part of its slab is."""
NEIGHBOURS = 1
"""Interpolation reaches one voxel further than the box."""


@dataclass(frozen=True, eq=False)
class Regridded:
    """What a sequence shows on another grid."""

    stack: Stack
    """Signal as float32, 0 where it is not covered."""
    covered: NDArray[np.bool_]
    """(slice, row, column): where the sequence was acquired; elsewhere the 0 means nothing."""


def regrid(stack: Stack, geometry: Geometry, box: Box | None = None) -> Regridded:
    """Show a sequence on another grid, by linear interpolation between its voxels.

    A voxel reaches half a voxel beyond its centre and no further; outside is not covered. Where the slices of the new
    grid are farther apart than the voxels of the sequence in that direction, each slice of the new grid is the mean
    over its slab: linear interpolation alone would throw most slices away and alias the rest.

    Args:
        stack: the sequence.
        geometry: the new grid.
        box: the part of it that is wanted; only what it needs of the sequence is worked on. All of it by default.

    Raises:
        GeometryError: the box lies outside the grid or is empty.
    """
    target = _part(geometry, box)
    columns, rows, slices = target.shape
    total, count = np.zeros((2, slices, rows, columns), np.float32)
    parts = _parts_of_slab(stack.geometry, target)
    needed = reach(stack.geometry, target.corners_mm, _margin_mm(stack.geometry, target))
    if needed is not None:
        source = placed(signal_of(stack, needed), stack.geometry, needed)
        for part in range(parts):
            values = _resampled(source, target, (part + 0.5) / parts - 0.5)
            seen = np.isfinite(values)
            total[seen] += values[seen]
            count += seen
    covered = count >= COVERED * parts
    mean = np.divide(total, count, out=np.zeros_like(total), where=covered)
    return Regridded(Stack(mean, np.ones(slices), np.zeros(slices), target), covered)


def _part(geometry: Geometry, box: Box | None) -> Geometry:
    if box is None:
        return geometry
    starts, stops = [side.start or 0 for side in box], [side.stop for side in box]
    for start, stop, count in zip(starts, stops, geometry.shape, strict=True):
        if stop is None or not 0 <= start < stop <= count:
            shape = " x ".join(map(str, geometry.shape))
            found = " x ".join(f"{start}:{stop}" for start, stop in zip(starts, stops, strict=True))
            raise GeometryError(expected=f"a box inside a grid of {shape} voxels", found=found, code="E_BOX")
    affine = geometry.affine.copy()
    affine[:3, 3] = geometry.to_mm(starts)
    columns, rows, slices = (stop - start for start, stop in zip(starts, stops, strict=True))
    return Geometry(affine, (columns, rows, slices))


def _parts_of_slab(source: Geometry, target: Geometry) -> int:
    """Return how many voxels of the source follow one another across a slice of the target, at least 1."""
    steps = np.linalg.solve(source.affine[:3, :3], target.normal * target.slice_spacing_mm)
    return max(1, round(float(np.abs(steps).max())))


def _margin_mm(source: Geometry, target: Geometry) -> float:
    """Return how far beyond the centres of the target's voxels the source is needed."""
    return NEIGHBOURS * max(source.spacing_mm) + target.slice_spacing_mm / 2


def _resampled(source: sitk.Image, target: Geometry, across: float) -> NDArray[np.float32]:
    """Return the source (slice, row, column) on a grid moved ``across`` slices along its normal; NaN outside."""
    affine = target.affine.copy()
    affine[:3, 3] += across * target.slice_spacing_mm * target.normal
    whole = tuple(slice(0, count) for count in target.shape)
    like = placed(np.zeros(target.shape[::-1], np.uint8), Geometry(affine, target.shape), whole)
    image = sitk.Resample(source, like, sitk.Transform(), sitk.sitkLinear, float("nan"), sitk.sitkFloat32)
    return sitk.GetArrayFromImage(image)
