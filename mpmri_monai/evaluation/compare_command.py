"""``mpmri compare``: is one model better than another on the same patients, or does it only look so?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from mpmri_monai import sequences
from mpmri_monai.artefacts import write_json
from mpmri_monai.errors import EvaluationError
from mpmri_monai.evaluation.comparison import compare_many
from mpmri_monai.evaluation.levels import UNIT
from mpmri_monai.evaluation.predictions import PROBABILITY, read_predictions

FILE = "predictions.csv"


def compare_command(places: Sequence[Path], level: str, output: Path | None) -> int:
    """Compare models with the first one, print the differences, and return the exit status.

    Args:
        places: for each model a predictions table, a run folder, or a folder of runs (folds and repeats of one model).
        level: ``slice``, ``lesion`` or ``patient``.
        output: JSON file for everything that was found, or None.

    Raises:
        EvaluationError: fewer than two models, no predictions, or models that were not tested on the same units.
    """
    if len(places) < 2 or level not in UNIT:
        raise EvaluationError(
            expected=f"two models or more, and a level among {', '.join(UNIT)}",
            found=f"{len(places)} models, level {level!r}",
            code="E_OPTION",
        )
    tables = dict(zip(_names(places), map(model_predictions, places), strict=True))
    tasks = sorted({name for table in tables.values() for name in table["task"]})
    if len(tasks) != 1:
        raise EvaluationError(expected="models of one task", found=", ".join(tasks) or "no prediction")
    reference = next(iter(tables))
    classes = [column.removeprefix(PROBABILITY) for column in tables[reference] if column.startswith(PROBABILITY)]
    found = compare_many(tables, reference, sequences.task(tasks[0], {tasks[0]: classes}), level)
    _print(found, level)
    if output is not None:
        write_json(output, found)
        print(f"Wrote {output}")
    return 0


def model_predictions(place: Path) -> pd.DataFrame:
    """Return the predictions of one model: of a table, of a run, or of all runs below a folder.

    Raises:
        EvaluationError: there are none, or one fit is there twice.
    """
    if place.is_file():
        return read_predictions(place)
    paths = [place / FILE] if (place / FILE).is_file() else sorted(place.glob(f"**/{FILE}"))
    if not paths:
        raise EvaluationError(
            expected=f"a run folder or a folder of runs with {FILE}",
            found="none",
            where=str(place),
            fix="train first, or name the folder of the runs",
            code="E_RUN",
        )
    pooled = pd.concat([read_predictions(path) for path in paths], ignore_index=True)
    twice = int(pooled.duplicated(["repeat", "outer", "inner", "role", "patient", "study", "lesion", "sample"]).sum())
    if twice:
        raise EvaluationError(
            expected="runs of one model, each another fold or repeat",
            found=f"{len(paths)} runs with {twice} predictions twice",
            where=str(place),
            fix="name the folder of one model, such as OUT/runs/<cell>",
        )
    return pooled


def _names(places: Sequence[Path]) -> list[str]:
    """Return the shortest ends of the paths that tell the models apart."""
    parts = [place.resolve().parts for place in places]
    for length in range(1, max(map(len, parts)) + 1):
        names = ["/".join(one[-length:]) for one in parts]
        if len(set(names)) == len(names):
            return names
    raise EvaluationError(expected="different models", found="the same place twice")


def _print(found: dict[str, Any], level: str) -> None:
    console = Console()
    first = found["comparisons"][0]
    table = Table(
        Column("model", overflow="fold"), "metric", "value", "reference", "difference", "p", "p (Holm)",
        title=f"Against {escape(found['reference'])}: {first['n']} {level}s of {first['patients']} patients",
        caption=f"With 95 % interval; {first['method']}. {found['correction']}; "
        f"{first['limits']}. Research use only.",
    )  # fmt: skip
    for one in found["comparisons"]:
        for metric, values in one["metrics"].items():
            table.add_row(
                escape(one["name"]),
                metric.replace("_", " "),
                _number(values["a"]),
                _number(values["b"]),
                _difference(values),
                _number(values["p"], 4),
                _number(values["p_holm"], 4),
            )
    console.print(table)
    for one in found["comparisons"]:
        name, mcnemar = escape(one["name"]), one["mcnemar"]
        if mcnemar["p"] is None:
            console.print(f"{name}: McNemar's test is not given: {mcnemar['why']}", highlight=False)
        else:
            console.print(
                f"{name}: right where the reference is wrong {mcnemar['only_a']}, the other way round "
                f"{mcnemar['only_b']}; McNemar's exact p {_number(mcnemar['p'])}",
                highlight=False,
            )


def _difference(values: dict[str, float | None]) -> str:
    if values["low"] is None or values["high"] is None:
        return f"{_number(values['difference'])}, no interval"
    return f"{_number(values['difference'])} \\[{_number(values['low'])}, {_number(values['high'])}]"


def _number(value: float | None, decimals: int = 3) -> str:
    return "–" if value is None else f"{value:.{decimals}f}"
