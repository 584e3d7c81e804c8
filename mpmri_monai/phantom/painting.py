"""Laying tissues over one another at points, with soft borders."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mpmri_monai.phantom.lesion import Lesion
from mpmri_monai.phantom.shapes import FAR_MM, Points, Shape

EDGE_MM = 1.5
"""Width of the transition between tissues."""


def membership(distance: NDArray, edge_mm: float = EDGE_MM) -> NDArray[np.float32]:
    """Return 1 inside, 0 outside, with a ramp of ``edge_mm`` over the surface."""
    return np.minimum(np.maximum(np.float32(0.5) - distance * np.float32(1 / edge_mm), 0), 1)


def paint(value: NDArray, points: Points, shapes: tuple[Shape, ...], level: np.float32) -> None:
    """Lay ``shapes`` of signal ``level`` over ``value``."""
    for shape in shapes:
        index, close = near(shape.box(), points)
        if index.size:
            value[index] += membership(shape.distance(close)) * (level - value[index])


def paint_layers(
    value: NDArray[np.float32], distance: NDArray[np.float32], layers: tuple[tuple[float, np.float32], ...]
) -> None:
    """Lay each (start, level) over the points whose ``distance``, mm, is beyond the start; later ones over earlier."""
    for start, level in layers:
        value += membership(np.float32(start) - distance) * (level - value)


def paint_lesions(
    value: NDArray[np.float32], points: Points, lesions: tuple[Lesion, ...], sequence: str, level: np.float32
) -> None:
    """Lay lesions over ``value``; ``level`` is the signal of the organ around that their contrast refers to."""
    for lesion in lesions:
        at, close = near(lesion.box(), points)
        if at.size:
            u, radius = lesion.local(close)
            share = lesion.membership(radius)
            inner = level * (1 + lesion.contrast(sequence, u, radius))
            value[at] += (share * (inner - value[at])).astype(np.float32)


def near(box: tuple[NDArray, NDArray], points: Points) -> tuple[NDArray[np.intp], Points]:
    """Return the index of the points in a box (with a margin for soft edges), and those points."""
    x, y, z = points
    inside = np.ones(x.shape, bool)
    for value, center, half in zip((z, x, y), box[0][[2, 0, 1]], box[1][[2, 0, 1]], strict=True):
        if half < FAR_MM:
            inside &= np.abs(value - np.float32(center)) < np.float32(half + EDGE_MM)
            if not inside.any():  # most shapes lie above or below a given slice
                break
    index = np.flatnonzero(inside)
    return index, (x[index], y[index], z[index])


def union(boxes: list[tuple[NDArray, NDArray]]) -> tuple[NDArray, NDArray]:
    """Return the centre and half extents of the box that holds all ``boxes``."""
    low = np.minimum.reduce([center - half for center, half in boxes])
    high = np.maximum.reduce([center + half for center, half in boxes])
    return (low + high) / 2, (high - low) / 2
