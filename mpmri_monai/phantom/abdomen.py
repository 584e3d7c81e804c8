"""The liver among its neighbours."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from mpmri_monai.phantom.body import Body, Jitter, Organ
from mpmri_monai.phantom.lesion import Waves
from mpmri_monai.phantom.painting import EDGE_MM, membership, near, paint, paint_layers, paint_lesions, union
from mpmri_monai.phantom.shapes import FAR_MM, Blob, Column, Points, Tube
from mpmri_monai.phantom.tissues import ABDOMEN, draw_signals

TEXTURE = 0.02
"""Standard deviation of the liver's own texture, relative to its signal."""

TEXTURE_MM = 9.0
"""Its wavelength."""


@dataclass(frozen=True, kw_only=True)
class Abdomen(Body):
    """The upper abdomen of one patient, with its liver near z = 0.

    Attributes:
        outline: the skin; fat and muscle lie inside it as layers of ``fat_mm`` and ``muscle_mm``.
        liver: its lobes.
        before, after: organs that lie under and over the liver where they meet.
        vessels: veins inside the liver.
        texture: of the liver.
    """

    outline: Blob
    fat_mm: float
    muscle_mm: float
    before: tuple[Organ, ...]
    liver: tuple[Blob, ...]
    vessels: tuple[Tube, ...]
    after: tuple[Organ, ...]
    texture: Waves

    def values(self, sequence: str, points: Points) -> NDArray[np.float32]:
        """Return ``signal`` for points given as flat x, y, z arrays (the fast way)."""
        level = self.levels(sequence)
        value = np.full(points[0].shape, level["bowel"] * np.float32(0.3) + level["fat"] * np.float32(0.7), np.float32)
        for organ in self.before:
            paint(value, points, organ.shapes, level[organ.tissue])
        self._paint_liver(value, points, sequence, level)
        for organ in self.after:
            paint(value, points, organ.shapes, level[organ.tissue])
        self._paint_wall(value, points, level)
        return value

    def in_organ(self, points: Points) -> NDArray[np.bool_]:
        """Return which points lie in the liver, lesions and its veins included."""
        inside = np.minimum.reduce([lobe.distance(points) for lobe in self.liver]) < 0
        for organ in self.after:
            for shape in organ.shapes:
                inside &= shape.distance(points) > 0
        return inside & (self._wall(points) < 0)

    def in_room(self, points: Points) -> NDArray[np.bool_]:
        """Return which points a lesion may take: any of the liver."""
        return self.in_organ(points)

    def _paint_liver(self, value: NDArray, points: Points, sequence: str, level: dict[str, np.float32]) -> None:
        index, close = near(union([lobe.box() for lobe in self.liver]), points)
        if not index.size:
            return
        part = membership(np.minimum.reduce([lobe.distance(close) for lobe in self.liver]))
        index, close, part = index[part > 0], tuple(p[part > 0] for p in close), part[part > 0]
        grain = self.texture.at(np.stack(close).astype(np.float64) / TEXTURE_MM)
        liver = (level["liver"] * (1 + TEXTURE * grain)).astype(np.float32)
        paint(liver, close, self.vessels, level["vein"])
        paint_lesions(liver, close, self.lesions, sequence, level["liver"])
        value[index] += part * (liver - value[index])

    def _wall(self, points: Points) -> NDArray[np.float32]:
        """Return the signed distance to the inside of the abdominal wall, mm, negative inside."""
        return self.outline.distance(points) + np.float32(self.fat_mm + self.muscle_mm)

    def _paint_wall(self, value: NDArray, points: Points, level: dict[str, np.float32]) -> None:
        wall = self._wall(points)
        index = np.flatnonzero(wall > -EDGE_MM)
        depth = wall[index]
        layers = value[index]
        boundaries = ((0.0, "muscle"), (self.muscle_mm, "fat"), (self.muscle_mm + self.fat_mm, "air"))
        paint_layers(layers, depth, tuple((start, level[tissue]) for start, tissue in boundaries))
        value[index] = layers


def draw_abdomen(rng: Generator, contrast: float = 1.0) -> Abdomen:
    """Draw a patient without lesions, with its liver near z = 0; ``contrast`` is that of the site, see ``presets``."""
    j = Jitter(rng)
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
    return Abdomen(
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
        texture=Waves.draw(rng, 8, 1.0, upright=1.0),
        signals=draw_signals(rng, ABDOMEN, contrast),
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
