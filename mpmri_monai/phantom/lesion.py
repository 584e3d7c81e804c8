"""One lesion: an irregular ball whose contrast to the organ around is a sum of patterns, one per latent.

Patterns live in lesion coordinates (distance from the centre over the radius), so an 8 mm and a 60 mm lesion look
alike. All but ``mean`` have mean 0 and mean square 1 over the lesion: they leave the mean signal of the region alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from mpmri_monai.phantom.classes import HCC, ClassModel
from mpmri_monai.phantom.shapes import Points

ZONES = {
    "core": (0.0, 0.36, 0.54),
    "ring": (0.56, 0.76, 0.97),
    "capsule": (0.62, 0.82, 1.05),
}
"""Radial structures: a band of the relative radius (inner, middle border, outer). ``core`` is bright inside and dark
around; ``ring`` and ``capsule`` are dark inside and bright around."""

TEXTURES = {
    "inner mosaic": (0.0, 0.58, 0.75, 5),
    "outer mosaic": (0.5, 1.05, 0.7, 5),
    "coarse mosaic": (0.0, 1.05, 0.95, 5),
    "streaks": (0.0, 1.05, 0.8, 1),
}
"""Textures: inner and outer relative radius, wavelength in units of the lesion's radius, number of plane waves."""

SOFT = 0.06
"""Width of the radial borders, in units of the lesion's radius."""

POLE = 0.35
"""Towards the poles structures shrink with the outline in the plane, down to this share of the radius."""

UPRIGHT = 0.1
"""Textures vary this much slower along z than in the plane, so that thick slices do not average them away."""

LOBES = 6
"""Waves in the outline."""

EDGE_MM = 1.2
"""Width of the transition from lesion to organ."""


