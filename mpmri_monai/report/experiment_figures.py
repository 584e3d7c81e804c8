"""The figures of an experiment by kind: drawn, and put into words for who cannot see them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from matplotlib.figure import Figure

from mpmri_monai.errors import EvaluationError
from mpmri_monai.report import experiment_bars, experiment_curves
from mpmri_monai.report.pictures import Picture, picture
from mpmri_monai.report.wording import number, with_interval

KINDS: Mapping[str, Callable[[Mapping[str, Any]], Figure]] = {
    "epochs": experiment_curves.epochs,
    "roc_band": experiment_curves.roc_band,
    "tsic": experiment_curves.tsic,
    "reliability": experiment_curves.reliability,
    "risk_coverage": experiment_curves.risk_coverage,
    "curves": experiment_curves.panels,
    "bars": experiment_bars.bars,
    "wins": experiment_bars.wins,
    "histogram": experiment_bars.histogram,
    "embedding": experiment_bars.embedding,
}
"""Kind -> what draws it from its data."""

HALF_PAGE = 4.5
"""Inches: a wider figure spans the page."""


def experiment_picture(item: Mapping[str, Any]) -> Picture:
    """Return one figure of an experiment's content, drawn.

    Args:
        item: ``key, title, caption, kind, data``.

    Raises:
        EvaluationError: there is no such kind, or the data are not those of the kind.
    """
    if item.get("kind") not in KINDS:
        raise EvaluationError(
            expected=f"a figure of a kind among {', '.join(KINDS)}",
            found=repr(item.get("kind")),
            where=f"figure {item.get('key')}",
            code="E_CONTENT",
        )
    try:
        figure = KINDS[item["kind"]](item["data"])
        caption = item["caption"] + _left_out(item["data"])
        alt = f"{item['title']}. {caption} {figure_words(item['kind'], item['data'])}"
        return picture(item["key"], item["title"], caption, alt, figure, wide=figure.get_figwidth() > HALF_PAGE)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise EvaluationError(
            expected=f"the data of a figure of kind {item['kind']}",
            found=f"{type(error).__name__}: {error}",
            where=f"figure {item.get('key')}",
            code="E_CONTENT",
        ) from error


def figure_words(kind: str, data: Mapping[str, Any]) -> str:
    """Return what a figure shows in words: its values where they are few, its curves with where they end."""
    if kind in ("bars", "wins"):
        shown = experiment_bars.shown_names(data["bars"])
        return _joined(_bar_words(bar) for bar in data["bars"] if bar["name"] in shown)
    if kind == "histogram":
        null = [item for item in data["null"] if item is not None]
        ends = f" from {number(min(null))} to {number(max(null))}" if null else ""
        return f"{len(null)} permutations{ends}; observed {number(data['observed'])}."
    if kind == "reliability":
        return _joined(
            f"{part['n']} answers of mean probability {number(part['confidence'])}: {number(part['accuracy'])} right"
            for part in data["bins"]
            if part["n"]
        )
    if kind == "embedding":
        return _joined(f"{panel['title']}: {len(panel['points'])} samples" for panel in data["panels"])
    curves = data.get("curves") or data.get("classes")
    if curves is None:
        curves = [
            dict(curve, name=", ".join(filter(None, (panel["title"], curve["name"]))))
            for panel in data["panels"]
            for curve in panel["curves"]
        ]
    ends = [(curve["name"], curve.get("mean", curve.get("risk"))) for curve in curves]
    return _joined(f"{name}: from {number(y[0])} to {number(y[-1])}" for name, y in ends if y)


def _bar_words(bar: Mapping[str, Any]) -> str:
    group = f", {bar['group']}" if bar.get("group") else ""
    wins = f", would win in {100 * bar['probability']:.0f} %" if bar.get("probability") is not None else ""
    ceiling = f", ceiling {number(bar['ceiling'])}" if bar.get("ceiling") is not None else ""
    return f"{bar['name']}{group}: {with_interval(bar)}{ceiling}{wins}"


def _left_out(data: Mapping[str, Any]) -> str:
    names = {bar["name"] for bar in data.get("bars", ())}
    shown = len(experiment_bars.shown_names(data["bars"])) if names else 0
    return f" Shown: the {shown} highest of {len(names)}." if shown < len(names) else ""


def _joined(parts: Any) -> str:
    return "; ".join(parts) + "."
