"""Measuring a mask in any direction. A mask voxel is a box, not a point: it reaches half a voxel to every side."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mpmri_monai.volumes import Geometry, Mask


def box_mask(center_mm: tuple[float, ...], size_mm: tuple[float, ...]) -> Mask:
    """Return a box parallel to the axes of the body as a mask of one voxel of that size."""
    affine = np.diag([*size_mm, 1.0])
    affine[:3, 3] = center_mm
    return Mask(np.ones((1, 1, 1), bool), Geometry(affine, (1, 1, 1)))


def half_width_mm(mask: Mask, direction: NDArray[np.float64]) -> float:
    """Return how far a voxel of ``mask`` reaches from its centre along a unit vector."""
    return float(np.abs(direction @ mask.geometry.affine[:3, :3]).sum() / 2)


def extent_mm(mask: Mask, points_mm: NDArray[np.float64], direction: NDArray[np.float64]) -> tuple[float, float]:
    """Return where the voxels at ``points_mm`` begin and end along a unit vector, in mm from the origin."""
    along = points_mm @ direction
    half = half_width_mm(mask, direction)
    return float(along.min() - half), float(along.max() + half)