@dataclass(frozen=True)
class Lesion:
    """A lesion at its place, with everything that was drawn at random for it.

    Attributes:
        center: mm, RAS+.
        radius: mean radius, mm.
        axes: relative half axes (x, y, z) with product 1.
        label: its class.
        latents: standardised latents (latent,) of ``model``.
        seed: entropy of the textures and of the outline.
        model: what the latents mean.
    """

    label: str
    center: tuple[float, float, float]
    radius: float
    axes: tuple[float, float, float]
    latents: tuple[float, ...]
    seed: tuple[int, ...]
    model: ClassModel = HCC

    def box(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the centre and half extents, mm, of a box that holds the lesion."""
        reach = self.radius * (1 + 2.5 * self.amount("nodularity")) + EDGE_MM
        return np.array(self.center), reach * np.array(self.axes)

    def amount(self, name: str) -> float:
        """Return what the latent ``name`` amounts to in this lesion."""
        k = self.model.names.index(name)
        return self.model.latents[k].amount(self.latents[k])

    def local(self, points: Points) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return lesion coordinates (3, n), length 1 at the outline, and the relative radius (n,)."""
        u = np.stack(
            [(value - c) / (self.radius * a) for value, c, a in zip(points, self.center, self.axes, strict=True)]
        )
        u = u.astype(np.float64)
        radius = np.sqrt((u * u).sum(axis=0))
        direction = u / np.maximum(radius, 1e-6)
        outline = 1 + self.amount("nodularity") * self._lobes.at(direction)
        return u / outline, radius / outline

    def membership(self, radius: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return how much of a point is lesion (n,), from 0 outside to 1, given its relative radius."""
        return np.clip(0.5 - (radius - 1) * self.radius / EDGE_MM, 0, 1)

    def contrast(self, sequence: str, u: NDArray[np.float64], radius: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the signal relative to that of the organ around, minus 1, at lesion coordinates ``u`` (3, n)."""
        total = np.zeros(radius.shape)
        for latent, z in zip(self.model.latents, self.latents, strict=True):
            weight = latent.weights.get(sequence, 0.0)
            if weight == 0 or latent.pattern in ("size", "outline"):
                continue
            total += weight * latent.amount(z) * self._pattern(latent.name, latent.pattern, u)
        return np.maximum(total, -0.95)

    def _pattern(self, name: str, pattern: str, u: NDArray) -> NDArray[np.float64] | float:
        if pattern == "mean":
            return 1.0
        raw = self._raw(name, pattern, u)
        mean, deviation = self._moments[name]
        return (raw - mean) / deviation

    def _raw(self, name: str, pattern: str, u: NDArray) -> NDArray[np.float64]:
        """Return a structure before it is scaled; ``s`` is the relative radius in the plane, 1 at the outline."""
        s = np.sqrt(u[0] ** 2 + u[1] ** 2) / np.sqrt(np.maximum(1 - u[2] ** 2, POLE**2))
        if pattern in ZONES:
            inner, middle, outer = ZONES[pattern]
            # areas of the two bands: their balance keeps the mean of every slice
            inside, around = middle**2 - inner**2, min(outer, 1.0) ** 2 - middle**2
            sign = 1.0 if pattern == "core" else -1.0
            return sign * (_band(s, inner, middle) / inside - _band(s, middle, outer) / around)
        inner, outer, *_ = TEXTURES[pattern]
        wave = self._textures[name].at(u)
        return _band(s, inner, outer) * wave / np.sqrt(1 + wave * wave)  # flattened tops: the tiles of a mosaic

    @cached_property
    def _textures(self) -> dict[str, Waves]:
        drawn = {}
        for k, latent in enumerate(self.model.latents):
            if latent.pattern in TEXTURES:
                *_, wavelength, waves = TEXTURES[latent.pattern]
                drawn[latent.name] = Waves.draw(self._rng(k), waves, 1 / wavelength, upright=UPRIGHT)
        return drawn

    @cached_property
    def _lobes(self) -> Waves:
        return Waves.draw(self._rng(len(self.model.latents)), LOBES, 0.6, upright=1.0)

    @cached_property
    def _moments(self) -> dict[str, tuple[float, float]]:
        """Mean and standard deviation of each raw pattern over the lesion."""
        u = _ball()
        moments = {}
        for latent in self.model.latents:
            if latent.pattern not in ("size", "outline", "mean"):
                raw = self._raw(latent.name, latent.pattern, u)
                moments[latent.name] = (float(raw.mean()), float(raw.std()))
        return moments

    def _rng(self, part: int) -> Generator:
        return np.random.default_rng([*self.seed, part])


@dataclass(frozen=True)
class Waves:
    """A sum of plane waves with mean square 1: ``sqrt(2/n) Σ sin(2π k·u + phase)``."""

    vectors: NDArray[np.float64]
    phases: NDArray[np.float64]

    @classmethod
    def draw(cls, rng: Generator, count: int, frequency: float, upright: float) -> Waves:
        """Draw waves whose directions in the plane are spread evenly, with a little disorder."""
        angle = (np.arange(count) + rng.uniform(-0.3, 0.3, count)) * np.pi / count + rng.uniform(0, np.pi)
        lift = upright * rng.uniform(-1, 1, count)
        vectors = np.stack([np.cos(angle), np.sin(angle), lift], axis=1)
        return cls(vectors * frequency * rng.uniform(0.85, 1.15, (count, 1)), rng.uniform(0, 2 * np.pi, count))

    def at(self, u: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the value (n,) at coordinates ``u`` (3, n)."""
        total = np.zeros(u.shape[1:])
        for (a, b, c), phase in zip(self.vectors, self.phases, strict=True):
            total += np.sin(2 * np.pi * (a * u[0] + b * u[1] + c * u[2]) + phase)
        return total * np.sqrt(2 / len(self.phases))


def _band(s: NDArray[np.float64], inner: float, outer: float) -> NDArray[np.float64]:
    """Return 1 between two relative radii and 0 elsewhere, with soft borders."""
    rise = np.clip((s - inner) / SOFT + 0.5, 0, 1) if inner > 0 else 1.0
    return rise * np.clip((outer - s) / SOFT + 0.5, 0, 1)


def _ball(steps: int = 17) -> NDArray[np.float64]:
    """Return the points (3, n) of a cubic grid inside the unit ball."""
    axis = np.linspace(-1, 1, steps)
    grid = np.stack(np.meshgrid(axis, axis, axis, indexing="ij")).reshape(3, -1)
    return grid[:, (grid * grid).sum(axis=0) <= 1]
