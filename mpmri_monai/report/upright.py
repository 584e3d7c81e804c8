"""Acquired slices the way a radiologist hangs them: the patient's right on the left, front or head at the top."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mpmri_monai.volumes import Geometry, Stack

HANGING = {
    0: ((0.0, -1.0, 0.0), (0.0, 0.0, -1.0)),
    1: ((-1.0, 0.0, 0.0), (0.0, 0.0, -1.0)),
    2: ((-1.0, 0.0, 0.0), (0.0, -1.0, 0.0)),
}
"""Axis (RAS+) nearest to the normal -> where the picture's right and bottom point: sagittal, coronal, axial."""

SIDES = (("L", "R"), ("P", "A"), ("I", "S"))
"""Letters of the two ends of each axis (RAS+)."""


@dataclass(frozen=True, eq=False)
class UprightSlice:
    """One acquired slice, turned by quarter turns and flips only: no voxel is resampled."""

    image: NDArray[np.float32]
    """(row, column): signal."""
    points_mm: NDArray[np.float64]
    """(row, column, 3): centres of the pixels, RAS+ mm."""
    pixel_mm: tuple[float, float]
    """Distance between rows and between columns."""
    left: str
    """Side of the patient at the left edge: R or L, A or P."""

    def place(self, mm: NDArray[np.float64]) -> tuple[float, float]:
        """Return row and column, as fractions, of the foot of the perpendicular from a point to the slice."""
        first = self.points_mm[0, 0]
        return tuple(float((mm - first) @ step / (step @ step)) for step in self._steps())  # type: ignore[return-value]

    def _steps(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        rows, columns = self.image.shape
        first, below = self.points_mm[0, 0], self.points_mm[rows - 1, 0]
        beside = self.points_mm[0, columns - 1]
        return (below - first) / max(rows - 1, 1), (beside - first) / max(columns - 1, 1)


def upright(stack: Stack, index: int) -> UprightSlice:
    """Return slice ``index`` of a stack as it is hung."""
    geometry = stack.geometry
    columns, rows, _ = geometry.shape
    grid = np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), axis=-1)
    points = geometry.to_mm(np.concatenate([grid, np.full((rows, columns, 1), index)], axis=-1))
    image = stack.block(index, slice(None), slice(None))
    across, down = (axis / np.linalg.norm(axis) for axis in geometry.affine[:3, :2].T)
    column_mm, row_mm, _ = geometry.spacing_mm
    right, bottom = (np.array(target) for target in HANGING[int(np.abs(geometry.normal).argmax())])
    if abs(across @ bottom) + abs(down @ right) > abs(across @ right) + abs(down @ bottom):
        image, points = image.T, points.transpose(1, 0, 2)
        across, down, column_mm, row_mm = down, across, row_mm, column_mm
    if across @ right < 0:
        image, points, across = image[:, ::-1], points[:, ::-1], -across
    if down @ bottom < 0:
        image, points = image[::-1], points[::-1]
    return UprightSlice(image, points, (row_mm, column_mm), side(-across))


def side(direction: NDArray[np.float64]) -> str:
    """Return the letter of the side of the patient that a direction (RAS+) points to."""
    axis = int(np.abs(direction).argmax())
    return SIDES[axis][int(direction[axis] > 0)]


def nearest_slice(geometry: Geometry, mm: NDArray[np.float64]) -> tuple[int, float] | None:
    """Return the acquired slice nearest to a point and its distance (mm), or None outside the volume.

    A slice covers half the spacing to both of its sides.
    """
    index = geometry.to_index(mm)
    if np.any(index < -0.5) or np.any(index > np.array(geometry.shape) - 0.5):
        return None
    nearest = int(np.clip(np.round(index[2]), 0, geometry.shape[2] - 1))
    return nearest, abs(float(index[2]) - nearest) * geometry.slice_spacing_mm
