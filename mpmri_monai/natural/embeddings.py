"""The picture of two-dimensional embeddings: where a network puts the test images (figure 6 of Jia et al., 2019)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mpmri_monai import artefacts
from mpmri_monai.natural.images import NaturalImages
from mpmri_monai.report.style import DOTS_PER_INCH, SMALL, new_figure, quiet

SHOWN = 4000
"""Test images drawn, the first ones; more would hide each other (count)."""
OUTSIDE = 0.5
"""The axes end where this share of the drawn images is beyond them on each side: a few far ones would squeeze the
others (percent)."""


def draw_embeddings(embeddings: NDArray, images: NaturalImages, path: Path) -> None:
    """Draw two-dimensional embeddings of the test images: one colour a class, its name at the median.

    Args:
        embeddings: (image, 2), in the order of ``images.test``.
        images: whose labels and names of classes are shown.
        path: of the PNG.
    """
    figure = new_figure(5.5, 5.5)
    axes = figure.subplots()
    points, labels = embeddings[:SHOWN], images.test_labels[:SHOWN]
    for label, name in enumerate(images.classes):
        own = points[labels == label]
        axes.scatter(own[:, 0], own[:, 1], s=4, color=f"C{label}", alpha=0.6, linewidths=0)
        if len(own):
            box = {"facecolor": "white", "alpha": 0.7, "edgecolor": "none", "pad": 1}
            axes.text(*np.median(own, axis=0), name, ha="center", va="center", fontsize=SMALL, bbox=box)
    low, high = np.percentile(points, [OUTSIDE, 100 - OUTSIDE], axis=0)
    margin = 0.1 * (high - low) + np.finfo(np.float32).eps
    axes.set_xlim(low[0] - margin[0], high[0] + margin[0])
    axes.set_ylim(low[1] - margin[1], high[1] + margin[1])
    quiet(axes, "first dimension", "second dimension", f"{images.name}: {len(points)} test images")
    with artefacts.whole_file(path) as part:
        figure.savefig(part, format="png", dpi=DOTS_PER_INCH)
