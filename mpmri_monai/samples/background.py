"""Background samples: liver without lesion, as many and as large as the lesions of the study."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt
from scipy.spatial import cKDTree

from mpmri_monai.samples.grid import crop_grid
from mpmri_monai.samples.locate import Position, crop_plane
from mpmri_monai.samples.organ_planes import corners_mm, own_planes
from mpmri_monai.samples.plane import ParallelPlanes
from mpmri_monai.samples.settings import Grid, Settings
from mpmri_monai.volumes import Mask

SEARCH_PITCH_MM = 2.0
"""Grid on which discs are fitted into the liver; vessels and clefts narrower than this are not seen."""

DISC_SLACK_MM = SEARCH_PITCH_MM / np.sqrt(2)
"""How much deeper than its radius the centre of a disc has to lie: every point of it then has a free grid point as its
nearest one."""

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
    planes = references[0] if references else own_planes(liver)
    generator = np.random.default_rng([settings.seed, *hashlib.sha256(study.encode()).digest()])
    radii = disc_radii_mm(lesions, settings)
    across, down, offsets, free = _free_liver(planes, liver, masks.values(), margin_mm(radii, settings))
    result: list[Position] = []
    for n, (positions, radius) in enumerate(zip(lesions.values(), radii, strict=True), start=1):
        place = draw_place(depth_mm(free) > radius + DISC_SLACK_MM, len(positions), generator)
        if place is None:
            continue
        slices, row, column = place
        away = np.hypot(down[:, None] - down[row], across[None, :] - across[column])
        free[slices] &= away > radius
        point = across[column], down[row]
        result += disc_positions(f"BG-{n}", planes, point, offsets[slices], positions[0].extent_mm, settings)
    return result


def disc_radii_mm(lesions: Mapping[str, Sequence[Position]], settings: Settings) -> list[float]:
    """Return the radius of the background disc of each lesion: half its box."""
    return [max(positions[0].extent_mm, settings.minimum_box_mm) / 2 for positions in lesions.values()]


def margin_mm(radii: Sequence[float], settings: Settings) -> float:
    """Return how far lesions stay from discs, so that they do not reach into the corners of their boxes either."""
    return max([settings.background_margin_mm, *(CORNER * radius for radius in radii)])


def disc_positions(
    region: str,
    planes: ParallelPlanes,
    point: tuple[float, float],
    offsets: NDArray[np.float64],
    extent: float,
    settings: Settings,
) -> list[Position]:
    """Return the positions of a background region: a disc at one point (across, down; mm) of some slices."""
    side = max(extent, settings.minimum_box_mm)
    crops = [crop_plane(planes, *point, offset, extent, settings) for offset in offsets]
    return [
        Position(region, "background", number, crop, crop.disc(side), extent, planes.spacing_mm)
        for number, crop in enumerate(crops)
    ]


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
    heights = corners_mm(organ) @ planes.normal
    start = planes.offsets_mm[0] + (grid.slices - 1) / 2 * grid.depth_mm
    first = start + planes.spacing_mm * np.floor((heights.min() - start) / planes.spacing_mm)
    every = int(np.ceil(planes.spacing_mm / SEARCH_PITCH_MM))
    pitch = planes.spacing_mm / every
    return replace(planes, offsets_mm=np.arange(first, heights.max() + pitch, pitch), spacing_mm=pitch), every


def _free_liver(planes: ParallelPlanes, liver: Mask, lesions: Iterable[Mask], margin: float):
    """Return a grid (across, down, offset) over the liver and where on it (plane, row, column) nothing stands."""
    corners = corners_mm(liver)
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
    free[free] = clear_of(grid[free], lesions, margin)
    return across, down, offsets, free


def clear_of(points: NDArray[np.float64], lesions: Iterable[Mask], distance_mm: float) -> NDArray[np.bool_]:
    """Return which points (point, 3) are farther than a distance from every lesion; voxels count to their corners."""
    clear = np.ones(len(points), bool)
    for lesion in lesions:
        reach = distance_mm + np.linalg.norm(lesion.geometry.spacing_mm) / 2  # from the centre of a voxel to its corner
        distance, _ = cKDTree(lesion.points_mm()).query(points[clear], distance_upper_bound=reach)
        clear[clear] = np.isinf(distance)
    return clear


def depth_mm(free: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return how far each free place (plane, row, column) is from the nearest one of its plane that is not free; what
    lies off the grid is not."""
    bordered = np.pad(free, ((0, 0), (1, 1), (1, 1)))
    planes = [distance_transform_edt(plane, sampling=SEARCH_PITCH_MM)[1:-1, 1:-1] for plane in bordered]
    return np.stack(planes) if planes else np.zeros(free.shape)


def draw_place(fits: NDArray[np.bool_], wanted: int, generator: np.random.Generator):
    """Return (slices, row, column) of a place that fits on ``wanted`` neighbouring planes, or on as many as there are;
    None where there is none.

    Args:
        fits: (plane, row, column).
        wanted: planes.
        generator: draws.
    """
    for count in range(min(wanted, len(fits)), 0, -1):
        runs = np.lib.stride_tricks.sliding_window_view(fits, count, axis=0).all(axis=-1)
        places = np.argwhere(runs)
        if len(places):
            first, row, column = places[generator.integers(len(places))]
            return slice(first, first + count), row, column
    return None
