"""One patient's anatomy and its noise-free signal at any point."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike, NDArray

from mpmri_monai.phantom.lesion import Lesion, Waves
from mpmri_monai.phantom.shapes import FAR_MM, Blob, Column, Points, Shape, Tube
from mpmri_monai.phantom.tissues import draw_signals

EDGE_MM = 1.5
"""Width of the transition between tissues."""

TEXTURE = 0.02
"""Standard deviation of the liver's own texture, relative to its signal."""

TEXTURE_MM = 9.0
"""Its wavelength."""

CLEARANCE_MM = 4.0
"""Least distance of a lesion to other organs, to the surface of the liver and to other lesions."""


@dataclass(frozen=True)
class Organ:
    """A tissue and the shapes it fills, together; later organs lie over earlier ones."""

    tissue: str
    shapes: tuple[Shape, ...]


@dataclass(frozen=True)
class Body:
    """Anatomy of one patient.

    Attributes:
        outline: the skin; fat and muscle lie inside it as layers of ``fat_mm`` and ``muscle_mm``.
        liver: its lobes.
        before, after: organs that lie under and over the liver where they meet.
        vessels: veins inside the liver.
        signals: {tissue: {sequence: noise-free signal}}.
    """

    outline: Blob
    fat_mm: float
    muscle_mm: float
    before: tuple[Organ, ...]
    liver: tuple[Blob, ...]
    vessels: tuple[Tube, ...]
    after: tuple[Organ, ...]
    lesions: tuple[Lesion, ...]
    texture: Waves
    signals: dict[str, dict[str, float]]

    def signal(self, sequence: str, points_mm: ArrayLike) -> NDArray[np.float32]:
        """Return the noise-free signal of ``sequence``.

        Args:
            sequence: one of ``sequences.SEQUENCES``.
            points_mm: (..., 3), RAS+, in the patient's own frame (before any breath-hold shift).

        Returns:
            (...) float32, in the units of ``tissues.SIGNALS``.
        """
        points = np.asarray(points_mm, dtype=np.float32)
        flat = points.reshape(-1, 3)
        x, y, z = (np.ascontiguousarray(flat[:, k]) for k in range(3))
        return self.values(sequence, (x, y, z)).reshape(points.shape[:-1])

    def values(self, sequence: str, points: Points) -> NDArray[np.float32]:
        """Return ``signal`` for points given as flat x, y, z arrays (the fast way)."""
        level = {tissue: np.float32(values[sequence]) for tissue, values in self.signals.items()}
        value = np.full(points[0].shape, level["bowel"] * np.float32(0.3) + level["fat"] * np.float32(0.7), np.float32)
        for organ in self.before:
            _paint(value, points, organ.shapes, level[organ.tissue])
        self._paint_liver(value, points, sequence, level)
        for organ in self.after:
            _paint(value, points, organ.shapes, level[organ.tissue])
        self._paint_wall(value, points, level)
        return value

    def in_liver(self, points: Points, margin_mm: float = 0.0) -> NDArray[np.bool_]:
        """Return which points lie in the liver (lesions and its veins included), at least ``margin_mm`` inside."""
        inside = np.minimum.reduce([lobe.distance(points) for lobe in self.liver]) < -margin_mm
        for organ in self.after:
            for shape in organ.shapes:
                inside &= shape.distance(points) > margin_mm
        return inside & (self._wall(points) < -margin_mm)

    def lesion_at(self, points: Points) -> NDArray[np.uint8]:
        """Return the number (from 1) of the lesion that each point lies in, else 0."""
        number = np.zeros(points[0].shape, np.uint8)
        for k, lesion in enumerate(self.lesions, start=1):
            index, near = _near(lesion.box(), points)
            number[index[lesion.local(near)[1] <= 1]] = k
        return number

    def _paint_liver(self, value: NDArray, points: Points, sequence: str, level: dict[str, np.float32]) -> None:
        index, near = _near(_union([lobe.box() for lobe in self.liver]), points)
        if not index.size:
            return
        part = _membership(np.minimum.reduce([lobe.distance(near) for lobe in self.liver]))
        index, near, part = index[part > 0], tuple(p[part > 0] for p in near), part[part > 0]
        grain = self.texture.at(np.stack(near).astype(np.float64) / TEXTURE_MM)
        liver = (level["liver"] * (1 + TEXTURE * grain)).astype(np.float32)
        _paint(liver, near, self.vessels, level["vein"])
        for lesion in self.lesions:
            at, close = _near(lesion.box(), near)
            if at.size:
                u, radius = lesion.local(close)
                share = lesion.membership(radius)
                inner = level["liver"] * (1 + lesion.contrast(sequence, u, radius))
                liver[at] += (share * (inner - liver[at])).astype(np.float32)
        value[index] += part * (liver - value[index])

    def _wall(self, points: Points) -> NDArray[np.float32]:
        """Return the signed distance to the inside of the abdominal wall, mm, negative inside."""
        return self.outline.distance(points) + np.float32(self.fat_mm + self.muscle_mm)

    def _paint_wall(self, value: NDArray, points: Points, level: dict[str, np.float32]) -> None:
        wall = self._wall(points)
        index = np.flatnonzero(wall > -EDGE_MM)
        depth = wall[index]
        layers = value[index]
        for start, tissue in ((0.0, "muscle"), (self.muscle_mm, "fat"), (self.muscle_mm + self.fat_mm, "air")):
            layers += _membership(np.float32(start) - depth) * (level[tissue] - layers)
        value[index] = layers


