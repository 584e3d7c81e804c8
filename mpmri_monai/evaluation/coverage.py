"""How often the intervals hold the true value, by simulation."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pandas as pd

TABLE = Path(__file__).parent / "coverage.csv"
"""Written by ``benchmarks/coverage.py``: ``scenario, metric, patients, data_sets, covered, none``."""


def coverage(metric: str, patients: int) -> float | None:
    """Return the share of simulated data sets whose 95 % interval of ``metric`` held the true value.

    The lowest over the scenarios of the simulation, for the largest number of patients a class that is simulated and
    not above ``patients``: the quoted share never stands for more patients than there are.

    Args:
        metric: a name as in `evaluate`; one of a class, such as ``auc_poorly``, stands for its kind.
        patients: number in the class that has the fewest.

    Returns:
        None for a metric without interval, or fewer patients than were simulated.
    """
    table = _table()
    rows = table[(table["metric"] == _kind(metric, set(table["metric"]))) & (table["patients"] <= patients)]
    rows = rows[rows["patients"] == rows["patients"].max()].dropna(subset="covered")
    return None if rows.empty else float(rows["covered"].min())


@cache
def _table() -> pd.DataFrame:
    return pd.read_csv(TABLE)


def _kind(metric: str, kinds: set[str]) -> str:
    """Return the metric, or for one of a class that was not simulated the kind that it belongs to."""
    if metric in kinds:
        return metric
    return next(
        (kind for kind in ("sensitivity", "specificity", "auc", "average_precision") if metric.startswith(kind)), metric
    )
