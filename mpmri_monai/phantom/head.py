"""A head: scalp, skull, fluid, folded gray matter around white matter, deep nuclei, ventricles and cerebellum."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from mpmri_monai.phantom.body import Body, Jitter, Organ
from mpmri_monai.phantom.lesion import Waves
from mpmri_monai.phantom.painting import near, paint, paint_layers, paint_lesions, union
from mpmri_monai.phantom.shapes import Blob, Points
from mpmri_monai.phantom.tissues import HEAD, Signals, draw_signals

GRAY_MM = 3.2
"""Thickness of the gray matter."""

FOLD_MM = 24.0
"""Wavelength of the folds of the cerebrum."""

FOLD_STEEPNESS_MM = 3.6
"""Sulci lie where the field of the folds is 0; the distance to them is about this times the field."""

SULCUS_MM = 0.4
"""Half width of a sulcus."""

SULCUS_DEPTH_MM = 14.0
"""Sulci end at this depth under the surface."""

FOLIA = 0.4
"""Gray matter and folds of the cerebellum are this much finer."""

FISSURE_MM = 1.1
"""Half width of the cleft between the hemispheres."""

SKULL_MM = (0.0, 1.8, 5.2, 7.0)
"""Inner table, marrow, outer table and what lies outside it, by the distance to the fluid."""

ROOM_MM = 1.5
"""Regions keep this distance to gray matter."""


@dataclass(frozen=True, kw_only=True)
class Head(Body):
    """The head of one patient, with the ventricles a little above z = 0.

    Attributes:
        outline: the skin of head and neck; ``scalp_mm`` of fat lie inside it.
        cavity: the inside of the skull and of the spine, full of fluid.
        face: what lies outside the skull, under the scalp.
        cerebrum: both hemispheres; ``bridge`` is where no cleft separates them.
        cerebellum, stem: the rest of the brain.
        deep: nuclei and ventricles inside the cerebrum.
        folds: a field whose zeros are the sulci.
    """

    outline: tuple[Blob, ...]
    scalp_mm: float
    cavity: tuple[Blob, ...]
    face: tuple[Organ, ...]
    cerebrum: Blob
    bridge: Blob
    cerebellum: Blob
    stem: Blob
    deep: tuple[Organ, ...]
    folds: Waves

    def values(self, sequence: str, points: Points) -> NDArray[np.float32]:
        """Return ``signal`` for points given as flat x, y, z arrays (the fast way)."""
        level = self.levels(sequence)
        value = np.full(points[0].shape, level["air"], np.float32)
        index, close = near(union([part.box() for part in self.outline]), points)
        if not index.size:
            return value
        skin = np.minimum.reduce([part.distance(close) for part in self.outline])
        inside = np.full(index.shape, level["muscle"], np.float32)
        for organ in self.face:
            paint(inside, close, organ.shapes, level[organ.tissue])
        self._paint_skull(inside, close, level)
        self._paint_brain(inside, close, sequence, level)
        paint_layers(inside, skin, ((-self.scalp_mm, level["fat"]), (0.0, level["air"])))
        value[index] = inside
        return value

    def in_organ(self, points: Points) -> NDArray[np.bool_]:
        """Return which points lie in the brain, ventricles and sulci included."""
        parts = (self.cerebrum, self.cerebellum, self.stem)
        return np.minimum.reduce([part.distance(points) for part in parts]) < 0

    def in_room(self, points: Points) -> NDArray[np.bool_]:
        """Return which points a region may take: white matter of the cerebrum."""
        inside = self._cerebral_depth(points) > GRAY_MM + ROOM_MM
        for organ in self.deep:
            for shape in organ.shapes:
                inside &= shape.distance(points) > 0
        return inside

    def _paint_skull(self, value: NDArray, points: Points, level: dict[str, np.float32]) -> None:
        outward = -np.minimum.reduce([part.distance(points) for part in self.cavity])
        layers = zip(SKULL_MM[::-1], ("bone", "marrow", "bone", "csf"), strict=True)
        paint_layers(value, outward, tuple((-start, level[tissue]) for start, tissue in layers))

    def _paint_brain(self, value: NDArray, points: Points, sequence: str, level: dict[str, np.float32]) -> None:
        index, close = near(self.cerebellum.box(), points)
        value[index] = self._folded(
            value[index], self._below_folds(-self.cerebellum.distance(close), close, FOLIA), level, FOLIA
        )
        paint(value, points, (self.stem,), level["white"])
        index, close = near(self.cerebrum.box(), points)
        part = self._folded(value[index], self._cerebral_depth(close), level)
        for organ in self.deep:
            paint(part, close, organ.shapes, level[organ.tissue])
        paint_lesions(part, close, self.lesions, sequence, level["white"])
        value[index] = part

    def _folded(self, value: NDArray, depth: NDArray, level: dict[str, np.float32], scale: float = 1.0) -> NDArray:
        """Return ``value`` with gray matter where ``depth`` is positive, and white matter further in."""
        paint_layers(value, depth, ((0.0, level["gray"]), (GRAY_MM * scale, level["white"])))
        return value

    def _cerebral_depth(self, points: Points) -> NDArray[np.float32]:
        """Return how far points lie under the folded surface of the cerebrum, mm, negative in the fluid."""
        medial = np.maximum(np.abs(points[0]) - np.float32(FISSURE_MM), -self.bridge.distance(points))
        return self._below_folds(np.minimum(-self.cerebrum.distance(points), medial), points)

    def _below_folds(self, depth: NDArray[np.float32], points: Points, scale: float = 1.0) -> NDArray[np.float32]:
        """Return the distance to the nearer of the smooth surface, which is ``depth`` mm away, and a sulcus."""
        field = self.folds.at(np.stack(points).astype(np.float64) / (FOLD_MM * scale)).astype(np.float32)
        sulcus = np.abs(field) * np.float32(FOLD_STEEPNESS_MM * scale) - np.float32(SULCUS_MM * scale)
        return np.minimum(depth, sulcus + np.maximum(depth - np.float32(SULCUS_DEPTH_MM), 0))


def draw_head(rng: Generator, contrast: float = 1.0, typical: Signals = HEAD) -> Head:
    """Draw a patient without regions; ``contrast`` is that of the site, ``typical`` are the scanner's signals."""
    j = Jitter(rng)
    width, length, height = j.near(66, 2.5), j.near(84, 3), j.near(62, 2)
    scalp, skull = float(rng.uniform(4, 7)), SKULL_MM[-1]
    wobble = tuple(float(w) for w in np.clip(rng.normal(0, 0.02, 4), -0.03, 0.03))
    up = j.near(14, 1.5)

    def around(margin_mm: float) -> Blob:
        """A blob that encloses the cerebrum at a margin."""
        return Blob((0.0, 0.0, up), (width + margin_mm, length + margin_mm, height + margin_mm), wobble)

    def both(tissue: str, center: tuple, radii: tuple, place_mm: float = 1.5) -> Organ:
        x, y, z = center
        return Organ(tissue, (j.blob((x, y, z), radii, place_mm), j.blob((-x, y, z), radii, place_mm)))

    ventricles = float(np.exp(np.clip(rng.normal(0, 0.15), -0.3, 0.3)))
    deep = (
        both("gray", (27, 4, up - 8), (6.5, 17, 11)),
        both("gray", (13, -14, up - 6), (8.5, 14, 10)),
        both("gray", (15.5, 18, up + 2), (4.5, 9, 10)),
        both("csf", (10, 21, up + 3), (4.5 * ventricles, 15 * ventricles, 9)),
        both("csf", (9, -4, up + 12), (5.5 * ventricles, 29, 7 * ventricles)),
        both("csf", (21, -36, up + 3), (6 * ventricles, 16, 11 * ventricles)),
        Organ("csf", (j.blob((0, -8, up - 8), (2.2 * ventricles, 13, 9), 0.5),)),
    )
    return Head(
        outline=(around(4 + skull + scalp), Blob((0.0, -8.0, up - 90), (width + scalp, length - 2, 84.0), wobble)),
        scalp_mm=scalp,
        cavity=(
            around(3.0),
            j.blob((0, -46, up - 54), (50, 33, 28), 0.0),
            Blob((0.0, -24.0, up - 90), (13.0, 14.0, 60.0)),
        ),
        face=(
            both("csf", (32, 66, up - 52), (12, 12, 12)),
            Organ("air", (j.blob((0, 66, up - 66), (11, 24, 16)),)),
            both("air", (27, 56, up - 80), (14, 16, 13)),
        ),
        cerebrum=around(0.0),
        bridge=j.blob((0, -3, up - 12), (26, 36, 32), 1.0),
        cerebellum=j.blob((0, -46, up - 54), (46, 28, 24), 2.0),
        stem=j.blob((0, -22, up - 62), (10, 11, 46), 1.0),
        deep=deep,
        folds=Waves.draw(rng, 9, 1.0, upright=0.8),
        signals=draw_signals(rng, typical, contrast),
    )
