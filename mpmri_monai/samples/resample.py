"""Taking a crop out of a stack at its physical place, without inventing a slice.

Each pixel of the crop is projected along the stack's own normal onto the nearest acquired slice (or onto the thin
slices inside the reference slab) and interpolated bilinearly inside that slice. Nothing is interpolated between slices.
"""

from __future__ import annotations

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
    geometry = stack.geometry
    height = (points - geometry.affine[:3, 3]) @ geometry.normal
    taken = _slices_to_take(height, geometry, slab_mm if through_plane == "slab_mean" else 0.0)
    total = np.zeros((2, len(points)))
    distance = np.zeros(len(points))
    count = np.zeros(len(points), int)
    for k in np.flatnonzero(taken.any(axis=0)):
        pixels = np.flatnonzero(taken[:, k])
        step = k * geometry.slice_spacing_mm - height[pixels]
        index = geometry.to_index(points[pixels] + step[:, None] * geometry.normal)
        inside = _inside(index, geometry)
        if inside.any():
            pixels = pixels[inside]
            total[:, pixels] += _bilinear(stack, int(k), index[inside, 0], index[inside, 1], window)
            distance[pixels] += step[inside]
            count[pixels] += 1
    covered = count > 0
    divisor = np.maximum(count, 1)
    signal, image = (total / divisor).astype(np.float32).reshape(2, plane.pixels, plane.pixels)
    offset = float(np.abs(distance / divisor)[covered].max()) if covered.any() else float("nan")
    return Crop(image, signal, covered.reshape(plane.pixels, plane.pixels), offset)


def angle_deg(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Return the angle in degrees (0…90) between two stacks' unit normals; the sense of a normal does not matter."""
    sine = np.linalg.norm(np.cross(first, second))  # unlike the cosine, precise at the small angles that matter
    return float(np.degrees(np.arctan2(sine, abs(first @ second))))


def _slices_to_take(height: NDArray[np.float64], geometry: Geometry, slab_mm: float) -> NDArray[np.bool_]:
    """Return which slices each pixel is the mean of, (pixel, slice); none where the stack does not reach."""
    slices = np.arange(geometry.shape[2])
    nearest = np.clip(np.rint(height / geometry.slice_spacing_mm), 0, len(slices) - 1).astype(int)
    reached = np.abs(nearest * geometry.slice_spacing_mm - height) <= geometry.slice_spacing_mm / 2 + TOLERANCE_MM
    taken = slices == nearest[:, None]
    if slab_mm > 0:
        above = slices * geometry.slice_spacing_mm - height[:, None]
        # Half open, so that a slice on the border of two slabs belongs to one of them.
        in_slab = (above > TOLERANCE_MM - slab_mm / 2) & (above <= slab_mm / 2 + TOLERANCE_MM)
        taken = np.where(in_slab.any(axis=1, keepdims=True), in_slab, taken)
    return taken & reached[:, None]


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
    values = np.stack([block, window.apply(block)]).astype(np.float64)
    x, y = column - left, row - top
    left, right, top, bottom = left - first_column, right - first_column, top - first_row, bottom - first_row
    upper = values[:, top, left] * (1 - x) + values[:, top, right] * x
    lower = values[:, bottom, left] * (1 - x) + values[:, bottom, right] * x
    return upper * (1 - y) + lower * y
