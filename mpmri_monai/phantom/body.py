"""What every anatomy has: signal at any point, an organ, lesions, and how patients differ."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike, NDArray

from mpmri_monai.phantom.lesion import Lesion
from mpmri_monai.phantom.painting import near
from mpmri_monai.phantom.shapes import Blob, Points, Shape


@dataclass(frozen=True)
class Organ:
    """A tissue and the shapes it fills, together; later organs lie over earlier ones."""

    tissue: str
    shapes: tuple[Shape, ...]


@dataclass(frozen=True, kw_only=True)
class Body(ABC):
    """One patient's anatomy and its noise-free signal at any point.

    Attributes:
        lesions: its findings.
        signals: {tissue: {sequence: noise-free signal}}.
    """

    lesions: tuple[Lesion, ...] = ()
    signals: dict[str, dict[str, float]]

    @abstractmethod
    def values(self, sequence: str, points: Points) -> NDArray[np.float32]:
        """Return ``signal`` for points given as flat x, y, z arrays (the fast way)."""

    @abstractmethod
    def in_organ(self, points: Points) -> NDArray[np.bool_]:
        """Return which points lie in the organ that is studied, lesions included."""

    @abstractmethod
    def in_room(self, points: Points) -> NDArray[np.bool_]:
        """Return which points a lesion may take."""

    def signal(self, sequence: str, points_mm: ArrayLike) -> NDArray[np.float32]:
        """Return the noise-free signal of ``sequence``.

        Args:
            sequence: one that ``signals`` has.
            points_mm: (..., 3), RAS+, in the patient's own frame (before any shift at the scanner).

        Returns:
            (...) float32, in the units of ``signals``.
        """
        points = np.asarray(points_mm, dtype=np.float32)
        flat = points.reshape(-1, 3)
        x, y, z = (np.ascontiguousarray(flat[:, k]) for k in range(3))
        return self.values(sequence, (x, y, z)).reshape(points.shape[:-1])

    def levels(self, sequence: str) -> dict[str, np.float32]:
        """Return the signal of each tissue in ``sequence``."""
        return {tissue: np.float32(values[sequence]) for tissue, values in self.signals.items()}

    def lesion_at(self, points: Points) -> NDArray[np.uint8]:
        """Return the number (from 1) of the lesion that each point lies in, else 0."""
        number = np.zeros(points[0].shape, np.uint8)
        for k, lesion in enumerate(self.lesions, start=1):
            index, close = near(lesion.box(), points)
            number[index[lesion.local(close)[1] <= 1]] = k
        return number


@dataclass(frozen=True)
class Jitter:
    """Anatomy varies between patients: sizes by some percent, places by some mm."""

    rng: Generator

    def near(self, value: float, deviation: float) -> float:
        """Return ``value`` with a deviation that ends at two standard deviations."""
        return float(value + deviation * np.clip(self.rng.standard_normal(), -2, 2))

    def blob(self, center: tuple, radii: tuple, place_mm: float = 3.0) -> Blob:
        """Return a blob near ``center`` with radii near ``radii`` and a wobbly surface."""
        at = tuple(self.near(c, place_mm) for c in center)
        size = tuple(self.near(r, 0.05 * r) for r in radii)
        wobble = tuple(float(w) for w in np.clip(self.rng.normal(0, 0.05, 4), -0.1, 0.1))
        return Blob(at, size, wobble)
