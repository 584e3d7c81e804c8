"""Certainty as a doctor meets it: what is right among the answers when the least certain are left to somebody else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mpmri_monai.experiments.summary import NOTHING

LEFT = 0.2
"""Share of the cases in the sentence; the table has the others."""


def sentence(abstention: Mapping[str, Any], left: float = LEFT) -> str:
    """Return ``Leave the 20 % least certain to you: the rest is right in 97 [94–99] % of cases.``

    Args:
        abstention: as of `evaluation.abstention.abstention`.
        left: one of its shares.
    """
    row = next(row for row in abstention["table"] if row["asked"] == left)
    every = abstention["table"][0]["right"]
    rest = in_percent(row["right"])
    return (
        f"Leave the {100 * left:.0f} % least certain to you: the rest is right in {rest} % of cases; "
        f"with every case answered, {in_percent(every)} % are."
    )


def in_percent(share: Mapping[str, Any]) -> str:
    """Return ``97 [94–99]`` of a share with its interval."""
    if share["value"] is None:
        return NOTHING
    value = f"{100 * share['value']:.0f}"
    if share["low"] is None or share["high"] is None:
        return f"{value} [no interval]"
    return f"{value} [{100 * share['low']:.0f}–{100 * share['high']:.0f}]"


def certainty_table(abstentions: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the table of what is right in the rest, a column for each named classifier; none without one."""
    if not abstentions:
        return []
    shares = [row["asked"] for row in next(iter(abstentions.values()))["table"]]
    rows = [
        [
            f"{100 * share:.0f} %",
            *(in_percent(of["table"][number]["right"]) for of in abstentions.values()),
        ]
        for number, share in enumerate(shares)
    ]
    return [
        {
            "key": "certainty",
            "title": "What is right in the rest",
            "caption": "Of the cases that are still answered when the least certain are left to a doctor, the share "
            "that is answered rightly, in percent [95 % interval over the patients]. Certainty is the gap between the "
            "two outputs (the highest probability), calibrated where there are validation patients enough; the cut is "
            "at the tested cases' own certainties.",
            "header": ["least certain, left to a doctor", *(f"{name}: right, %" for name in abstentions)],
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
