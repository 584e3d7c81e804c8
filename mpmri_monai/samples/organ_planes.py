"""The slices on which an organ is seen: those of the reference, or planes of its own where there is none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import product

import numpy as np
from numpy.typing import NDArray

from mpmri_monai.samples.locate import STEP_MM
from mpmri_monai.samples.plane import ParallelPlanes
from mpmri_monai.volumes import Mask


def planes_through(organ: Mask, references: Sequence[ParallelPlanes]) -> ParallelPlanes:
    """Return the slices of the first reference between the ends of an organ, or none of them where it lies elsewhere.

    Without a reference they are planes every `STEP_MM` across the organ, parallel to the mask's slices.
    """
    if not references:
        return own_planes(organ)
    planes = references[0]
    heights = corners_mm(organ) @ planes.normal
    within = (planes.offsets_mm >= heights.min()) & (planes.offsets_mm <= heights.max())
    return replace(planes, offsets_mm=planes.offsets_mm[within])


def own_planes(organ: Mask) -> ParallelPlanes:
    """Return planes every `STEP_MM` across an organ, parallel to the slices of its mask."""
    heights = corners_mm(organ) @ organ.geometry.normal
    offsets = np.arange(heights.min() + STEP_MM / 2, heights.max(), STEP_MM)
    return ParallelPlanes.parallel_to(organ.geometry, offsets, STEP_MM)


def corners_mm(mask: Mask) -> NDArray[np.float64]:
    """Return the corners (8, 3) of the smallest block of voxels that holds the mask; faster than all its points."""
    ends = []
    for axis in (2, 1, 0):  # column, row, slice
        used = np.flatnonzero(mask.voxels.any(axis=tuple({0, 1, 2} - {axis})))
        ends.append((used[0] - 0.5, used[-1] + 0.5))
    return mask.geometry.to_mm(list(product(*ends)))
