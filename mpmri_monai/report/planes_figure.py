"""A 3D sample plane by plane, as the network sees it: one block of planes a sequence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from mpmri_monai.report.panels import show_absent, show_crop
from mpmri_monai.report.style import new_figure

COLUMNS, MOST_PLANES = 8, 32
"""Planes beside each other, and planes of a sequence; of more, as many are shown at even steps."""
PANEL = 0.95
"""Side of a plane in inches; a title stands above it."""


def planes_shown(depth: int) -> list[int]:
    """Return which of ``depth`` planes are shown: all, or `MOST_PLANES` of them from the first to the last."""
    return np.linspace(0, depth - 1, min(depth, MOST_PLANES)).round().astype(int).tolist()


def planes(crops: np.ndarray, mask: np.ndarray | None, sequences: Sequence[str], present: Mapping[str, bool]) -> Figure:
    """Draw the planes of each sequence of one sample, from the lowest to the highest.

    Args:
        crops: (sequence, depth, row, column) float in [0, 1].
        mask: (depth, row, column) bool, outlined where a plane meets it; None when no outline is known.
        sequences: the names along the first axis of ``crops``.
        present: whether each sequence was acquired there; those that were not are one hatched panel.
    """
    depth = crops.shape[1]
    shown = planes_shown(depth)
    columns = min(len(shown), COLUMNS)
    lines = {name: -(-len(shown) // columns) if present[name] else 1 for name in sequences}
    figure = new_figure(max(columns * PANEL, 2.0), sum(lines.values()) * (PANEL + 0.2))
    panels = figure.subplots(sum(lines.values()), columns, squeeze=False)
    for axes in panels.ravel():
        axes.set_axis_off()
    first = 0
    for name, crop in zip(sequences, crops, strict=True):
        block = panels[first : first + lines[name]].ravel()
        first += lines[name]
        if not present[name]:
            block[0].set_axis_on()
            show_absent(block[0], crop.shape[1:], name)
            continue
        for axes, plane in zip(block, shown, strict=False):
            axes.set_axis_on()
            title = f"{name} {plane + 1}/{depth}" if plane == shown[0] else f"{plane + 1}"
            show_crop(axes, crop[plane], None if mask is None else mask[plane], title)
    return figure
