"""How much of a lesion each sequence of a study covers; from grids alone, no image is read."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from mpmri_monai.volumes import Geometry, Mask

PART_MM = 2.0
"""Voxels of a mask are taken apart until no edge of a part is longer, so that a thick slice, or a box given by centre
and size, can be covered in part."""
MOST_PARTS = 64
"""An edge is cut into at most so many parts (count); a box of 128 mm still has parts of 2 mm."""


def lesion_coverage(mask: Mask, geometry: Geometry) -> float:
    """Return the part (0…1) of a mask's volume that lies inside a grid.

    Inside is what the sampling calls covered: no farther than half a voxel beyond the centres of the outermost voxels,
    in the slices and across them.

    Args:
        mask: of the lesion, on whatever grid it was drawn.
        geometry: grid of the sequence, as acquired or aligned.
    """
    points = mask.points_mm()
    parts = _part_offsets_mm(mask.geometry)
    if not len(points):
        return 0.0
    few, many = sorted((points, parts), key=len)  # a mask has many voxels of few parts, a box one of very many
    return float(np.mean([_inside(geometry, many + one).mean() for one in few]))


def coverage_table(lesions: Mapping[str, Mask], sequences: Mapping[str, Geometry]) -> dict[str, dict[str, float]]:
    """Return for every lesion the part of it that each sequence covers: ``{lesion: {sequence: 0…1}}``."""
    return {
        lesion: {sequence: lesion_coverage(mask, geometry) for sequence, geometry in sequences.items()}
        for lesion, mask in lesions.items()
    }


def _part_offsets_mm(geometry: Geometry) -> NDArray[np.float64]:
    """Return from the centre of a voxel to the centres of the parts that it is cut into, (part, 3)."""
    edges = geometry.affine[:3, :3]
    counts = np.clip(np.ceil(np.linalg.norm(edges, axis=0) / PART_MM), 1, MOST_PARTS).astype(int)
    fractions = [(np.arange(count) + 0.5) / count - 0.5 for count in counts]
    return np.stack(np.meshgrid(*fractions, indexing="ij"), axis=-1).reshape(-1, 3) @ edges.T


def _inside(geometry: Geometry, points_mm: NDArray[np.float64]) -> NDArray[np.bool_]:
    index = geometry.to_index(points_mm)
    return np.all((index >= -0.5) & (index <= np.array(geometry.shape) - 0.5), axis=-1)
