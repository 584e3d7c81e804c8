"""Certainty as a doctor meets it: what is right among the answers when the least certain are left to somebody else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mpmri_monai.experiments.summary import NOTHING
from mpmri_monai.report.wording import in_percent

ACROSS_NETWORKS = (
    "What one network would do with its least certain cases: certainty is ordered across networks here, whose scales "
    "are alike only as far as calibration makes them so."
)
"""What cannot be told where several networks tested the cases."""


def certainty_table(abstentions: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the table of what is right in the rest, a column for each named classifier; none without one."""
    if not abstentions:
        return []
    rows = [
        [f"{100 * same[0]['asked']:.0f} %", *(_right(row) for row in same)]
        for same in zip(*(of["table"] for of in abstentions.values()), strict=True)
    ]
    return [
        {
            "key": "certainty",
            "title": "What is right in the rest",
            "caption": "Of the cases that are still answered when the least certain are left to a doctor, the share "
            "that is answered rightly [95 % interval over the patients]. Certainty is the gap between the "
            "two outputs (the highest probability), calibrated where there are validation patients enough; the cut is "
            "at the tested cases' own certainties.",
            "header": ["least certain, left to a doctor", *(f"{name}: right" for name in abstentions)],
            "rows": rows,
        }
    ]


def certainty_figure(abstentions: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the figure of accuracy against the share of cases that are answered; none without a classifier."""
    curves = []
    for name, of in abstentions.items():
        (curve,) = of["curves"]
        parts = {"mean": "risk", "low": "high", "high": "low"}  # what is wrong at most is right at least
        sides = {part: [None if risk is None else 1 - risk for risk in curve[key]] for part, key in parts.items()}
        curves.append({"name": name, "x": [100 * share for share in curve["coverage"]], **sides})
    if not curves:
        return []
    return [
        {
            "key": "certainty",
            "title": "Accuracy against the share of cases that are answered",
            "caption": "The least certain cases are left out first; bands are 95 % intervals over the patients.",
            "kind": "curves",
            "data": {
                "panels": [{"title": "", "x_label": "cases answered, %", "curves": curves}],
                "y_label": "accuracy",
            },
        }
    ]


def _right(row: Mapping[str, Any]) -> str:
    return NOTHING if row["right"]["value"] is None else in_percent(row["right"])
