"""How often the intervals hold the true value, by simulation."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pandas as pd

KINDS = ("sensitivity_", "specificity_", "auc_", "average_precision_")
"""Beginnings of the metrics that there are of each class."""

TABLE = Path(__file__).parent / "coverage.csv"
"""Written by ``benchmarks/coverage.py``: ``scenario, metric, patients, data_sets, true, covered, percentile,
none``."""


def coverage(metric: str, patients: int) -> float | None:
    """Return the share of simulated data sets whose 95 % interval of ``metric`` held the true value.

    The lowest over the scenarios of the simulation, for the largest number of patients a class that is simulated and
    not above ``patients``: the quoted share never stands for more patients than there are.

    Args:
        metric: a name as in `evaluate`; one of a class that was not simulated stands for its
            kind, such as ``auc_unhealthy`` for the AUC of any class.
        patients: number in the class that has the fewest.

    Returns:
        None for a metric without interval, or fewer patients than were simulated.
    """
    table = _table()
    of_metric = table["metric"] == metric
    if not of_metric.any():
        kind = next((kind for kind in KINDS if metric.startswith(kind)), None)
        of_metric = table["metric"].str.startswith(kind) if kind else of_metric
    rows = table[of_metric & (table["patients"] <= patients)]
    rows = rows[rows["patients"] == rows["patients"].max()].dropna(subset="covered")
    return None if rows.empty else float(rows["covered"].min())


@cache
def _table() -> pd.DataFrame:
    return pd.read_csv(TABLE)
