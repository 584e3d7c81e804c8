"""Candidates of a nested choice: which was chosen in each outer fold, in what order they are, and how sure it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from mpmri_monai.evaluation.scored import or_none
from mpmri_monai.experiments.nested import OuterFold
from mpmri_monai.experiments.texts import number, with_interval

SHOWN = 20
"""Candidates in the figure; the table has them all."""
SURE = ["95 % of ranks", "chance to win"]
"""Header of the last columns of `ranking_rows`."""


def ranking_rows(ranked: pd.DataFrame) -> list[list[str]]:
    """Return rank, name, value with interval and the columns of `SURE` of each row of `evaluation.ranking`."""
    return [
        [
            f"{row.rank:g}",
            row.name,
            with_interval(_with_ends(row)),
            f"{row.rank_low:.0f}–{row.rank_high:.0f}",
            f"{row.p_win:.3f}",
        ]
        for row in ranked.itertuples(index=False)
    ]


def choices_table(choices: Mapping[OuterFold, tuple[str, float, float]], column: str, metric: str) -> dict[str, Any]:
    """Return the table of what was chosen in each outer fold.

    Args:
        choices: name of the choice, its value on the inner folds, and the choice's on the outer fold's patients.
        column: what was chosen, in a word.
        metric: the values are of, in words.
    """
    return {
        "key": "choices",
        "title": "What was chosen in each outer fold",
        "caption": f"{metric}. The inner value belongs to the best of many and is too high for that reason.",
        "header": ["repeat.fold", column, "inner", "outer"],
        "rows": [
            [f"{fold.repeat + 1}.{fold.number + 1}", name, number(inner), number(outer)]
            for fold, (name, inner, outer) in choices.items()
        ],
    }


def wins_bars(ranked: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the bars of a figure of kind ``wins`` for the first `SHOWN` rows; ``ceiling`` may be among the columns."""
    return [
        {"name": row.name, "probability": row.p_win, **_with_ends(row)}
        | {"ceiling": or_none(row.ceiling) if "ceiling" in ranked else None}
        for row in ranked.head(SHOWN).itertuples(index=False)
    ]


def _with_ends(row: Any) -> dict[str, float | None]:
    return {key: or_none(getattr(row, key)) for key in ("value", "low", "high")}
