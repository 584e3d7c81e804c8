"""Where voxels lie: the affine between voxel index and patient space, and what follows from it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mpmri_monai.errors import GeometryError

SAME_GRID_VOXELS = 0.5
"""Two grids are the same when their corners are nowhere farther apart than this (voxels)."""
SMALLEST_SINE = 0.5
"""Voxel axes at less than 30 degrees to one another are no image (sine of the angle)."""


@dataclass(frozen=True, eq=False)
class Geometry:
    """A regular grid of voxels: parallel slices at even distances.

    Args:
        affine: (4, 4), voxel index (column, row, slice) -> RAS+ mm, at voxel centres.
        shape: number of columns, rows and slices.

    Raises:
        GeometryError: the affine is not finite or flattens space, or the shape is empty.
    """

    affine: NDArray[np.float64]
    shape: tuple[int, int, int]

    def __post_init__(self) -> None:
        affine = np.array(self.affine, dtype=np.float64)
        if affine.shape != (4, 4) or not np.isfinite(affine).all():
            raise GeometryError(expected="a finite 4 x 4 affine", found=f"shape {affine.shape}", code="E_NOGEOM")
        lengths = np.linalg.norm(affine[:3, :3], axis=0)
        flat = lengths.min() <= 0 or abs(np.linalg.det(affine[:3, :3] / lengths)) < SMALLEST_SINE**2
        if flat or not np.array_equal(affine[3], [0, 0, 0, 1]):
            raise GeometryError(expected="an affine that spans space", found="one that does not", code="E_NOGEOM")
        if len(self.shape) != 3 or min(self.shape) < 1:
            raise GeometryError(expected="columns, rows and slices", found=f"shape {self.shape}", code="E_NOGEOM")
        affine.setflags(write=False)
        object.__setattr__(self, "affine", affine)
        object.__setattr__(self, "shape", tuple(int(count) for count in self.shape))

    @property
    def normal(self) -> NDArray[np.float64]:
        """Unit vector (3,), RAS+, across the slices, towards increasing slice index."""
        normal = np.cross(self.affine[:3, 0], self.affine[:3, 1])
        return normal / np.linalg.norm(normal) * np.sign(normal @ self.affine[:3, 2])

    @property
    def slice_spacing_mm(self) -> float:
        """Distance between slices along the normal."""
        return float(self.normal @ self.affine[:3, 2])

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance between columns, rows and slices."""
        column, row = np.linalg.norm(self.affine[:3, :2], axis=0)
        return float(column), float(row), self.slice_spacing_mm

    @property
    def corners_mm(self) -> NDArray[np.float64]:
        """Centres of the eight corner voxels (8, 3)."""
        return self.to_mm(list(product(*((0, count - 1) for count in self.shape))))

    def to_mm(self, index: ArrayLike) -> NDArray[np.float64]:
        """Patient positions (..., 3) of voxel indices (..., 3); indices may be fractions."""
        return np.asarray(index, dtype=np.float64) @ self.affine[:3, :3].T + self.affine[:3, 3]

    def to_index(self, mm: ArrayLike) -> NDArray[np.float64]:
        """Voxel indices (..., 3) of patient positions (..., 3), as fractions."""
        inverse = np.linalg.inv(self.affine[:3, :3])
        return (np.asarray(mm, dtype=np.float64) - self.affine[:3, 3]) @ inverse.T


def axis_order(one: Geometry, other: Geometry) -> NDArray[np.int64] | None:
    """Signed permutation (3, 3) that takes steps along the axes of ``one`` to steps along those of ``other``.

    None when the axes or voxel sizes differ by so much that corners of ``one`` would end up in other voxels.
    """
    steps = np.linalg.solve(other.affine[:3, :3], one.affine[:3, :3])
    order = np.round(steps).astype(np.int64)
    once = np.abs(order).sum(axis=0).tolist() == [1, 1, 1] == np.abs(order).sum(axis=1).tolist()
    reach = np.abs(steps - order) @ (np.array(one.shape) - 1)
    return order if once and reach.max() <= SAME_GRID_VOXELS else None


def same_grid(one: Geometry, other: Geometry) -> bool:
    """Whether two grids have the same voxels, in whatever order their axes run.

    Masks often come back with flipped or exchanged axes and an affine that says so; that is the same grid.
    """
    order = axis_order(one, other)
    if order is None or (np.abs(order) @ np.array(one.shape)).tolist() != list(other.shape):
        return False
    return on_grid(one, other)


def on_grid(part: Geometry, whole: Geometry) -> bool:
    """Whether every voxel of ``part`` is one of ``whole``, as of a segmentation that leaves out empty slices."""
    if axis_order(part, whole) is None:
        return False
    corners = whole.to_index(part.corners_mm)
    nearest = np.clip(np.round(corners), 0, np.array(whole.shape) - 1)
    return bool(np.linalg.norm(corners - nearest, axis=1).max() <= SAME_GRID_VOXELS)
