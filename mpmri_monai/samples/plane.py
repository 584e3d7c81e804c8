"""Planes in the body: the parallel slices of a stack, and the square patch of one that a crop shows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mpmri_monai.volumes import Geometry

TOWARDS = np.array([-1.0, -1.0, 1.0])
"""Signs of left, posterior and superior along the RAS+ axes: where the axes of a grid sample point."""

AXIAL = "axial"
BODY_PLANES = ("sagittal", "coronal", AXIAL)
"""Planes across the left-right, front-back and head-foot axis of the body."""

Vector = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ParallelPlanes:
    """Evenly spaced parallel planes; all directions are unit vectors in RAS+ and perpendicular to each other."""

    row_direction: Vector
    """Along a row, towards higher columns."""
    column_direction: Vector
    """Along a column, towards higher rows."""
    normal: Vector
    offsets_mm: Vector
    """(plane,): position of each plane along the normal."""
    spacing_mm: float

    @classmethod
    def of(cls, geometry: Geometry) -> ParallelPlanes:
        """Return the slice planes of a grid."""
        first = geometry.normal @ geometry.affine[:3, 3]
        spacing = geometry.slice_spacing_mm
        return cls.parallel_to(geometry, first + spacing * np.arange(geometry.shape[2]), spacing)

    @classmethod
    def parallel_to(cls, geometry: Geometry, offsets_mm: Vector, spacing_mm: float) -> ParallelPlanes:
        """Return planes parallel to the slices of a grid, at other offsets along its normal."""
        row_direction = geometry.affine[:3, 0] / np.linalg.norm(geometry.affine[:3, 0])
        column_direction = np.cross(geometry.normal, row_direction)
        column_direction *= np.sign(column_direction @ geometry.affine[:3, 1])
        return cls(row_direction, column_direction, geometry.normal, offsets_mm, spacing_mm)

    def canonical(self) -> ParallelPlanes:
        """Return the same planes with axes in one order and sense, however they were stored.

        The normal follows the axis of the body that it is nearest to; of the other two axes of the body, the first in
        the order left-right, front-back, head-foot is that of the rows' direction. Each points to the left, to the back
        or to the head; so columns of axial planes grow to the patient's left, rows to the back and planes to the head.
        """
        across = int(np.abs(self.normal).argmax())
        first, second = (axis for axis in range(3) if axis != across)
        one, other = self.row_direction, self.column_direction
        if abs(one[first]) + abs(other[second]) < abs(other[first]) + abs(one[second]):
            one, other = other, one
        normal = _pointing(self.normal, across)
        offsets = self.offsets_mm if normal @ self.normal > 0 else -self.offsets_mm[::-1]
        return ParallelPlanes(_pointing(one, first), _pointing(other, second), normal, offsets, self.spacing_mm)

    def point(self, across: float, down: float, offset: float) -> Vector:
        """Return the point (RAS+, mm) with these coordinates along the row, the column and the normal direction."""
        return across * self.row_direction + down * self.column_direction + offset * self.normal


@dataclass(frozen=True, eq=False)
class CropPlane:
    """A square of ``pixels`` × ``pixels`` points, ``pitch_mm`` apart, around ``centre_mm`` (RAS+)."""

    centre_mm: Vector
    row_direction: Vector
    column_direction: Vector
    pitch_mm: float
    pixels: int

    @property
    def shape(self) -> tuple[int, int]:
        return self.pixels, self.pixels

    @property
    def normal(self) -> Vector:
        return np.cross(self.row_direction, self.column_direction)

    def points_mm(self) -> NDArray[np.float64]:
        """Return the pixel centres in RAS+ mm, (row, column, 3)."""
        steps = (np.arange(self.pixels) - (self.pixels - 1) / 2) * self.pitch_mm
        across = steps[None, :, None] * self.row_direction
        down = steps[:, None, None] * self.column_direction
        return self.centre_mm + across + down

    def disc(self, diameter_mm: float) -> NDArray[np.bool_]:
        """Return which pixels (row, column) lie within a disc around the centre."""
        steps = (np.arange(self.pixels) - (self.pixels - 1) / 2) * self.pitch_mm
        return np.hypot(steps[:, None], steps[None, :]) <= diameter_mm / 2


@dataclass(frozen=True, eq=False)
class CropGrid:
    """Parallel squares of points around ``centre_mm`` (RAS+); directions are unit vectors."""

    centre_mm: Vector
    row_direction: Vector
    column_direction: Vector
    normal: Vector
    """Along the depth, towards higher planes."""
    pitch_mm: float
    """Distance between points in a plane."""
    depth_mm: float
    """Distance between planes."""
    shape: tuple[int, int, int]
    """(depth, row, column)."""

    @property
    def body_plane(self) -> str:
        """Name, of `BODY_PLANES`, of what its planes are nearest to."""
        return BODY_PLANES[int(np.abs(self.normal).argmax())]

    def points_mm(self) -> NDArray[np.float64]:
        """Return the points in RAS+ mm, (depth, row, column, 3)."""
        depth, down, across = self._steps_mm()
        return (
            self.centre_mm
            + depth[:, None, None, None] * self.normal
            + down[:, None, None] * self.column_direction
            + across[:, None] * self.row_direction
        )

    def nearest(self, points_mm: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return which points of the grid (depth, row, column) are nearest to one of some points (point, 3)."""
        axes = np.stack([self.normal, self.column_direction, self.row_direction], axis=-1)
        steps = (points_mm - self.centre_mm) @ axes / [self.depth_mm, self.pitch_mm, self.pitch_mm]
        index = np.rint(steps + (np.array(self.shape) - 1) / 2).astype(int)
        found = np.zeros(self.shape, bool)
        found[tuple(index[np.all((index >= 0) & (index < self.shape), axis=1)].T)] = True
        return found

    def ball(self, diameter_mm: float) -> NDArray[np.bool_]:
        """Return which points (depth, row, column) lie within a ball around the centre."""
        depth, down, across = self._steps_mm()
        return depth[:, None, None] ** 2 + down[:, None] ** 2 + across**2 <= (diameter_mm / 2) ** 2

    def _steps_mm(self) -> tuple[Vector, Vector, Vector]:
        """Return where the planes, rows and columns lie, from the centre."""
        pitches = (self.depth_mm, self.pitch_mm, self.pitch_mm)
        depth, down, across = (
            (np.arange(count) - (count - 1) / 2) * pitch for count, pitch in zip(self.shape, pitches, strict=True)
        )
        return depth, down, across


def _pointing(direction: Vector, axis: int) -> Vector:
    """Return a direction or its opposite: the one to the left, back or head along an axis of the body."""
    return direction if direction[axis] * TOWARDS[axis] >= 0 else -direction
