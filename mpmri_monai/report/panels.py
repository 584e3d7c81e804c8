"""Image panels: a crop as the network sees it, the lesion's outline, a sequence that is not there."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from matplotlib.patheffects import Normal, Stroke

from mpmri_monai.report.style import CONTOUR, INK, SMALL


def central(crops: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """Return the centre of crops (…, row, column) or (…, depth, row, column): what the network sees of a stored crop.

    Args:
        crops: as stored.
        size: of the centre, along the last two or three axes.
    """
    first = [(stored - seen) // 2 for stored, seen in zip(crops.shape[-len(size) :], size, strict=True)]
    return crops[(..., *(slice(start, start + seen) for start, seen in zip(first, size, strict=True)))]


def middle_plane(crops: np.ndarray, leading: int) -> np.ndarray:
    """Return the plane in the middle of 3D crops, of an even number the upper one; 2D crops are returned as they are.

    Args:
        crops: (…, row, column) or (…, depth, row, column).
        leading: how many axes come before these.
    """
    return crops if crops.ndim == leading + 2 else crops[(slice(None),) * leading + (crops.shape[leading] // 2,)]


def show_crop(axes: Axes, crop: np.ndarray, mask: np.ndarray | None, title: str, seen: int | None = None) -> None:
    """Draw a crop without smoothing and outline the lesion.

    Args:
        crop: (row, column) or (row, column, 3) float in [0, 1]; shown on that fixed scale, not stretched.
        mask: (row, column) bool, or None when no outline is known.
        title: one or two short lines above the panel.
        seen: side in pixels of the central square that the network sees, drawn dashed; None draws none.
    """
    axes.imshow(np.clip(crop, 0.0, 1.0), cmap="gray", vmin=0.0, vmax=1.0, interpolation="nearest")
    if mask is not None and np.any(mask) and not np.all(mask):
        lines = axes.contour(np.asarray(mask, dtype=float), levels=[0.5], colors=[CONTOUR], linewidths=1.0)
        lines.set_path_effects([Stroke(linewidth=2.0, foreground="black", alpha=0.6), Normal()])
    if seen is not None:
        corner = ((crop.shape[1] - seen) / 2 - 0.5, (crop.shape[0] - seen) / 2 - 0.5)
        style = {"edgecolor": "white", "linestyle": (0, (3, 3)), "linewidth": 0.7, "alpha": 0.8}
        axes.add_patch(Rectangle(corner, seen, seen, fill=False, **style))
    _frame(axes, title)


def show_absent(axes: Axes, shape: Sequence[int], title: str, text: str = "absent") -> None:
    """Draw a hatched panel of ``shape`` (row, column) that says why there is no image."""
    axes.imshow(np.ones(tuple(shape)), cmap="gray", vmin=0.0, vmax=1.0)
    axes.fill_between(
        [-0.5, shape[1] - 0.5], -0.5, shape[0] - 0.5, facecolor="#F4F4F4", edgecolor="#CFCFCF", hatch="//"
    )
    box = {"facecolor": "white", "edgecolor": "none", "pad": 2.0}
    axes.text(shape[1] / 2, shape[0] / 2, text, ha="center", va="center", fontsize=SMALL, color=INK, bbox=box)
    _frame(axes, title)


def _frame(axes: Axes, title: str) -> None:
    axes.set_title(title, fontsize=SMALL, color=INK, pad=3)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_color("#BBBBBB")
