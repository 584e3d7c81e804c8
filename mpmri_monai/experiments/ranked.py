"""Candidates in the order of their inner folds, as rows of a table and bars of a figure: how sure the order is."""

from __future__ import annotations

from typing import Any

import pandas as pd

from mpmri_monai.evaluation.scored import or_none
from mpmri_monai.experiments.texts import with_interval

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


def wins_bars(ranked: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the bars of a figure of kind ``wins`` for the first `SHOWN` rows; ``ceiling`` may be among the columns."""
    return [
        {"name": row.name, "probability": row.p_win, **_with_ends(row)}
        | {"ceiling": or_none(row.ceiling) if "ceiling" in ranked else None}
        for row in ranked.head(SHOWN).itertuples(index=False)
    ]


def _with_ends(row: Any) -> dict[str, float | None]:
    return {key: or_none(getattr(row, key)) for key in ("value", "low", "high")}
