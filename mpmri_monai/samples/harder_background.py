"""Background that a detector meets when it is slid over a liver: its edge, its vessels, and what lies around it.

Discs that lie in the liver whole teach nothing about a window that is half kidney, or that has a vein in its middle.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from mpmri_monai.samples.background import (
    DISC_SLACK_MM,
    SEARCH_PITCH_MM,
    clear_of,
    depth_mm,
    disc_positions,
    disc_radii_mm,
    draw_place,
    margin_mm,
)
from mpmri_monai.samples.body import body_mask
from mpmri_monai.samples.locate import Position, reference_of, reference_planes
from mpmri_monai.samples.organ_planes import corners_mm, planes_through
from mpmri_monai.samples.plane import ParallelPlanes
from mpmri_monai.samples.settings import Settings
from mpmri_monai.volumes import Mask, Stack

PORTAL = "S3"
"""The phase in which veins are brightest against the liver."""
VESSEL_PERCENTILE = 97.0
"""Brighter than so much of the liver is a vessel: veins take a few percent of it."""
AROUND_MM = 40.0
"""How far around the liver ``body`` is looked for: organs that touch it, not arms."""


def harder_positions(
    study: str,
    lesions: Mapping[str, Sequence[Position]],
    masks: Mapping[str, Mask],
    liver: Mask,
    stacks: Mapping[str, Stack],
    settings: Settings,
) -> list[Position]:
    """Return background positions of the kinds beside ``liver`` that the settings want.

    For the n-th lesion, region ``BG-<kind>-<n>`` is a disc of the lesion's box size, on as many neighbouring slices as
    the lesion has or as fit; it is as far from every lesion as other background, and its centre, but for ``body``, lies
    in the liver. Only the seed, the study's name and the kind decide the place. Without a portal phase there are no
    vessels.
    """
    kinds = [kind for kind in settings.background_kinds if kind != "liver"]
    if not kinds or not lesions:
        return []
    planes = planes_through(liver, reference_planes(stacks))
    radii = disc_radii_mm(lesions, settings)
    across, down, points = _grid(planes, liver, max(AROUND_MM, max(radii) + SEARCH_PITCH_MM))
    inside = liver.contains(points)
    clear = clear_of(points.reshape(-1, 3), masks.values(), margin_mm(radii, settings)).reshape(inside.shape)
    room, to_edge = depth_mm(clear), depth_mm(inside)
    result: list[Position] = []
    for kind in kinds:
        generator = np.random.default_rng([settings.seed, *hashlib.sha256(study.encode()).digest(), *kind.encode()])
        taken = np.zeros_like(inside)
        wanted = _centres(kind, inside, points, stacks)
        for n, (positions, radius) in enumerate(zip(lesions.values(), radii, strict=True), start=1):
            fits = wanted & (room > radius + DISC_SLACK_MM) & ~taken
            if kind == "edge":
                fits &= to_edge < radius
            place = draw_place(fits, len(positions), generator)
            if place is None:
                continue
            slices, row, column = place
            taken[slices] |= np.hypot(down[:, None] - down[row], across - across[column]) <= radius
            point, offsets = (across[column], down[row]), planes.offsets_mm[slices]
            extent = positions[0].extent_mm
            result += disc_positions(f"BG-{kind}-{n}", planes, point, offsets, extent, settings)
    return result


def _grid(planes: ParallelPlanes, liver: Mask, reach_mm: float):
    """Return a grid (across, down) over the liver and around it, and its points (plane, row, column, 3)."""
    corners = corners_mm(liver)
    across, down = (
        np.arange((corners @ axis).min() - reach_mm, (corners @ axis).max() + reach_mm, SEARCH_PITCH_MM)
        for axis in (planes.row_direction, planes.column_direction)
    )
    points = (
        planes.offsets_mm[:, None, None, None] * planes.normal
        + down[:, None, None] * planes.column_direction
        + across[:, None] * planes.row_direction
    )
    return across, down, points


def _centres(
    kind: str, inside: NDArray[np.bool_], points: NDArray[np.float64], stacks: Mapping[str, Stack]
) -> NDArray[np.bool_]:
    """Return where (plane, row, column) the centre of a disc of a kind may lie."""
    if kind == "body":
        return body_mask(stacks[reference_of(stacks)]).contains(points) & ~inside
    if kind == "vessel":
        return _bright(inside, points, stacks.get(PORTAL))
    return inside


def _bright(inside: NDArray[np.bool_], points: NDArray[np.float64], portal: Stack | None) -> NDArray[np.bool_]:
    """Return the brightest places of the liver in the portal phase; none without it."""
    bright = np.zeros_like(inside)
    if portal is None or not inside.any():
        return bright
    signal = _nearest_signal(portal, points[inside])
    seen = np.isfinite(signal)
    if seen.any():
        bright[inside] = seen & (np.nan_to_num(signal) > np.percentile(signal[seen], VESSEL_PERCENTILE))
    return bright


def _nearest_signal(stack: Stack, points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the signal of the voxel that each point (point, 3) lies in; NaN outside the volume."""
    index = np.rint(stack.geometry.to_index(points)).astype(int)
    inside = np.all((index >= 0) & (index < stack.geometry.shape), axis=-1)
    column, row, k = index[inside].T
    signal = np.full(len(points), np.nan)
    signal[inside] = stack.stored[k, row, column] * stack.slope[k] + stack.intercept[k]
    return signal
