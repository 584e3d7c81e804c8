"""Taking a crop out of a stack at its physical place, without inventing a slice.

Each pixel of the crop is projected along the stack's own normal onto the nearest acquired slice (or onto the thin
slices inside the reference slab) and interpolated bilinearly inside that slice. Nothing is interpolated between slices.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mpmri_monai.samples.intensity import Window
from mpmri_monai.samples.plane import CropPlane
from mpmri_monai.samples.settings import ThroughPlane
from mpmri_monai.volumes import Geometry, Stack

TOLERANCE_MM = 0.01
"""Slack at half a slice spacing: a pixel halfway between two slices must not fall out by rounding, and DICOM positions
are themselves rounded to about this much."""

EDGE_VOXELS = 0.5
"""A voxel reaches half a voxel beyond its centre; there the border value counts."""


@dataclass(frozen=True, eq=False)
class Crop:
    """One sequence at one place; where it is not covered, ``image`` and ``signal`` are 0."""

    image: NDArray[np.float32]
    """(row, column), in [0, 1]."""
    signal: NDArray[np.float32]
    """(row, column), before normalisation."""
    covered: NDArray[np.bool_]
    """(row, column)."""
    offset_mm: float
    """Largest distance between asked and acquired position over the covered pixels; NaN when none is covered."""


def take_crop(
    stack: Stack, plane: CropPlane, window: Window, through_plane: ThroughPlane = "nearest", slab_mm: float = 0.0
) -> Crop:
    """Take ``plane`` out of ``stack``.

    Args:
        stack: the sequence as acquired.
        plane: where the pixels lie.
        window: applied to the stored pixels before interpolation, as clipping and interpolating do not commute.
        through_plane: ``nearest`` slice, or ``slab_mean``: the mean of the slices whose centres lie inside a slab of
            ``slab_mm`` around the pixel; where there is none, the nearest.
        slab_mm: thickness of the slab, the slice spacing of the reference.

    A pixel farther than half a slice spacing from every slice, or outside the slice, is not covered.
    """
    points = plane.points_mm().reshape(-1, 3)
    geometry, normal, spacing = stack.geometry, stack.geometry.normal, stack.geometry.slice_spacing_mm
    height = (points - geometry.affine[:3, 3]) @ normal
    total = np.zeros((2, len(points)))
    distance = np.zeros(len(points))
    count = np.zeros(len(points), int)
    for k, pixels in _slices_to_take(height, geometry, slab_mm if through_plane == "slab_mean" else 0.0):
        step = k * spacing - height[pixels]
        index = geometry.to_index(points[pixels] + step[:, None] * normal)
        inside = _inside(index, geometry)
        if inside.any():
            shown = pixels[inside]
            total[:, shown] += _bilinear(stack, k, index[inside, 0], index[inside, 1], window)
            distance[shown] += step[inside]
            count[shown] += 1
    covered = count > 0
    divisor = np.maximum(count, 1)
    signal, image = (total / divisor).astype(np.float32).reshape(2, plane.pixels, plane.pixels)
    offset = float(np.abs(distance / divisor)[covered].max()) if covered.any() else float("nan")
    return Crop(image, signal, covered.reshape(plane.pixels, plane.pixels), offset)


def angle_deg(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Return the angle in degrees (0…90) between two stacks' unit normals; the sense of a normal does not matter."""
    chord = min(np.linalg.norm(first - second), np.linalg.norm(first + second))
    return float(np.degrees(2 * np.arcsin(chord / 2)))  # unlike arccos, precise at the small angles that matter


def _slices_to_take(
    height: NDArray[np.float64], geometry: Geometry, slab_mm: float
) -> Iterator[tuple[int, NDArray[np.int_]]]:
    """Yield each slice that is needed with the pixels that need it; none for pixels that the stack does not reach."""
    spacing, slices = geometry.slice_spacing_mm, geometry.shape[2]
    nearest = np.clip(np.rint(height / spacing), 0, slices - 1).astype(int)
    reached = np.abs(nearest * spacing - height) <= spacing / 2 + TOLERANCE_MM
    if slab_mm > 0:
        above = np.arange(slices) * spacing - height[:, None]
        # Half open, so that a slice on the border of two slabs belongs to one of them.
        in_slab = (above > TOLERANCE_MM - slab_mm / 2) & (above <= slab_mm / 2 + TOLERANCE_MM)
        alone = ~in_slab.any(axis=1)
        in_slab[alone, nearest[alone]] = True
        for k in np.flatnonzero(in_slab[reached].any(axis=0)):
            yield int(k), np.flatnonzero(in_slab[:, k] & reached)
    else:
        for k in np.flatnonzero(np.bincount(nearest[reached], minlength=slices)):
            yield int(k), np.flatnonzero((nearest == k) & reached)


def _inside(index: NDArray[np.float64], geometry: Geometry) -> NDArray[np.bool_]:
    columns, rows = geometry.shape[:2]
    column, row = index[:, 0], index[:, 1]
    return ((column >= -EDGE_VOXELS) & (column <= columns - 1 + EDGE_VOXELS) & (row >= -EDGE_VOXELS)) & (
        row <= rows - 1 + EDGE_VOXELS
    )


def _bilinear(
    stack: Stack, k: int, column: NDArray[np.float64], row: NDArray[np.float64], window: Window
) -> NDArray[np.float64]:
    """Return signal and normalised signal, (2, pixel), from the part of slice ``k`` that the pixels need."""
    columns, rows = stack.geometry.shape[:2]
    column, row = np.clip(column, 0, columns - 1), np.clip(row, 0, rows - 1)
    left, top = np.floor(column).astype(int), np.floor(row).astype(int)
    right, bottom = np.minimum(left + 1, columns - 1), np.minimum(top + 1, rows - 1)
    first_row, first_column = top.min(), left.min()
    block = stack.block(k, slice(first_row, bottom.max() + 1), slice(first_column, right.max() + 1))
    values = np.stack([block, window.apply(block)], axis=-1).reshape(-1, 2)
    x, y = (column - left)[:, None], (row - top)[:, None]
    upper, lower = (
        (top - first_row) * block.shape[1] - first_column,
        (bottom - first_row) * block.shape[1] - first_column,
    )
    above = values.take(upper + left, axis=0) * (1 - x) + values.take(upper + right, axis=0) * x
    below = values.take(lower + left, axis=0) * (1 - x) + values.take(lower + right, axis=0) * x
    return (above * (1 - y) + below * y).T
