"""Views of a study: where each lesion is looked at, and the acquired slice nearest to that place, with its outline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mpmri_monai.report.upright import UprightSlice, nearest_slice, upright
from mpmri_monai.samples.region import extent_mm
from mpmri_monai.volumes import Mask, Stack

FIELD_PER_EXTENT, SMALLEST_FIELD_MM = 2.5, 60.0
"""A close view shows so many times the lesion's extent, and at least so much."""


@dataclass(frozen=True, eq=False)
class Target:
    """Where a lesion is looked at: its slice with the most voxels."""

    name: str
    mask: Mask
    centre_mm: NDArray[np.float64]
    normal: NDArray[np.float64]
    extent_mm: float
    """Larger extent within the slice."""
    ends_mm: tuple[NDArray[np.float64], NDArray[np.float64]]
    """The same place a quarter of the lesion's height above its lowest and below its highest voxel."""


@dataclass(frozen=True, eq=False)
class View:
    """A column of the sheet: a lesion seen close at one place, or the whole slice through it."""

    title: str
    target: Target
    centre_mm: NDArray[np.float64]
    close: bool = True


@dataclass(frozen=True, eq=False)
class Outline:
    """Where a lesion is in a picture."""

    inside: NDArray[np.bool_]
    """(row, column)."""
    projected: bool
    """The mask does not reach this slice; its largest slice is shown as if it lay here."""


@dataclass(frozen=True, eq=False)
class Panel:
    """A square view of an acquired slice."""

    image: NDArray[np.float32]
    """(row, column): signal."""
    edges_mm: tuple[float, float, float, float]
    """Left, right, bottom and top edge of the image from the middle of the view; down is positive."""
    field_mm: float
    """Side of the view."""
    outlines: tuple[Outline, ...]
    caption: str
    left: str


def target_of(name: str, mask: Mask) -> Target:
    """Return where a lesion is looked at."""
    counts = np.count_nonzero(mask.voxels, axis=(1, 2))
    equally_large = np.flatnonzero(counts == counts.max())
    largest = int(equally_large[len(equally_large) // 2])
    rows, columns = np.nonzero(mask.voxels[largest])
    geometry = mask.geometry
    points = geometry.to_mm(np.column_stack([columns, rows, np.full(len(rows), largest)]))
    sides = [extent_mm(mask, points, axis / np.linalg.norm(axis)) for axis in geometry.affine[:3, :2].T]
    centre, normal = points.mean(axis=0), geometry.normal
    low, high = extent_mm(mask, mask.points_mm(), normal)
    heights = np.array([low + (high - low) / 4, high - (high - low) / 4]) - centre @ normal
    ends = (centre + heights[0] * normal, centre + heights[1] * normal)
    return Target(name, mask, centre, normal, max(high - low for low, high in sides), ends)


def views_of(targets: Sequence[Target]) -> list[View]:
    """Return the columns: the whole slice, then each lesion close; a single lesion is seen at three heights."""
    if not targets:
        return []
    first = targets[0]
    whole = View(f"through {first.name}", first, first.centre_mm, close=False)
    if len(targets) > 1:
        return [whole, *(View(f"{target.name}, close", target, target.centre_mm) for target in targets)]
    low, high = first.ends_mm
    heights = {"close": first.centre_mm, "lower quarter": low, "upper quarter": high}
    return [whole, *(View(f"{first.name}, {title}", first, point) for title, point in heights.items())]


def whole_slice(stack: Stack, targets: Sequence[Target]) -> Panel | str:
    """Return the acquired slice nearest to the first lesion, or why there is none."""
    near = nearest_slice(stack.geometry, targets[0].centre_mm)
    if near is None:
        return "not covered"
    caption = f"slice {near[0] + 1} of {stack.geometry.shape[2]}, {near[1]:.1f} mm off"
    return _panel(upright(stack, near[0]), None, targets, caption)


def close_view(stack: Stack, view: View, targets: Sequence[Target]) -> Panel | str:
    """Return the surroundings of a lesion in the acquired slice nearest to the view, or why there is none."""
    near = nearest_slice(stack.geometry, view.centre_mm)
    if near is None:
        return "not covered"
    others = [target for target in targets if target is not view.target]
    caption = f"slice {near[0] + 1}, {near[1]:.1f} mm off"
    return _panel(upright(stack, near[0]), view, [view.target, *others], caption)


def slice_view(stack: Stack, index: int) -> Panel:
    """Return a whole slice without outlines."""
    return _panel(upright(stack, index), None, [], f"slice {index + 1} of {stack.geometry.shape[2]}")


def _panel(shown: UprightSlice, view: View | None, targets: Sequence[Target], caption: str) -> Panel:
    """Return a part of a slice, or all of it without a view, with the outlines of the lesions that it meets.

    The first of ``targets`` is outlined in any case: where its mask ends before the slice, by its largest slice.
    """
    rows, columns = shown.image.shape
    row_mm, column_mm = shown.pixel_mm
    centre, field = ((rows - 1) / 2, (columns - 1) / 2), max(rows * row_mm, columns * column_mm)
    if view is not None:
        centre = shown.place(view.centre_mm)
        field = min(field, max(SMALLEST_FIELD_MM, FIELD_PER_EXTENT * view.target.extent_mm))
    top, bottom = _span(centre[0], field / row_mm, rows)
    left, right = _span(centre[1], field / column_mm, columns)
    edges = (
        (left - 0.5 - centre[1]) * column_mm,
        (right - 0.5 - centre[1]) * column_mm,
        (bottom - 0.5 - centre[0]) * row_mm,
        (top - 0.5 - centre[0]) * row_mm,
    )
    points = shown.points_mm[top:bottom, left:right]
    outlines = [Outline(target.mask.contains(points), projected=False) for target in targets]
    if outlines and not outlines[0].inside.any():
        outlines[0] = Outline(targets[0].mask.contains(_moved(points, targets[0])), projected=True)
        caption += ", beyond the mask"
    return Panel(shown.image[top:bottom, left:right].copy(), edges, field, tuple(outlines), caption, shown.left)


def _moved(points_mm: NDArray[np.float64], target: Target) -> NDArray[np.float64]:
    """Return points moved along the mask's normal into its largest slice."""
    heights = (points_mm - target.centre_mm) @ target.normal
    return points_mm - heights[..., None] * target.normal


def _span(centre: float, width: float, count: int) -> tuple[int, int]:
    """Return the pixels, first and after the last, that a view of ``width`` pixels touches; at least one."""
    first = int(np.clip(np.floor(centre - width / 2), 0, count - 1))
    return first, int(np.clip(np.ceil(centre + width / 2) + 1, first + 1, count))
