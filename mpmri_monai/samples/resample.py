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
from mpmri_monai.samples.plane import CropGrid, CropPlane
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
    """(row, column) or (depth, row, column), in [0, 1]."""
    signal: NDArray[np.float32]
    """As ``image``, before normalisation."""
    covered: NDArray[np.bool_]
    """As ``image``."""
    offset_mm: float
    """Largest distance between asked and acquired position over the covered pixels; NaN when none is covered."""


@dataclass(frozen=True, eq=False)
class SliceShare:
    """The pixels of a crop that one acquired slice shows, and how: bilinear weights of four stored pixels each."""

    slice_index: int
    pixels: NDArray[np.int_]
    """(n,): flat index into the crop."""
    rows: slice
    columns: slice
    """Part of the slice that is needed."""
    corners: NDArray[np.int_]
    """(4, n): flat index into that part."""
    weights: NDArray[np.float64]
    """(4, n), summing to 1."""


@dataclass(frozen=True, eq=False)
class Footprint:
    """Where a crop lies in a grid, whatever the voxels hold; sequences on the same grid share it."""

    shares: tuple[SliceShare, ...]
    count: NDArray[np.int_]
    """(row, column) or (depth, row, column): from how many slices each pixel is averaged; 0 where the grid does not
    cover it."""
    offset_mm: float


def take_crop(
    stack: Stack,
    plane: CropPlane | CropGrid,
    window: Window,
    through_plane: ThroughPlane = "nearest",
    slab_mm: float = 0.0,
) -> Crop:
    """Take ``plane`` out of ``stack``: ``show`` of its ``footprint``."""
    return show(stack, footprint(stack.geometry, plane, through_plane, slab_mm), window)


def footprint(
    geometry: Geometry, plane: CropPlane | CropGrid, through_plane: ThroughPlane = "nearest", slab_mm: float = 0.0
) -> Footprint:
    """Find which stored pixels of a grid show ``plane``.

    Args:
        geometry: the grid as acquired.
        plane: where the pixels of the crop lie; several planes are taken as each of them would be.
        through_plane: ``nearest`` slice, or ``slab_mean``: the mean of the slices whose centres lie inside a slab of
            ``slab_mm`` around the pixel; where there is none, the nearest.
        slab_mm: thickness of the slab, the slice spacing of the reference.

    A pixel farther than half a slice spacing from every slice, or outside the slice, is not covered.
    """
    points = plane.points_mm().reshape(-1, 3)
    normal, spacing = geometry.normal, geometry.slice_spacing_mm
    height = (points - geometry.affine[:3, 3]) @ normal
    shares, distance, count = [], np.zeros(len(points)), np.zeros(len(points), int)
    slab_mm = slab_mm if through_plane == "slab_mean" else 0.0
    for k, reached in _slices_to_take(height, geometry.shape[2], spacing, slab_mm):
        step = k * spacing - height[reached]
        index = geometry.to_index(points[reached] + step[:, None] * normal)
        inside = _inside(index, geometry)
        if inside.any():
            pixels = reached[inside]
            shares.append(_share(k, pixels, index[inside, 0], index[inside, 1], geometry))
            distance[pixels] += step[inside]
            count[pixels] += 1
    covered = count > 0
    offset = float(np.abs(distance[covered] / count[covered]).max()) if covered.any() else float("nan")
    return Footprint(tuple(shares), count.reshape(plane.shape), offset)


def show(stack: Stack, place: Footprint, window: Window) -> Crop:
    """Return what ``stack`` holds at a footprint in its grid.

    The window is applied to the stored pixels before they are interpolated, as clipping and interpolating do not
    commute.
    """
    total = np.zeros((2, place.count.size))
    for share in place.shares:
        block = stack.block(share.slice_index, share.rows, share.columns)
        for values, sums in zip((block, window.apply(block)), total, strict=True):
            sums[share.pixels] += (values.take(share.corners) * share.weights).sum(axis=0)
    mean = total.reshape(2, *place.count.shape) / np.maximum(place.count, 1)
    signal, image = mean.astype(np.float32)
    return Crop(image, signal, place.count > 0, place.offset_mm)


def angle_deg(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Return the angle in degrees (0…90) between two stacks' unit normals; the sense of a normal does not matter."""
    chord = min(np.linalg.norm(first - second), np.linalg.norm(first + second))
    return float(np.degrees(2 * np.arcsin(chord / 2)))  # unlike arccos, precise at the small angles that matter


def _slices_to_take(
    height: NDArray[np.float64], slices: int, spacing: float, slab_mm: float
) -> Iterator[tuple[int, NDArray[np.int_]]]:
    """Yield each slice that is needed with the pixels that need it; none for pixels that the stack does not reach."""
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


def _share(
    k: int, pixels: NDArray[np.int_], column: NDArray[np.float64], row: NDArray[np.float64], geometry: Geometry
) -> SliceShare:
    """Return how slice ``k`` shows the pixels that lie at these fractions of columns and rows."""
    columns, rows = geometry.shape[:2]
    column, row = np.clip(column, 0, columns - 1), np.clip(row, 0, rows - 1)
    left, top = np.floor(column).astype(int), np.floor(row).astype(int)
    right, bottom = np.minimum(left + 1, columns - 1), np.minimum(top + 1, rows - 1)
    x, y = column - left, row - top
    needed_rows, needed_columns = slice(top.min(), bottom.max() + 1), slice(left.min(), right.max() + 1)
    width = needed_columns.stop - needed_columns.start
    upper, lower = (top - needed_rows.start) * width, (bottom - needed_rows.start) * width
    left, right = left - needed_columns.start, right - needed_columns.start
    corners = np.stack([upper + left, upper + right, lower + left, lower + right])
    weights = np.stack([(1 - y) * (1 - x), (1 - y) * x, y * (1 - x), y * x])
    return SliceShare(k, pixels, needed_rows, needed_columns, corners, weights)
