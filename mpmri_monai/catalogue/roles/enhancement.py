"""Signal over the phases of a dynamic acquisition: does it rise when contrast is said to arrive?

Only a few middle slices of each phase are read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mpmri_monai.catalogue.pixels.stored import stored_pixels
from mpmri_monai.catalogue.record import VolumeRecord
from mpmri_monai.errors import CatalogueError

READ_AT = (0.4, 0.5, 0.6)
"""Slices that are read, as parts of the stack's height: the middle, where the large vessels are."""
BLOCKS = 96
"""Pixels are averaged into about this many blocks a side, against noise and for speed (count)."""
BODY_SHARE = 0.15
"""Inside the body the mean signal is above this part of its 99th percentile."""
DARK_SHARE = 0.3
"""Signal below this part of the body's mean counts little (part of the mean)."""
ENHANCING_SHARE = 0.05
"""Part of the body whose signal changes most: vessels and organs that take up contrast."""
LEAST_RISE = 0.2
"""Contrast raises the signal of these places by at least this part of what it was; noise and motion raise it less."""
NEAR_LOWEST = 0.15
"""Before contrast the signal is within this part of its whole range from the lowest."""
ARRIVED = 0.1
"""Contrast has arrived, in the arteries first, when this part of the whole rise is reached."""


@dataclass(frozen=True)
class Curve:
    """Signal of the places that change most, one value for each phase in order (part of their mean over the phases)."""

    levels: tuple[float, ...]

    @property
    def rises(self) -> bool:
        """Whether any phase is so much brighter than the darkest one that contrast explains it."""
        return max(self.levels) - min(self.levels) >= LEAST_RISE * abs(min(self.levels))

    @property
    def begins_low(self) -> bool:
        """Whether the first phase is as dark as a phase before contrast is."""
        return self.levels[0] - min(self.levels) <= NEAR_LOWEST * (max(self.levels) - min(self.levels))

    @property
    def arrival(self) -> int:
        """Index of the first phase with contrast, between the lowest one and the peak after it.

        The first images of a time series may be brighter than the next, made before the signal was steady.
        """
        peak = self.levels.index(max(self.levels))
        lowest = self.levels.index(min(self.levels[: peak + 1]))
        return next(index for index in range(lowest, peak + 1) if self.levels[index] >= self._arrived)

    @property
    def _arrived(self) -> float:
        """Level of the signal at which contrast has arrived."""
        peak = max(self.levels)
        low = min(self.levels[: self.levels.index(peak) + 1])
        return low + ARRIVED * (peak - low)

    def arrival_s(self, times_s: Sequence[float]) -> float:
        """Time at which contrast arrives (s), between the last phase without it and the first with it."""
        after = self.arrival
        one, other = self.levels[after - 1], self.levels[after]
        part = (self._arrived - one) / (other - one)
        return times_s[after - 1] + (times_s[after] - times_s[after - 1]) * part

    def __str__(self) -> str:
        return " ".join(f"{level:.2f}" for level in self.levels)


def signal_curve(volumes: Sequence[VolumeRecord]) -> Curve | None:
    """Measure the signal of volumes on one grid, in their order.

    The places are chosen by how far their signal ranges over all phases, whichever comes first, so that the curve says
    something about the order. None when the pixels cannot be read or hold nothing.
    """
    try:
        signal = np.stack([_middle(volume) for volume in volumes])  # (phase, place)
    except CatalogueError:
        return None
    mean = signal.mean(axis=0)
    body = mean > BODY_SHARE * np.percentile(mean, 99)
    if not body.any() or mean[body].mean() <= 0:
        return None
    inside, own = signal[:, body], mean[body]
    # Relative to the place's own signal, or bright fat that breathing moves would be taken; the second term keeps out
    # places so dark that noise is a large part of their signal.
    spread = np.ptp(inside, axis=0) / (own + DARK_SHARE * own.mean())
    places = spread >= np.quantile(spread, 1 - ENHANCING_SHARE)
    levels = (inside[:, places] / own[places]).mean(axis=1)  # noise and motion go both ways, and cancel
    return Curve(tuple(float(level) for level in levels))


def _middle(volume: VolumeRecord) -> np.ndarray:
    """Signal of a few middle slices, as block means (place,)."""
    found = []
    for index in sorted({round(part * (volume.slices - 1)) for part in READ_AT}):
        header = volume.files[index]
        pixels = stored_pixels(header) * np.float32(header.slope) + np.float32(header.intercept)
        side = max(1, max(pixels.shape) // BLOCKS)
        rows, columns = pixels.shape[0] // side * side, pixels.shape[1] // side * side
        blocks = pixels[:rows, :columns].reshape(rows // side, side, columns // side, side)
        found.append(blocks.mean(axis=(1, 3)).ravel())
    return np.concatenate(found)
