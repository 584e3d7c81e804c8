"""Closed contours on a slice, filled: which pixel centres lie inside."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

ON_CONTOUR = 0.02
"""Pixel centres this close to a contour lie on it (pixels); contours are written with few decimals."""
ASTRAY, FEWEST_ASTRAY = 0.1, 4
"""A contour crosses another one when more than this share of its pixels, and at least so many (count), lie elsewhere
than the rest; neighbours that touch often share a few."""


def fill(contours: Sequence[NDArray[np.float64]], rows: int, columns: int) -> NDArray[np.bool_]:
    """Fill the closed contours of one slice by the even-odd rule.

    A pixel belongs to the region when a ray from its centre meets the contours an odd number of times, so that a
    contour inside another one is a hole and one inside the hole is filled again (the union of the contours by XOR).
    The contour itself belongs to the region: a centre on it counts, on the outline as on the edge of a hole. So
    outlines drawn through the centres of the outermost pixels, as tools that trace masks write them, give those back.

    Args:
        contours: one or more of points (point, 2) as (column, row) in pixels, 0 at the centre of the first pixel; the
            last point is joined to the first.
        rows: of the slice.
        columns: of the slice.

    Returns:
        (row, column).
    """
    edges = np.concatenate([_edges(points) for points in contours])
    edges = edges[np.any(edges[:, 0] != edges[:, 1], axis=1)]
    if not len(edges):
        edges = np.concatenate([np.stack([points, points], axis=1) for points in contours])
    return _inside(edges, rows, columns) | _on(edges, rows, columns)


def nested(contours: Sequence[NDArray[np.float64]], rows: int, columns: int) -> bool:
    """Whether the contours of one slice lie beside or inside one another, which the even-odd rule takes for granted.

    It would make a hole of what two contours share that cross, and nothing of a contour that is there twice.
    Taken from large to small, each contour lies as a whole directly inside one of those before it, or in none.

    Args:
        contours: as of `fill`.
        rows: of the slice.
        columns: of the slice.
    """
    around = np.full((rows, columns), -1)  # the innermost contour so far
    sizes: list[int] = []
    for points in sorted(contours, key=_area, reverse=True):
        inside = _inside(_edges(points), rows, columns)
        sizes.append(int(np.count_nonzero(inside)))
        holders, counts = np.unique(around[inside], return_counts=True)
        if len(holders):
            holder, astray = int(holders[counts.argmax()]), sizes[-1] - int(counts.max())
            twice = not astray and holder >= 0 and sizes[holder] == sizes[-1]
            if twice or astray >= max(FEWEST_ASTRAY, ASTRAY * sizes[-1]):
                return False
        around[inside] = len(sizes) - 1
    return True


def _edges(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Edges (edge, end, (column, row)) of a closed contour."""
    return np.stack([points, np.roll(points, -1, axis=0)], axis=1)


def _area(points: NDArray[np.float64]) -> float:
    """Area of a polygon (Gauss's shoelace formula), in pixels."""
    start, end = _edges(points - points[0]).swapaxes(0, 1)
    return abs(float((start[:, 0] * end[:, 1] - end[:, 0] * start[:, 1]).sum())) / 2


def _inside(edges: NDArray[np.float64], rows: int, columns: int) -> NDArray[np.bool_]:
    """Pixels left of which lies an odd number of edges; ``edges`` is (edge, end, (column, row))."""
    low, high = edges[..., 1].min(axis=1), edges[..., 1].max(axis=1)
    edge, row = _whole_numbers(np.ceil(low), np.ceil(high) - 1)  # half-open, so that a corner is met once
    column = np.ceil(_at(edges[edge], row, along=1)).astype(int).clip(0, columns)
    seen = (row >= 0) & (row < rows)
    crossings = np.zeros((rows, columns + 1), np.int64)
    np.add.at(crossings, (row[seen], column[seen]), 1)
    return np.cumsum(crossings, axis=1)[:, :columns] % 2 == 1


def _on(edges: NDArray[np.float64], rows: int, columns: int) -> NDArray[np.bool_]:
    """Pixels whose centre lies on an edge."""
    found = np.zeros((rows, columns), bool)
    flat = np.abs(edges[:, 1, 0] - edges[:, 0, 0]) > np.abs(edges[:, 1, 1] - edges[:, 0, 1])
    for along, part in ((0, edges[flat]), (1, edges[~flat])):
        low, high = part[..., along].min(axis=1), part[..., along].max(axis=1)
        edge, place = _whole_numbers(np.ceil(low - ON_CONTOUR), np.floor(high + ON_CONTOUR))
        across = _at(part[edge], np.clip(place, low[edge], high[edge]), along)
        nearest = np.round(across).astype(int)
        column, row = (place, nearest) if along == 0 else (nearest, place)
        on = (np.abs(across - nearest) <= ON_CONTOUR) & (column >= 0) & (column < columns) & (row >= 0) & (row < rows)
        found[row[on], column[on]] = True
    return found


def _whole_numbers(
    first: NDArray[np.float64], last: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """All whole numbers from ``first`` to ``last`` of every edge: index of the edge, number."""
    counts = np.maximum(last - first + 1, 0).astype(int)
    edge = np.repeat(np.arange(len(counts)), counts)
    start = np.repeat(np.cumsum(counts) - counts, counts)
    return edge, np.arange(len(edge)) - start + first[edge].astype(int)


def _at(edges: NDArray[np.float64], place: NDArray, along: int) -> NDArray[np.float64]:
    """Other coordinate of each edge where its coordinate ``along`` (0 column, 1 row) is ``place``."""
    start, end = edges[:, 0], edges[:, 1]
    length = end[:, along] - start[:, along]
    part = np.divide(place - start[:, along], length, out=np.zeros(len(edges)), where=length != 0)
    return start[:, 1 - along] + part * (end[:, 1 - along] - start[:, 1 - along])