def draw_body(rng: Generator, contrast: float = 1.0) -> Body:
    """Draw a patient without lesions, with its liver near z = 0; ``contrast`` is that of the site, see ``presets``."""
    j = _Jitter(rng)
    width, depth, fat, muscle = j.near(143, 7), j.near(100, 6), float(rng.uniform(9, 17)), float(rng.uniform(9, 12))
    lungs = Organ("lung", (j.blob((68, -8, 108), (58, 62, 64)), j.blob((-68, -8, 104), (56, 62, 66))))
    loops = Organ(
        "bowel",
        tuple(j.blob(c, (24, 20, 26), 8.0) for c in ((-60, 38, -30), (-20, 42, -55), (-75, 12, -62), (30, 45, -70))),
    )
    stomach = Organ("fluid", (j.blob((-48, 34, 26), (30, 24, 34), 4.0),))
    spleen = Organ("spleen", (j.blob((-90, -26, 18), (26, 38, 46)),))
    kidneys = Organ("kidney", (j.blob((60, -50, -52), (24, 23, 46)), j.blob((-58, -48, -44), (24, 23, 47))))
    spine_y = j.near(-62, 2)
    spine = Column((0.0, spine_y), 18.0, (0.0, 6.0))
    discs = tuple(
        Blob((0.0, spine_y + 0.5, height), (17.5, 17.5, 4.0)) for height in (-96.0, -64.0, -32.0, 0.0, 32.0, 64.0, 96.0)
    )
    canal = Column((0.0, spine_y - 23), 7.0, (0.0, 6.0))
    vessels = (
        Organ("artery", (Column((j.near(-12, 2), spine_y + 28), j.near(9.5, 0.7), (2.0, 6.0)),)),
        Organ("vein", (Column((j.near(20, 2), spine_y + 30), j.near(11.0, 1.0), (-2.0, 6.0)),)),
    )
    return Body(
        outline=Blob((0.0, 0.0, 0.0), (width, depth, FAR_MM), (0.0, 0.0, float(rng.normal(0, 0.015)), 0.0)),
        fat_mm=fat,
        muscle_mm=muscle,
        before=(lungs, loops, stomach, spleen),
        liver=(j.blob((58, 2, 0), (60, 68, 80), 2.0), j.blob((4, 36, 22), (60, 28, 34), 3.0)),
        vessels=_veins(rng),
        after=(
            kidneys,
            Organ("muscle", (Blob((0, spine_y - 14, 0), (52, 24, FAR_MM)),)),
            *vessels,
            Organ("bone", (spine,)),
            Organ("disc", discs),
            Organ("fluid", (canal,)),
        ),
        lesions=(),
        texture=Waves.draw(rng, 8, 1.0, upright=1.0),
        signals=draw_signals(rng, contrast),
    )


def _veins(rng: Generator) -> tuple[Tube, ...]:
    """Draw the portal vein with branches and three hepatic veins that run towards the vena cava."""
    portal = Tube(0, 8.0, 95.0, (-2.0, -4.0), (10.0, 14.0), tuple(rng.normal(0, 8, 2)), 6.5)
    branches = [
        Tube(
            axis, start, length, tuple(rng.normal(mean, 9)), tuple(rng.normal(0, 18, 2)), tuple(rng.normal(0, 10, 2)), r
        )
        for axis, start, length, mean, r in (
            (2, 2.0, 62.0, (62, 6), 3.6),
            (2, 2.0, -58.0, (70, 4), 3.8),
            (1, 0.0, 55.0, (55, 14), 3.4),
            (1, 4.0, -42.0, (84, -14), 3.2),
            (0, 30.0, -70.0, (40, 20), 3.4),
        )
    ]
    hepatic = [
        Tube(
            axis,
            start,
            length,
            tuple(rng.normal(mean, 4)),
            tuple(slope + rng.normal(0, 5, 2)),
            tuple(rng.normal(0, 8, 2)),
            4.6,
        )
        for axis, start, length, mean, slope in (
            (0, 24.0, 85.0, (-20, 50), np.array([8.0, -22.0])),
            (1, -18.0, 70.0, (32, 48), np.array([22.0, -20.0])),
            (0, 18.0, -58.0, (-6, 46), np.array([42.0, -26.0])),
        )
    ]
    return (portal, *branches, *hepatic)


@dataclass(frozen=True)
class _Jitter:
    """Anatomy varies between patients: sizes by some percent, places by some mm."""

    rng: Generator

    def near(self, value: float, deviation: float) -> float:
        return float(value + deviation * np.clip(self.rng.standard_normal(), -2, 2))

    def blob(self, center: tuple, radii: tuple, place_mm: float = 3.0) -> Blob:
        at = tuple(self.near(c, place_mm) for c in center)
        size = tuple(self.near(r, 0.05 * r) for r in radii)
        wobble = tuple(float(w) for w in np.clip(self.rng.normal(0, 0.05, 4), -0.1, 0.1))
        return Blob(at, size, wobble)


def _membership(distance: NDArray) -> NDArray[np.float32]:
    """Return 1 inside, 0 outside, with a ramp of EDGE_MM over the surface."""
    return np.minimum(np.maximum(np.float32(0.5) - distance * np.float32(1 / EDGE_MM), 0), 1)


def _paint(value: NDArray, points: Points, shapes: tuple[Shape, ...], level: np.float32) -> None:
    for shape in shapes:
        index, near = _near(shape.box(), points)
        if index.size:
            value[index] += _membership(shape.distance(near)) * (level - value[index])


def _near(box: tuple[NDArray, NDArray], points: Points) -> tuple[NDArray[np.intp], Points]:
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


def _union(boxes: list[tuple[NDArray, NDArray]]) -> tuple[NDArray, NDArray]:
    low = np.minimum.reduce([center - half for center, half in boxes])
    high = np.maximum.reduce([center + half for center, half in boxes])
    return (low + high) / 2, (high - low) / 2
