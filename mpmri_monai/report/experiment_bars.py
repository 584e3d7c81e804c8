"""Figures of an experiment that are not curves: values with intervals, a permutation histogram, 2-D embeddings.

Each function takes the data of one figure of ``experiment.json`` (see `report.experiment`) and returns a Figure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mpmri_monai.report.experiment_curves import legend_below
from mpmri_monai.report.style import (
    CEILING,
    CLASS_COLOURS,
    CLASS_MARKERS,
    NETWORK,
    SMALL,
    TEXT,
    class_style,
    new_figure,
    quiet,
)

MOST_ROWS = 20
"""Rows that a figure shows; the table below it has them all."""
ROW = 0.22  # inches


def bars(data: Mapping[str, Any]) -> Figure:
    """Draw ``bars`` of ``name, value, low, high, ceiling, group`` as points with intervals, one row a name.

    The bars of one name in several groups share a row; a ceiling is a green tick, a value that is not defined is
    said to be so.
    """
    names = shown_names(data["bars"])
    groups = list(dict.fromkeys(bar.get("group") or "" for bar in data["bars"]))
    height = len(names) * (ROW + 0.11 * (len(groups) - 1))
    figure = new_figure(6.6, 1.3 + height)
    axes = figure.subplots()
    for bar in data["bars"]:
        if bar["name"] in names:
            group = groups.index(bar.get("group") or "")
            shift = 0.62 * ((group + 0.5) / len(groups) - 0.5)
            _point(axes, bar, names.index(bar["name"]) + shift, group, groups[group])
    _rows(axes, names)
    quiet(axes, data.get("metric", ""))
    axes.grid(False, axis="y")
    return legend_below(figure, axes)


def wins(data: Mapping[str, Any]) -> Figure:
    """Draw ``bars`` of ``name, probability, value, low, high, ceiling``: the value, and how often each would win."""
    names = shown_names(data["bars"])
    figure = new_figure(6.6, 1.4 + ROW * len(names))
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=[3, 2])
    for bar in data["bars"]:
        if bar["name"] in names:
            row = names.index(bar["name"])
            _point(left, bar, row, 0, data.get("metric", "value"))
            right.barh(row, bar["probability"] or 0.0, height=0.6, color=NETWORK)
            percent = f"{100 * (bar['probability'] or 0.0):.0f} %"
            right.annotate(percent, (bar["probability"] or 0.0, row), xytext=(3, 0), textcoords="offset points",
                           va="center", fontsize=SMALL - 1)  # fmt: skip
    _rows(left, names)
    quiet(left, data.get("metric", "value"))
    quiet(right, "wins when patients are redrawn")
    right.set_xlim(0, 1.1)
    right.tick_params(labelleft=False)
    for axes in (left, right):
        axes.grid(False, axis="y")
    return legend_below(figure, left)


def histogram(data: Mapping[str, Any]) -> Figure:
    """Draw ``null``, what permuted labels gave, and ``observed``, what the true labels gave."""
    figure = new_figure(4.4, 3.6)
    axes = figure.subplots()
    null = np.array([item for item in data["null"] if item is not None], dtype=float)
    axes.hist(null, bins="auto", color="#BFC7CF", edgecolor="white", label=f"{len(null)} permutations")
    if data["observed"] is not None:
        axes.axvline(data["observed"], color=NETWORK, linewidth=2.0, label=f"observed, {data['observed']:.3f}")
    quiet(axes, data.get("metric", "macro AUC"), "permutations")
    return legend_below(figure, axes)


def embedding(data: Mapping[str, Any]) -> Figure:
    """Draw ``panels`` of ``title, points, labels``: two-dimensional embeddings, a mark a sample."""
    panels, classes = data["panels"], list(data["classes"])
    figure = new_figure(4.4 if len(panels) == 1 else min(3.3 * len(panels), 9.0), 3.9)
    for axes, panel in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        points = np.array(panel["points"], dtype=float).reshape(-1, 2)
        labels = np.array(panel["labels"], dtype=object)
        for name in classes:
            style = class_style(classes, name) | {"linestyle": ""}
            axes.plot(*points[labels == name].T, markersize=4, alpha=0.75, markeredgewidth=0, label=name, **style)
        quiet(axes, "first coordinate", "second coordinate", panel["title"])
    return legend_below(figure, *figure.axes)


def shown_names(items: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the names in a figure: all, or the ``MOST_ROWS`` of the highest value where there are more."""
    names = list(dict.fromkeys(item["name"] for item in items))
    if len(names) <= MOST_ROWS:
        return names
    best = {name: max(item["value"] or 0.0 for item in items if item["name"] == name) for name in names}
    return sorted(names, key=best.__getitem__, reverse=True)[:MOST_ROWS]


def _point(axes: Axes, bar: Mapping[str, Any], y: float, group: int, label: str) -> None:
    colour, marker = CLASS_COLOURS[group % len(CLASS_COLOURS)], CLASS_MARKERS[group % len(CLASS_MARKERS)]
    if bar.get("ceiling") is not None:
        ends = [y - 0.25, y + 0.25]
        axes.plot([bar["ceiling"]] * 2, ends, color=CEILING, linewidth=1.8, label="ceiling")
    if bar["value"] is None:
        place = axes.get_yaxis_transform()
        axes.text(0.01, y, "not defined", transform=place, fontsize=SMALL - 1, color=colour, va="center")
        return
    if bar.get("low") is not None and bar.get("high") is not None:
        axes.plot([bar["low"], bar["high"]], [y, y], color=colour, linewidth=1.8, solid_capstyle="butt")
    axes.plot([bar["value"]], [y], color=colour, marker=marker, markersize=5, linestyle="", label=label)


def _rows(axes: Axes, names: Sequence[str]) -> None:
    axes.set_yticks(range(len(names)), names, fontsize=TEXT if len(names) <= 12 else SMALL)
    axes.set_ylim(len(names) - 0.5, -0.5)
    for row in range(1, len(names)):
        axes.axhline(row - 0.5, color="#EEEEEE", linewidth=0.8, zorder=0)
