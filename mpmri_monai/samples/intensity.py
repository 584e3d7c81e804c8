"""Intensity windows: what becomes 0 and what becomes 1."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from mpmri_monai.errors import ConfigError
from mpmri_monai.samples.settings import WindowKind
from mpmri_monai.sequences import DCE
from mpmri_monai.volumes import Stack


@dataclass(frozen=True)
class Window:
    """Signal that maps to 0 and signal that maps to 1; values outside are clipped (Jia et al. 2019, equation 2)."""

    minimum: float
    maximum: float

    def apply(self, signal: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return ``signal`` in [0, 1]; a volume of one single value becomes 0."""
        if self.maximum <= self.minimum:
            return np.zeros_like(signal, dtype=np.float32)
        scaled = (signal - np.float32(self.minimum)) * np.float32(1 / (self.maximum - self.minimum))
        return np.clip(scaled, 0, 1)


def intensity_windows(
    stacks: Mapping[str, Stack], trim: float, joint_dce: bool, kind: WindowKind = "trimmed"
) -> dict[str, Window]:
    """Return each sequence's window, from the grey values of all its voxels.

    ``trimmed``: from the minimum to the maximum after the top ``trim`` of the voxels is left out (Jia et al. 2019,
    equation 2). ``central``: the ``floor(trim / 2 * N)`` lowest and as many highest of N voxels are left out, so that
    the window covers the central ``1 - trim`` of them (MCTL covers 95 %).

    With ``joint_dce`` all DCE phases of the study share one window, from the lowest of their minima to the highest of
    their maxima: equal signals stay equal between the phases, and no phase loses more than its own share.

    Raises:
        ConfigError: E_WINDOW: a central window would be empty, or a signal is not finite.
    """
    windows = {
        sequence: Window(*map(float, stack.intensity_range(trim) if kind == "trimmed" else _central(stack, trim)))
        for sequence, stack in stacks.items()
    }
    if kind == "central":
        refuse_empty(windows)
    phases = [sequence for sequence in DCE if sequence in windows]
    if joint_dce and phases:
        shared = Window(
            min(windows[phase].minimum for phase in phases), max(windows[phase].maximum for phase in phases)
        )
        windows.update(dict.fromkeys(phases, shared))
    return windows


def refuse_empty(windows: Mapping[str, Window]) -> None:
    """Make sure that every window has a width.

    Raises:
        ConfigError: E_WINDOW: one has none, as that of a constant volume, or of one where nearly all voxels have one
            value, such as a small shape on empty ground.
    """
    for sequence, window in windows.items():
        if not 0 < window.maximum - window.minimum < np.inf:
            raise ConfigError(
                expected="a volume whose intensity window has a finite width",
                found=f"one from {window.minimum:g} to {window.maximum:g}",
                where=f"sequence {sequence}",
                fix="of a constant volume, check its export; of one that is nearly binary, take the window from its "
                "lowest to its highest value: window trimmed with trim 0",
                code="E_WINDOW",
            )


def _central(stack: Stack, trim: float) -> tuple[np.float32, np.float32]:
    """Return the lowest and the highest signal after half of ``trim`` is left out at either end."""
    every = slice(None)
    signal = np.concatenate([stack.block(k, every, every).ravel() for k in range(stack.geometry.shape[2])])
    cut = int(Fraction(trim / 2).limit_denominator(10**6) * signal.size)
    ordered = np.partition(signal, [cut, signal.size - 1 - cut])
    return ordered[cut], ordered[signal.size - 1 - cut]
