"""Which of the paper's differences hold on the same patients: fusions, pooling, width, paired and corrected."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from mpmri_monai.evaluation.comparison import compare_many
from mpmri_monai.experiments.paired_protocols import Pair
from mpmri_monai.experiments.published import DETECTOR, GRADER, TABLES, Model, Table
from mpmri_monai.experiments.summary import NOTHING
from mpmri_monai.experiments.texts import with_interval

LEVEL = "lesion"
METRICS = ("accuracy", "macro_auc")
BOOTSTRAPS = 1000
REFERENCES = {4: DETECTOR, 5: DETECTOR, 6: GRADER, 7: GRADER}
"""What the models of each table are compared with: the one that the paper takes on to its next table."""


def comparisons(pairs: Mapping[Model, Pair]) -> list[dict[str, Any]]:
    """Return flat records of each table's models against its reference, patients apart, lesions."""
    return [record for table in TABLES for record in _of_table(table, pairs)]


def _of_table(table: Table, pairs: Mapping[Model, Pair]) -> list[dict[str, Any]]:
    names = {row.model: row.name for row in table.rows if row.model in pairs}
    reference = REFERENCES[table.number]
    if reference not in names:
        return []
    units = tested_units(pairs[reference].patient_predictions)
    tables = {name: pairs[model].patient_predictions for model, name in names.items()}
    tables = {name: one for name, one in tables.items() if tested_units(one) == units}
    if len(tables) < 2:
        return []
    pair = pairs[reference]
    found = compare_many(
        tables, names[reference], pair.task, LEVEL, metrics=METRICS, bootstraps=BOOTSTRAPS, seed=pair.context.seed
    )
    return [
        {
            "table": f"Table {table.number}",
            "model": one["name"],
            "against": found["reference"],
            "metric": metric.replace("_", " "),
            "difference, lesions, patients apart": with_interval(values, "difference"),
            "p": _p(values["p"]),
            "p (Holm, within the table)": _p(values["p_holm"]),
        }
        for one in found["comparisons"]
        for metric, values in one["metrics"].items()
    ]


def tested_units(predictions: pd.DataFrame) -> set[tuple[Any, ...]]:
    """Return what a model was tested on: lesions by repetition. Only models that share it can be compared."""
    tested = predictions[predictions["role"] == "test"]
    return set(tested[["repeat", "outer", "patient", "study", "lesion"]].itertuples(index=False, name=None))


def _p(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.3f}"
