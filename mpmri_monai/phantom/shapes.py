"""Smooth shapes in patient space, evaluated point by point.

Coordinates are mm in RAS+ (x to the patient's right, y to the front, z to the head), as three float32 arrays of one
shape. Only + - * / and square roots touch them: IEEE arithmetic rounds these alike on every processor.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Points = tuple[NDArray[np.float32], ...]
"""The x, y and z of some points, mm."""

FAR_MM = 1e4
"""Half extent of a shape that has no end in a direction."""


class Shape(Protocol):
    """Something with an inside."""

    def box(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the centre and half extents (x, y, z), mm, of a box that holds the shape."""
        ...

    def distance(self, points: Points) -> NDArray[np.float32]:
        """Return roughly the signed distance to the surface in mm, negative inside."""
        ...


@dataclass(frozen=True)
class Blob:
    """An ellipsoid whose surface waves gently: radius 1 + sum of ``wobble`` times harmonics of order 2 and 3."""

    center: tuple[float, float, float]
    radii: tuple[float, float, float]
    wobble: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)

    def box(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return centre and half extents, mm."""
        reach = 1.0 + sum(abs(w) for w in self.wobble)
        return np.array(self.center), np.array(self.radii) * reach

    def radius(self, points: Points) -> NDArray[np.float32]:
        """Return the relative radius of the points: below 1 inside, 1 on the surface."""
        qx, qy, qz = (
            (value - np.float32(c)) * np.float32(1 / r)
            for value, c, r in zip(points, self.center, self.radii, strict=True)
        )
        radius = np.sqrt(qx * qx + qy * qy + qz * qz)
        if not any(self.wobble):
            return radius
        inverse = 1 / np.maximum(radius, np.float32(1e-3))
        nx, ny, nz = qx * inverse, qy * inverse, qz * inverse
        a, b, c, d = (np.float32(w) for w in self.wobble)
        surface = 1 + a * (2 * nx * ny) + b * (2 * ny * nz) + c * (nx * nx - ny * ny) + d * (4 * nx * ny * nz)
        return radius / surface

    def distance(self, points: Points) -> NDArray[np.float32]:
        """Return the signed distance to the surface, mm, scaled by the smallest radius."""
        return (self.radius(points) - 1) * np.float32(min(self.radii))


@dataclass(frozen=True)
class Column:
    """An upright cylinder along z that bends as a parabola: spine, aorta, vena cava."""

    center: tuple[float, float]
    radius: float
    bend: tuple[float, float] = (0.0, 0.0)
    """Displacement in x and y, mm per (100 mm)² of height."""

    def box(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return centre and half extents, mm."""
        reach = [self.radius + 4 * abs(b) for b in self.bend]
        return np.array([*self.center, 0.0]), np.array([*reach, FAR_MM])

    def distance(self, points: Points) -> NDArray[np.float32]:
        """Return the horizontal distance to the wall, mm."""
        x, y, z = points
        height = z * z * np.float32(1e-4)
        dx = x - np.float32(self.center[0]) - np.float32(self.bend[0]) * height
        dy = y - np.float32(self.center[1]) - np.float32(self.bend[1]) * height
        return np.sqrt(dx * dx + dy * dy) - np.float32(self.radius)


@dataclass(frozen=True)
class Tube:
    """A vessel that runs along one axis, bends as a parabola and gets thinner: a branch of a vein.

    ``axis`` is the coordinate that it runs along, from ``start`` over ``length`` mm (signed); the two other coordinates
    are ``offset + slope·t + bend·t²`` with t from 0 to 1. The radius falls from ``radius`` to a third of it.
    """

    axis: int
    start: float
    length: float
    offset: tuple[float, float]
    slope: tuple[float, float]
    bend: tuple[float, float]
    radius: float

    def box(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return centre and half extents, mm."""
        center, half = np.empty(3), np.empty(3)
        center[self.axis], half[self.axis] = self.start + self.length / 2, abs(self.length) / 2
        for k, other in enumerate(self._others()):
            center[other] = self.offset[k]
            half[other] = abs(self.slope[k]) + abs(self.bend[k]) + 2 * self.radius
        return center, half

    def distance(self, points: Points) -> NDArray[np.float32]:
        """Return the distance to the wall across the running axis, mm."""
        t = (points[self.axis] - np.float32(self.start)) * np.float32(1 / self.length)
        along = np.minimum(np.maximum(t, 0), 1)
        square = np.zeros_like(t)
        for k, other in enumerate(self._others()):
            line = np.float32(self.offset[k]) + (np.float32(self.slope[k]) + np.float32(self.bend[k]) * along) * along
            square += (points[other] - line) ** 2
        return np.sqrt(square) - np.float32(self.radius) * (1 - np.float32(0.667) * along)

    def _others(self) -> tuple[int, int]:
        first, second = (axis for axis in range(3) if axis != self.axis)
        return first, second
