"""Parts of stacks, and how SimpleITK is given them: crop first, work after."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from mpmri_monai.volumes.geometry import Geometry
from mpmri_monai.volumes.stack import Stack

Box = tuple[slice, slice, slice]
"""Part of a grid: columns, rows and slices, each from a first to before a last voxel."""


def reach(geometry: Geometry, corners_mm: NDArray[np.float64], margin_mm: float) -> Box | None:
    """Return the part (column, row, slice) of a grid that reaches ``margin_mm`` around some points; None where none."""
    index = geometry.to_index(corners_mm)
    margin = margin_mm / np.array(geometry.spacing_mm)
    low = np.maximum(np.floor(index.min(axis=0) - margin), 0).astype(int)
    high = np.minimum(np.ceil(index.max(axis=0) + margin) + 1, geometry.shape).astype(int)
    if (high <= low).any():
        return None
    column, row, k = (slice(int(start), int(stop)) for start, stop in zip(low, high, strict=True))
    return column, row, k


def signal_of(stack: Stack, part: Box) -> NDArray[np.float32]:
    """Return the signal (slice, row, column) of a part of a stack."""
    columns, rows, slices = part
    return np.stack([stack.block(k, rows, columns) for k in range(slices.start, slices.stop)])


def placed(voxels: NDArray, geometry: Geometry, part: Box) -> sitk.Image:
    """Return voxels (slice, row, column) of a part of a grid as a SimpleITK image whose space is RAS+ mm.

    SimpleITK would call the space LPS+; what lies where is the same as long as every image comes from here.
    """
    image = sitk.GetImageFromArray(voxels)
    edges = geometry.affine[:3, :3]
    lengths = np.linalg.norm(edges, axis=0)
    image.SetSpacing(lengths.tolist())
    image.SetDirection((edges / lengths).ravel().tolist())
    image.SetOrigin(geometry.to_mm([axis.start for axis in part]).tolist())
    return image
