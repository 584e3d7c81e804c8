"""Background samples: liver without lesion, as many and as large as the lesions of the study."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt
from scipy.spatial import cKDTree

from mpmri_monai.samples.grid import crop_grid
from mpmri_monai.samples.locate import STEP_MM, Position, crop_plane
from mpmri_monai.samples.plane import ParallelPlanes
from mpmri_monai.samples.settings import Grid, Settings
from mpmri_monai.volumes import Mask

SEARCH_PITCH_MM = 2.0
"""Grid on which discs are fitted into the liver; vessels and clefts narrower than this are not seen."""

CORNER = np.sqrt(2) - 1
"""How far the corners of the box, which the network sees too, stick out of its disc (radii)."""


def background_positions(
    study: str,
    lesions: Mapping[str, Sequence[Position]],
    masks: Mapping[str, Mask],
    liver: Mask,
    references: Sequence[ParallelPlanes],
    settings: Settings,
) -> list[Position]:
    """Return background positions, matched lesion by lesion.

    For the n-th lesion, region ``BG-<n>`` is a disc of the lesion's box size on as many neighbouring reference slices
    as the lesion has; the whole disc lies in the liver, farther than the margin from every lesion, and apart from the
    other background regions; nor does a lesion reach into the corners of the box around the disc. The place is drawn at
    random from all that fit, by a generator that only the seed and the name of the study decide. Where there is no room
    it gets fewer slices, or none.
    """
    planes = references[0] if references else _liver_planes(liver)
    generator = np.random.default_rng([settings.seed, *hashlib.sha256(study.encode()).digest()])
    radii = [max(positions[0].extent_mm, settings.minimum_box_mm) / 2 for positions in lesions.values()]
    margin = max([settings.background_margin_mm, *(CORNER * radius for radius in radii)])
    across, down, offsets, free = _free_liver(planes, liver, masks.values(), margin)
    result: list[Position] = []
    for n, (positions, radius) in enumerate(zip(lesions.values(), radii, strict=True), start=1):
        extent = positions[0].extent_mm
        place = _draw_place(free, radius, len(positions), generator)
        if place is None:
            continue
        slices, row, column = place
        away = np.hypot(down[:, None] - down[row], across[None, :] - across[column])
        free[slices] &= away > radius
        for number, offset in enumerate(offsets[slices]):
            plane = crop_plane(planes, across[column], down[row], offset, extent, settings)
            disc = plane.disc(2 * radius)
            result.append(Position(f"BG-{n}", "background", number, plane, disc, extent, planes.spacing_mm))
    return result


def background_balls(
    study: str,
    lesions: Mapping[str, Position],
    masks: Mapping[str, Mask],
    organ: Mask,
    planes: ParallelPlanes,
    settings: Settings,
    grid: Grid,
) -> list[Position]:
    """Return background positions on a grid, one a lesion, by the rules of `background_positions` as far as they fit.

    For the n-th lesion, region ``BG-<n>`` is a ball as wide as the lesion. All of it lies in the organ, farther than
    the margin from every lesion and apart from the other balls; nor does a lesion reach into what the network sees
    around it. Where there is no room there is none.
    """
    generator = np.random.default_rng([settings.seed, *hashlib.sha256(study.encode()).digest()])
    seen_mm = np.array([grid.slices * grid.depth_mm, grid.pixels * grid.plane_mm, grid.pixels * grid.plane_mm])
    radii = [position.extent_mm / 2 for position in lesions.values()]
    margin = max([settings.background_margin_mm, *(np.linalg.norm(seen_mm) / 2 - radius for radius in radii)])
    fine, every = _fine_planes(planes, organ, grid)
    across, down, offsets, free = _free_liver(fine, organ, masks.values(), margin)
    pitches = (fine.spacing_mm, SEARCH_PITCH_MM, SEARCH_PITCH_MM)
    centres = np.isin(offsets, fine.offsets_mm[::every])
    result: list[Position] = []
    for n, radius in enumerate(radii, start=1):
        depth = distance_transform_edt(np.pad(free, 1), sampling=pitches)[1:-1, 1:-1, 1:-1]
        # Every point of the ball then has a free grid point as its nearest one.
        places = np.argwhere((depth > radius + np.linalg.norm(pitches) / 2) & centres[:, None, None])
        if not len(places):
            continue
        plane, row, column = places[generator.integers(len(places))]
        heights = (offsets - offsets[plane])[:, None, None]
        free &= heights**2 + (down - down[row])[:, None] ** 2 + (across - across[column]) ** 2 > radius**2
        crop = crop_grid(planes, across[column], down[row], offsets[plane], grid, settings.stored_shape)
        result.append(Position(f"BG-{n}", "background", 0, crop, crop.ball(2 * radius), 2 * radius, grid.depth_mm))
    return result


def _fine_planes(planes: ParallelPlanes, organ: Mask, grid: Grid) -> tuple[ParallelPlanes, int]:
    """Return planes across an organ, close enough to search it, and a step: the first plane and each that many planes
    further can be the middle of a crop, whose own planes start at a slice."""
    heights = _corners_mm(organ) @ planes.normal
    start = planes.offsets_mm[0] + (grid.slices - 1) / 2 * grid.depth_mm
    first = start + planes.spacing_mm * np.floor((heights.min() - start) / planes.spacing_mm)
    every = int(np.ceil(planes.spacing_mm / SEARCH_PITCH_MM))
    pitch = planes.spacing_mm / every
    return replace(planes, offsets_mm=np.arange(first, heights.max() + pitch, pitch), spacing_mm=pitch), every


def _free_liver(planes: ParallelPlanes, liver: Mask, lesions, margin_mm: float):
    """Return a grid (across, down, offset) over the liver and where on it (plane, row, column) nothing stands."""
    corners = _corners_mm(liver)
    across, down = (
        np.arange((corners @ direction).min(), (corners @ direction).max(), SEARCH_PITCH_MM)
        for direction in (planes.row_direction, planes.column_direction)
    )
    low, high = (corners @ planes.normal).min(), (corners @ planes.normal).max()
    offsets = planes.offsets_mm[(planes.offsets_mm >= low) & (planes.offsets_mm <= high)]
    grid = (
        offsets[:, None, None, None] * planes.normal
        + down[:, None, None] * planes.column_direction
        + across[:, None] * planes.row_direction
    )
    free = liver.contains(grid)
    for lesion in lesions:
        reach = margin_mm + np.linalg.norm(lesion.geometry.spacing_mm) / 2  # from the centre of a voxel to its corner
        distance, _ = cKDTree(lesion.points_mm()).query(grid[free], distance_upper_bound=reach)
        free[free] = np.isinf(distance)
    return across, down, offsets, free


def _draw_place(free: NDArray[np.bool_], radius_mm: float, wanted: int, generator: np.random.Generator):
    """Return (slices, row, column) of a disc that is free on ``wanted`` neighbouring planes, or on as many as fit."""
    # Every point of the disc then has a free grid point as its nearest one.
    needed = radius_mm + SEARCH_PITCH_MM / np.sqrt(2)
    bordered = np.pad(free, ((0, 0), (1, 1), (1, 1)))
    depth = (
        np.stack([distance_transform_edt(plane, sampling=SEARCH_PITCH_MM) for plane in bordered]) if len(free) else free
    )
    fits = depth[:, 1:-1, 1:-1] > needed if len(free) else free
    for count in range(min(wanted, len(fits)), 0, -1):
        runs = np.lib.stride_tricks.sliding_window_view(fits, count, axis=0).all(axis=-1)
        places = np.argwhere(runs)
        if len(places):
            first, row, column = places[generator.integers(len(places))]
            return slice(first, first + count), row, column
    return None


def _liver_planes(liver: Mask) -> ParallelPlanes:
    heights = _corners_mm(liver) @ liver.geometry.normal
    low, high = heights.min(), heights.max()
    return ParallelPlanes.parallel_to(liver.geometry, np.arange(low + STEP_MM / 2, high, STEP_MM), STEP_MM)


def _corners_mm(mask: Mask) -> NDArray[np.float64]:
    """Return the corners (8, 3) of the smallest block of voxels that holds the mask; faster than all its points."""
    ends = []
    for axis in (2, 1, 0):  # column, row, slice
        used = np.flatnonzero(mask.voxels.any(axis=tuple({0, 1, 2} - {axis})))
        ends.append((used[0] - 0.5, used[-1] + 0.5))
    return mask.geometry.to_mm(list(product(*ends)))
