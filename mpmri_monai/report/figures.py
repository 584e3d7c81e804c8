"""Figures of how well a classifier does: learning curves, ROC, confusion matrix, intervals beside baseline and ceiling.

Each function takes data and returns a matplotlib Figure; none of them reads a file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import Normal, Stroke
from matplotlib.ticker import MaxNLocator

from mpmri_monai.report.levels import LEVELS
from mpmri_monai.report.style import (
    BASELINE,
    CEILING,
    INK,
    NETWORK,
    SMALL,
    TEXT,
    class_style,
    message,
    new_figure,
    quiet,
)
from mpmri_monai.report.wording import (
    class_counts,
    commonest_share,
    number,
    several,
    why_undefined,
    with_interval,
)


def learning_curves(history: pd.DataFrame) -> Figure:
    """Draw loss and accuracy over epochs, of training and, where there is one, of validation.

    Args:
        history: columns ``epoch, train_loss, train_accuracy, val_loss, val_accuracy, learning_rate``; the two of
            validation are empty when no patients were set aside for it. Dotted lines mark the ``rate_steps``.
    """
    figure = new_figure(4.4, 4.6)
    if history.empty:
        return message(figure, "no epoch was recorded")
    upper, lower = figure.subplots(2, 1, sharex=True)
    for axes, quantity in ((upper, "loss"), (lower, "accuracy")):
        axes.plot(
            history["epoch"],
            history[f"train_{quantity}"],
            "-",
            color=NETWORK,
            marker="o",
            markersize=3,
            label="training",
        )
        seen = history[history[f"val_{quantity}"].notna()]
        if not seen.empty:
            style = {"color": "#E69F00", "marker": "s", "markersize": 3}
            axes.plot(seen["epoch"], seen[f"val_{quantity}"], "--", label="validation", **style)
        for epoch in rate_steps(history):
            axes.axvline(epoch - 0.5, color="#AAAAAA", linewidth=0.8, linestyle=":")
        quiet(axes, y=quantity)
    upper.legend(fontsize=SMALL, frameon=False)
    upper.set_ylim(bottom=0)
    lower.set_ylim(0, 1.02)
    lower.set_xlabel("epoch", fontsize=TEXT)
    lower.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


def rate_steps(history: pd.DataFrame) -> list[int]:
    """Return the epochs that begin at another learning rate; none where every epoch does, which is no step."""
    changed = history["learning_rate"].diff().fillna(0) != 0
    return [] if changed.iloc[1:].all() else [int(epoch) for epoch in history["epoch"][changed]]


def roc_curves(level: Mapping[str, Any], classes: Sequence[str], unit: str) -> Figure:
    """Draw the ROC of each class against the rest, with AUC and interval in the legend.

    Args:
        level: one of ``metrics["levels"]``; a class without a case has no curve, and the legend says so.
        classes: class names in order. Of two classes only the last is drawn: the other curve is its mirror image.
        unit: what a case is called: slice, lesion, study or patient.
    """
    figure = new_figure(4.4, 4.6)
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="#999999", linewidth=0.8, linestyle=":")
    counts = class_counts(level, classes)
    for name in classes if len(classes) > 2 else classes[-1:]:
        curve = level["roc"].get(name) or {"fpr": [], "tpr": []}
        auc = with_interval(level["metrics"].get(f"auc_{name}"), why_undefined(level, classes, unit))
        style = class_style(classes, name) | {"marker": ""}
        axes.plot(curve["fpr"], curve["tpr"], linewidth=1.8, label=f"{name} (n = {counts[name]})\nAUC {auc}", **style)
    quiet(axes, "1 − specificity", "sensitivity")
    axes.set_aspect("equal")
    axes.set_xlim(-0.01, 1.01)
    axes.set_ylim(-0.01, 1.01)
    figure.legend(*axes.get_legend_handles_labels(), fontsize=SMALL, frameon=False, loc="outside lower center", ncols=1)
    return figure


def confusion_matrix(level: Mapping[str, Any], classes: Sequence[str], unit: str) -> Figure:
    """Draw truth (rows) against prediction (columns): the count and its share of the row in every cell."""
    figure = new_figure(4.4, 4.0)
    axes = figure.subplots()
    counts = np.asarray(level["confusion"], dtype=float)
    totals = counts.sum(axis=1, keepdims=True)
    share = np.divide(counts, totals, out=np.zeros_like(counts), where=totals > 0)
    axes.imshow(share, cmap="Blues", vmin=0.0, vmax=1.2)
    for (row, column), count in np.ndenumerate(counts):
        percent = f"{100 * share[row, column]:.0f} %" if totals[row, 0] else "no case"
        axes.text(
            column,
            row,
            f"{count:.0f}\n{percent}",
            ha="center",
            va="center",
            fontsize=TEXT + 1,
            color="white" if share[row, column] > 0.7 else INK,
            fontweight="bold" if row == column else "normal",
        )
    quiet(axes, "predicted", f"truth ({several(unit)})")
    axes.grid(False)
    axes.set_xticks(range(len(classes)), classes)
    axes.set_yticks(
        range(len(classes)), [f"{name}\nn = {total:.0f}" for name, total in zip(classes, totals[:, 0], strict=True)]
    )
    return figure


def forest(metrics: Mapping[str, Any], metric: str, nouns: Mapping[str, str] = LEVELS) -> Figure:
    """Draw one metric at every level with its intervals, beside baseline, ceiling and no information.

    Args:
        metrics: the content of ``metrics.json``. The ceiling is defined for lesions and drawn there only.
        metric: ``accuracy`` (no information: always naming the commonest class) or ``macro_auc`` (no information: 0.5).
        nouns: the levels to draw and what a case is called there, as of `levels.level_names`.
    """
    levels = [name for name in nouns if name in metrics["levels"]]
    figure = new_figure(4.4, 1.1 + 0.74 * len(levels))
    axes = figure.subplots()
    for row, name in enumerate(levels):
        _forest_row(axes, row, name, metric, metrics)
    quiet(axes)
    axes.set_xlim(0, 1.04)
    axes.set_ylim(len(levels) - 0.5, -0.5)
    names = [f"{nouns[name]}\nn = {metrics['levels'][name]['n']}" for name in levels]
    axes.set_yticks(range(len(levels)), names, fontsize=TEXT)
    handles = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))  # each label once
    figure.legend(handles.values(), handles.keys(), fontsize=SMALL, frameon=False, loc="outside lower center", ncols=3)
    return figure


def _forest_row(axes: Axes, row: int, name: str, metric: str, metrics: Mapping[str, Any]) -> None:
    level = metrics["levels"][name]
    top = metrics["ceiling"]["fusion"][metric] if name == "lesion" and metrics.get("ceiling") else None
    if top is not None and top["low"] is not None:  # no AUC where a single class is tested
        size = (top["high"] - top["low"], 0.86)
        axes.add_patch(
            Rectangle((top["low"], row - 0.43), *size, color=CEILING, alpha=0.18, linewidth=0, label="ceiling (spread)")
        )
        axes.plot([top["mean"]] * 2, [row - 0.43, row + 0.43], color=CEILING, linewidth=1.4, label="ceiling (mean)")
    nothing = commonest_share(level, metrics["classes"]) if metric == "accuracy" else 0.5
    if nothing is not None:
        axes.plot(
            [nothing] * 2, [row - 0.3, row + 0.3], color="#888888", linewidth=1.0, linestyle=":", label="no information"
        )
    why = why_undefined(level, metrics["classes"], name)
    _interval(axes, row - 0.16, level["metrics"].get(metric), why, NETWORK, "o", "network")
    other = (metrics.get("baseline") or {"levels": {}})["levels"].get(name)
    if other is not None:
        _interval(axes, row + 0.2, other["metrics"].get(metric), why, BASELINE, "D", "baseline")


def _interval(
    axes: Axes, y: float, entry: Mapping[str, Any] | None, why: str, colour: str, marker: str, label: str
) -> None:
    if entry is None or entry["value"] is None:
        axes.text(0.03, y, f"{label}: not defined, {why}", fontsize=SMALL - 1, color=colour, va="center")
        return
    if entry["low"] is not None and entry["high"] is not None:
        axes.plot([entry["low"], entry["high"]], [y, y], color=colour, linewidth=1.8, solid_capstyle="butt")
    axes.plot([entry["value"]], [y], marker=marker, markersize=5, color=colour, linestyle="", label=label)
    axes.annotate(
        number(entry["value"]), (entry["value"], y), xytext=(0, 4), textcoords="offset points", ha="center",
        fontsize=SMALL - 1, color=colour, path_effects=[Stroke(linewidth=2.5, foreground="white"), Normal()],
    )  # fmt: skip
