"""The picture of two-dimensional embeddings: where a network puts the test images (figure 6 of Jia et al., 2019)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mpmri_monai import artefacts
from mpmri_monai.natural.images import NaturalImages

SHOWN = 4000
"""Test images drawn, the first ones; more would hide each other (count)."""
SHOWN_PERCENTILE = 99.5
"""The axes end where this share of the images ends on each side: a few far ones would squeeze the others (percent)."""


def draw_embeddings(embeddings: NDArray, images: NaturalImages, path: Path) -> None:
    """Draw two-dimensional embeddings of the test images, one colour a class, its number at the median.

    Args:
        embeddings: (image, 2) in the order of ``images.test``.
        images: whose labels and class names are shown.
        path: of the PNG.
    """
    figure = Figure(figsize=(6, 5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    points, labels = embeddings[:SHOWN], images.test_labels[:SHOWN]
    for label, name in enumerate(images.classes):
        own = points[labels == label]
        axes.scatter(own[:, 0], own[:, 1], s=3, color=f"C{label}", label=name, alpha=0.6, linewidths=0)
        if len(own):
            axes.text(*np.median(own, axis=0), name, ha="center", va="center", fontsize="small", weight="bold")
    low, high = np.percentile(points, [100 - SHOWN_PERCENTILE, SHOWN_PERCENTILE], axis=0)
    margin = 0.1 * (high - low) + 1e-6
    axes.set_xlim(low[0] - margin[0], high[0] + margin[0])
    axes.set_ylim(low[1] - margin[1], high[1] + margin[1])
    axes.set(title=f"{images.name}: first {len(points)} test images", xlabel="embedding 1", ylabel="embedding 2")
    axes.legend(markerscale=4, fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    with artefacts.whole_file(path) as part:
        figure.savefig(part, format="png", dpi=150)
