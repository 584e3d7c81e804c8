"""Figures of an experiment that are curves: over epochs, ROC with its band, signal over phases, risk, dose-response.

Each function takes the data of one figure of ``experiment.json`` (see `report.experiment`) and returns a Figure.
None stands for a value that is not defined, and leaves a gap.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator

from mpmri_monai.report.style import (
    CLASS_COLOURS,
    CLASS_LINES,
    CLASS_MARKERS,
    NETWORK,
    SMALL,
    TEXT,
    class_style,
    new_figure,
    quiet,
)

WIDE_PANELS = 3
"""Panels side by side in a figure; more go to the next row."""
FEW_PLACES = 3
"""Measured places that are all named on the axis; of more, round numbers are."""


def epochs(data: Mapping[str, Any]) -> Figure:
    """Draw ``curves`` of ``name, epoch, mean, sd``: a mean share over epochs with a band of ± 1 SD over repeats.

    The band ends where shares do, at 0 and 1.
    """
    figure = new_figure(4.4, 3.8)
    axes = figure.subplots()
    for index, curve in enumerate(data["curves"]):
        mean, sd = values(curve["mean"]), np.nan_to_num(values(curve.get("sd") or [None] * len(curve["mean"])))
        low, high = np.clip([mean - sd, mean + sd], 0, 1)
        band(axes, curve["epoch"], mean, low, high, curve["name"], index)
    quiet(axes, "epoch", data.get("y_label", "accuracy"))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return legend_below(figure, axes)


def roc_band(data: Mapping[str, Any]) -> Figure:
    """Draw ``curves`` of ``name, fpr, mean, low, high``: mean ROC curves with their bands."""
    figure = new_figure(4.4, 4.8)
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="#999999", linewidth=0.8, linestyle=":")
    for index, curve in enumerate(data["curves"]):
        band(axes, curve["fpr"], *(curve[part] for part in ("mean", "low", "high")), curve["name"], index)
    quiet(axes, "1 − specificity", "sensitivity")
    unit_square(axes)
    return legend_below(figure, axes)


def tsic(data: Mapping[str, Any]) -> Figure:
    """Draw ``classes`` of ``name, x, mean, low, high``: relative signal over the contrast phases."""
    figure = new_figure(4.4, 3.8)
    axes = figure.subplots()
    names = [part["name"] for part in data["classes"]]
    phases = list(dict.fromkeys(phase for part in data["classes"] for phase in part["x"]))
    for offset, part in enumerate(data["classes"]):
        # Side by side, so that the bars of the classes stay legible.
        x = np.array([phases.index(phase) for phase in part["x"]]) + 0.04 * (offset - (len(names) - 1) / 2)
        mean = values(part["mean"])
        sides = np.nan_to_num(np.clip([mean - values(part["low"]), values(part["high"]) - mean], 0, None))
        axes.errorbar(
            x, mean, yerr=sides, capsize=2, linewidth=1.6, label=part["name"], **class_style(names, part["name"])
        )
    quiet(axes, "phase", data.get("y_label", "relative signal"))
    axes.set_xticks(range(len(phases)), phases)
    return legend_below(figure, axes)


def reliability(data: Mapping[str, Any]) -> Figure:
    """Draw ``bins`` of ``confidence, accuracy, low, high, n``: how often the network is right when it is so sure."""
    figure = new_figure(4.4, 4.4)
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="#999999", linewidth=0.8, linestyle=":", label="perfectly calibrated")
    bins = [part for part in data["bins"] if part["n"]]
    x, y = (values([part[key] for part in bins]) for key in ("confidence", "accuracy"))
    low, high = (values([part.get(key) for part in bins]) for key in ("low", "high"))
    sides = np.nan_to_num(np.clip([y - low, high - y], 0, None))
    axes.errorbar(x, y, yerr=sides, color=NETWORK, marker="o", capsize=3, linewidth=1.4, label="network")
    for part in bins:
        if part["accuracy"] is not None:
            place = (part["confidence"], part["accuracy"])
            axes.annotate(f"{part['n']}", place, xytext=(5, -10), textcoords="offset points", fontsize=SMALL - 1)
    quiet(axes, "probability given to the answer", "share of right answers")
    unit_square(axes)
    return legend_below(figure, axes)


def risk_coverage(data: Mapping[str, Any]) -> Figure:
    """Draw ``curves`` of ``name, coverage, risk, low, high``: errors among those answered, the surest first."""
    figure = new_figure(4.4, 3.8)
    axes = figure.subplots()
    for index, curve in enumerate(data["curves"]):
        sides = (curve.get(key) or [None] * len(curve["risk"]) for key in ("low", "high"))
        band(axes, curve["coverage"], curve["risk"], *sides, curve["name"], index)
    quiet(axes, "share of cases that are answered", "share of errors among them")
    axes.set_xlim(0, 1.01)
    axes.set_ylim(bottom=0)
    return legend_below(figure, axes)


def panels(data: Mapping[str, Any]) -> Figure:
    """Draw ``panels`` of ``title, x_label, curves`` with ``name, x, mean, low, high``: one quantity against many."""
    parts = data["panels"]
    columns = min(len(parts), WIDE_PANELS)
    rows = -(-len(parts) // columns)
    figure = new_figure(4.4 if columns == 1 else 2.9 * columns, 0.5 + 2.7 * rows)
    grid = figure.subplots(rows, columns, sharey=True, squeeze=False).ravel()
    for axes, part in zip(grid, parts, strict=False):
        for index, curve in enumerate(part["curves"]):
            sides = (curve.get(key) or [None] * len(curve["mean"]) for key in ("low", "high"))
            band(axes, curve["x"], curve["mean"], *sides, curve["name"], index, marker=CLASS_MARKERS[index % 6])
        quiet(axes, part["x_label"], title=part["title"])
        places = sorted({place for curve in part["curves"] for place in curve["x"]})
        few = len(places) <= FEW_PLACES
        axes.xaxis.set_major_locator(FixedLocator(places) if few else MaxNLocator(4))  # narrow panels
    for axes in grid[::columns]:
        axes.set_ylabel(data.get("y_label", ""), fontsize=TEXT)
    for axes in grid[len(parts) :]:
        axes.set_visible(False)
    return legend_below(figure, *grid[: len(parts)])


def band(
    axes: Axes,
    x: Sequence[float],
    mean: Sequence[float | None],
    low: Sequence[float | None],
    high: Sequence[float | None],
    name: str,
    index: int,
    marker: str = "",
) -> None:
    """Draw the curve number ``index`` of a figure and, where both ends are known, its band: a bar at a single point."""
    colour = CLASS_COLOURS[index % len(CLASS_COLOURS)]
    line = CLASS_LINES[index % len(CLASS_LINES)]
    marker = marker or ("o" if len(x) == 1 else "")  # a line through one point is invisible
    axes.plot(x, values(mean), color=colour, linestyle=line, linewidth=1.8, marker=marker, markersize=4, label=name)
    if len(x) == 1:
        axes.vlines(x, values(low), values(high), color=colour, alpha=0.6, linewidth=1.8)
    else:
        axes.fill_between(x, values(low), values(high), color=colour, alpha=0.15, linewidth=0)


def values(items: Sequence[float | None]) -> np.ndarray:
    """Return numbers as an array; None, a value that is not defined, becomes NaN."""
    return np.array([np.nan if item is None else item for item in items], dtype=float)


def unit_square(axes: Axes) -> None:
    """Show the square from 0 to 1 without distortion."""
    axes.set_aspect("equal")
    axes.set_xlim(-0.01, 1.01)
    axes.set_ylim(-0.01, 1.01)


def legend_below(figure: Figure, *all_axes: Axes) -> Figure:
    """Name the curves of one or more axes below the figure, each name once."""
    handles = {
        label: handle for axes in all_axes for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    if handles:
        columns = 1 if max(map(len, handles)) > 26 else 2 if figure.get_figwidth() < 6 else 3
        place = {"loc": "outside lower center", "ncols": columns}
        figure.legend(handles.values(), handles.keys(), fontsize=SMALL, frameon=False, **place)
    return figure
