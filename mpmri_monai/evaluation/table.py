"""The metrics as a table for the terminal."""

from __future__ import annotations

from typing import Any

from rich.table import Table


def metrics_table(result: dict[str, Any], title: str | None = None) -> Table:
    """Return a table of what `evaluate` returned: a row for each metric, a column for each level.

    Args:
        result: from `mpmri_monai.evaluation.evaluate`.
        title: above the table; task and role when not given.
    """
    levels = result["levels"]
    percent = round(100 * result["confidence"])
    table = Table(
        title=title or f"{result['task']}, {result['role']}",
        caption=f"value [{percent} % interval, {result['bootstraps']} resamples of the patients]; research use only",
    )
    table.add_column("")
    for level, content in levels.items():
        table.add_column(f"{level} ({content['n']} of {content['patients']} patients)")
    for name in result["classes"]:
        table.add_row(f"n {name}", *(str(content["per_class"][name]) for content in levels.values()))
    table.add_section()
    for name in next(iter(levels.values()))["metrics"]:
        table.add_row(name.replace("_", " "), *(cell(content["metrics"][name]) for content in levels.values()))
    return table


def cell(metric: dict[str, float | int | None]) -> str:
    """Return ``0.812 [0.701, 0.904]``, the value alone where there is no interval, or ``undefined``."""
    if metric["value"] is None:
        return "undefined"
    if metric["low"] is None:
        return f"{metric['value']:.3f} [no interval]".replace("[", "\\[")
    return f"{metric['value']:.3f} \\[{metric['low']:.3f}, {metric['high']:.3f}]"
