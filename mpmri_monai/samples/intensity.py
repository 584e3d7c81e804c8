"""Intensity windows: what becomes 0 and what becomes 1."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

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


def trimmed_windows(stacks: Mapping[str, Stack], trim: float, joint_dce: bool) -> dict[str, Window]:
    """Return each sequence's window: minimum, and maximum after the top ``trim`` of its grey values is trimmed.

    With ``joint_dce`` all DCE phases of the study share one window, from the lowest of their minima to the highest of
    their trimmed maxima: equal signals stay equal between the phases, and no phase loses more than its own trimmed top.
    """
    windows = {sequence: Window(*map(float, stack.intensity_range(trim))) for sequence, stack in stacks.items()}
    phases = [sequence for sequence in DCE if sequence in windows]
    if joint_dce and phases:
        shared = Window(
            min(windows[phase].minimum for phase in phases), max(windows[phase].maximum for phase in phases)
        )
        windows.update(dict.fromkeys(phases, shared))
    return windows
