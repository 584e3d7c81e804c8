"""Random patches of a study, for pretraining without lesions or labels."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from mpmri_monai.errors import GeometryError
from mpmri_monai.samples.grid import crop_grid, grid_planes
from mpmri_monai.samples.intensity import Window, refuse_empty
from mpmri_monai.samples.locate import Position, reference_of
from mpmri_monai.samples.plane import ParallelPlanes
from mpmri_monai.samples.settings import Grid
from mpmri_monai.volumes import Geometry, Mask, Stack

PATCH = "patch"

DRAWS, MOST_ROUNDS = 4096, 250
"""Places are drawn so many at a time and so many times (counts): an organ that fills 1 % of the volume has room for ten
thousand, and one that has none is known after about a second."""

ROUNDING_MM = 1e-3
"""A patch exactly as large as the volume fits, whatever rounding did to the affine."""


def share_of(patches: int, place: int, studies: int) -> int:
    """Return how many of a cohort's patches a study has: as many as every other, the first ones one more.

    Args:
        patches: of the whole cohort.
        place: of the study in the manifest, from 0.
        studies: in the manifest.
    """
    return patches // studies + (place < patches % studies)


def patch_positions(
    study: str, count: int, stacks: Mapping[str, Stack], organ: Mask | None, grid: Grid, seed: int
) -> list[Position]:
    """Return random places, uniform over all that fit.

    A patch fits when all of it lies inside the reference volume and its centre inside the organ, or, where there is
    none, in the foreground: voxels above the volume's mean. Its axes are those of the reference, its planes start at a
    slice. The seed and the name of the study alone decide.

    Args:
        study: its name.
        count: of patches.
        stacks: sequences of the study.
        organ: that the centres lie in.
        grid: of a patch.
        seed: as in the settings.

    Raises:
        GeometryError: E_GRID: a patch is larger than the volume, or fits nowhere.
        ConfigError: E_WINDOW: the volume is constant, so that there is no foreground.
    """
    reference = reference_of(stacks)
    stack, planes = stacks[reference], grid_planes(stacks)
    region = _foreground(reference, stack) if organ is None else organ
    low, high = _room(study, stack.geometry, planes, grid)
    steps = int((high[2] - low[2] + ROUNDING_MM) / planes.spacing_mm) + 1
    axes = np.stack([planes.row_direction, planes.column_direction, planes.normal])
    generator = np.random.default_rng([seed, *hashlib.sha256(study.encode()).digest()])
    centres = np.empty((0, 3))
    for _ in range(MOST_ROUNDS):
        if len(centres) >= count:
            break
        drawn = generator.uniform(low, high, (DRAWS, 3))
        drawn[:, 2] = low[2] + planes.spacing_mm * generator.integers(steps, size=DRAWS)  # planes start at a slice
        centres = np.concatenate([centres, drawn[region.contains(drawn @ axes)]])
    if len(centres) < count:
        where = "foreground" if organ is None else "organ"
        raise _no_room(study, f"room for {count} patches with their centre in the {where}", f"{len(centres)}")
    shape = (grid.slices, grid.pixels, grid.pixels)
    side = grid.pixels * grid.plane_mm
    return [
        Position(PATCH, PATCH, n, crop_grid(planes, *centre, grid, shape), np.ones(shape, bool), side, grid.depth_mm)
        for n, centre in enumerate(centres[:count], start=1)
    ]


def _room(
    study: str, geometry: Geometry, planes: ParallelPlanes, grid: Grid
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the lowest and the highest place (3,) of a patch's centre along row, column and normal direction."""
    ends = []
    for axis in (planes.row_direction, planes.column_direction):
        along, voxel = geometry.corners_mm @ axis, np.abs(axis @ geometry.affine[:3, :3]).sum()
        margin = (grid.pixels * grid.plane_mm - voxel) / 2
        ends.append((along.min() + margin, along.max() - margin))
    depth = (grid.slices - 1) * grid.depth_mm
    last = planes.offsets_mm[-1] + planes.spacing_mm / 2 - depth
    ends.append((planes.offsets_mm[0] + depth / 2, last + depth / 2))
    low, high = np.array(ends).T
    if np.any(high < low - ROUNDING_MM):
        size = " x ".join(f"{mm:g}" for mm in (grid.slices * grid.depth_mm, *[grid.pixels * grid.plane_mm] * 2))
        column, row, spacing = geometry.spacing_mm
        volume = " x ".join(
            f"{count * mm:.4g}" for count, mm in zip(geometry.shape[::-1], (spacing, row, column), strict=True)
        )
        raise _no_room(study, f"a volume that holds a patch of {size} mm", f"one of {volume} mm (depth, row, column)")
    return low, np.maximum(low, high)


def _foreground(sequence: str, stack: Stack) -> Mask:
    """Return the voxels above the volume's mean."""
    every = slice(None)
    signal = np.stack([stack.block(k, every, every) for k in range(stack.geometry.shape[2])])
    refuse_empty({sequence: Window(float(signal.min()), float(signal.max()))})
    return Mask(signal > signal.mean(dtype=np.float64), stack.geometry)


def _no_room(study: str, expected: str, found: str) -> GeometryError:
    fix = "take a smaller grid: fewer slices or pixels, or smaller depth_mm or plane_mm"
    return GeometryError(expected=expected, found=found, where=f"study {study}", fix=fix, code="E_GRID")
