"""Planes in the body: the parallel slices of a stack, and the square patch of one that a crop shows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mpmri_monai.volumes import Geometry

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
