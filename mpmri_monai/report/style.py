"""One look for every figure: colours that the colour-blind can tell apart, quiet axes, PNG bytes.

Figures are made with matplotlib's object-oriented interface on the Agg canvas. Nothing here touches pyplot, so drawing
has no global state and works without a display, in workers and in threads.
"""

from __future__ import annotations

import io
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

RESEARCH_ONLY = "Research use only. Not for diagnosis or treatment."

# Okabe & Ito's palette, which stays distinct under the common colour-vision deficiencies.
CLASS_COLOURS = ("#0072B2", "#E69F00", "#CC79A7", "#009E73", "#56B4E9", "#D55E00")
CLASS_MARKERS = ("o", "s", "^", "D", "v", "P")
CLASS_LINES = ("-", "--", "-.", ":", "-", "--")
NETWORK, BASELINE, CEILING = "#1F4E79", "#8A6D3B", "#009E73"
BACKGROUND = "#6B6B6B"
CONTOUR = "#FFD400"
INK, PALE = "#222222", "#D9D9D9"

DOTS_PER_INCH = 150
TEXT, SMALL = 9.0, 8.0


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of ``width`` × ``height`` inches on the Agg canvas."""
    figure = Figure(figsize=(width, height), dpi=DOTS_PER_INCH, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def class_style(classes: Sequence[str], name: str) -> dict[str, str]:
    """Return colour, marker and line style of one class: three signs, so that no reader depends on colour."""
    index = list(classes).index(name)
    return {
        "color": CLASS_COLOURS[index % len(CLASS_COLOURS)],
        "marker": CLASS_MARKERS[index % len(CLASS_MARKERS)],
        "linestyle": CLASS_LINES[index % len(CLASS_LINES)],
    }


def quiet(axes: Axes, x: str = "", y: str = "", title: str = "") -> None:
    """Label ``axes`` and take away what carries no information."""
    axes.set_xlabel(x, fontsize=TEXT, color=INK)
    axes.set_ylabel(y, fontsize=TEXT, color=INK)
    if title:
        axes.set_title(title, fontsize=TEXT, color=INK, loc="left", fontweight="bold")
    axes.tick_params(labelsize=SMALL, colors=INK, length=3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("#888888")
    axes.grid(True, color="#EEEEEE", linewidth=0.8)
    axes.set_axisbelow(True)


def message(figure: Figure, text: str) -> Figure:
    """Write ``text`` in the middle of an empty figure: the figure's answer when there is nothing to draw."""
    figure.text(0.5, 0.5, text, ha="center", va="center", fontsize=TEXT, color=INK, wrap=True)
    return figure


def png(figure: Figure) -> bytes:
    """Return the figure as PNG bytes, the same for the same figure (no date inside)."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
