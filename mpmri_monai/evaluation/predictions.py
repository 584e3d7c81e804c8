"""The predictions table: what every model writes, and the only thing that evaluation reads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from mpmri_monai.artefacts import whole_file
from mpmri_monai.cohort.splits import ROLES
from mpmri_monai.errors import EvaluationError

KEY_COLUMNS = ("task", "patient", "study", "lesion", "sample", "site", "repeat", "outer", "inner", "role", "label")
INTEGER_COLUMNS = ("repeat", "outer")
ROW_ORDER = ("repeat", "outer", "inner", "role", "patient", "study", "lesion", "sample")
PROBABILITY = "p_"
PRESENT = "present_"

DECIMALS = 8
"""Written digits of a probability: more than float32 holds, fewer than would show the noise of float64 sums."""


def write_predictions(path: Path | str, predictions: pd.DataFrame) -> None:
    """Write a predictions table, whole or not at all; the same rows in any order give the same bytes.

    Args:
        path: of the CSV file.
        predictions: `KEY_COLUMNS`, then ``p_<class>`` in [0, 1] and ``present_<sequence>`` (bool), in their order.

    Raises:
        EvaluationError: a column is missing or unknown, or a row is there twice.
        OutputError: the file cannot be written.
    """
    checked = check_predictions(predictions, "the predictions to write")
    probabilities, present = _prefixed(checked, PROBABILITY), _prefixed(checked, PRESENT)
    table = checked[[*KEY_COLUMNS, *probabilities, *present]].sort_values(list(ROW_ORDER), kind="stable")
    for column in probabilities:
        table[column] = [f"{value:.{DECIMALS}f}" for value in table[column]]
    for column in present:
        table[column] = table[column].astype(int)
    with whole_file(path) as part:
        table.to_csv(part, index=False, lineterminator="\n", encoding="utf-8")


def read_predictions(path: Path | str) -> pd.DataFrame:
    """Read a predictions table; names are text, ``repeat`` and ``outer`` integers, ``present_…`` bool.

    Raises:
        EvaluationError: the file is missing or is no predictions table.
    """
    path = Path(path)
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise EvaluationError(
            expected="a predictions table in CSV",
            found=(error.strerror or "no file") if isinstance(error, OSError) else "something else",
            where=str(path),
        ) from error
    return check_predictions(table, str(path))


def class_names(predictions: pd.DataFrame) -> tuple[str, ...]:
    """Return the classes of a predictions table in the order of its columns."""
    return tuple(column.removeprefix(PROBABILITY) for column in _prefixed(predictions, PROBABILITY))


def _prefixed(table: pd.DataFrame, prefix: str) -> list[str]:
    return [column for column in table.columns if column.startswith(prefix)]


def check_predictions(table: pd.DataFrame, where: str) -> pd.DataFrame:
    """Return a predictions table with its types set; ``where`` says whose it is.

    Raises:
        EvaluationError: a column is missing, unknown or of another type, a role is none, or a row is there twice.
    """
    probabilities, present = _prefixed(table, PROBABILITY), _prefixed(table, PRESENT)
    missing = [column for column in KEY_COLUMNS if column not in table]
    unknown = [str(column) for column in table if column not in (*KEY_COLUMNS, *probabilities, *present)]
    if missing or unknown or not probabilities:
        raise EvaluationError(
            expected=f"the columns {', '.join(KEY_COLUMNS)}, p_<class>…, present_<sequence>…",
            found=f"unknown {', '.join(unknown)}" if unknown else f"no {', '.join(missing) or 'p_<class>'}",
            where=where,
        )
    if table[list(KEY_COLUMNS)].isna().to_numpy().any():
        raise EvaluationError(expected="empty text where there is no value", found="NaN or None", where=where)
    texts = [column for column in KEY_COLUMNS if column not in INTEGER_COLUMNS]
    try:
        typed = table.astype(dict.fromkeys(texts, str) | dict.fromkeys(INTEGER_COLUMNS, int))
        typed = typed.astype(dict.fromkeys(probabilities, np.float64))
        typed = typed.astype(dict.fromkeys(present, int)).astype(dict.fromkeys(present, bool))
    except (ValueError, OverflowError) as error:
        raise EvaluationError(
            expected="repeat and outer as whole numbers, p_… as numbers, present_… as 1 or 0",
            found=str(error),
            where=where,
        ) from error
    for column, known, expected in (
        ("role", typed["role"].isin(ROLES), f"a role among {', '.join(ROLES)}"),
        ("inner", typed["inner"].str.fullmatch(r"\d*"), "an inner fold's number, or nothing for an outer fit"),
    ):
        if not known.all():
            found = ", ".join(map(repr, sorted(set(typed.loc[~known, column]))[:3]))
            raise EvaluationError(expected=expected, found=f"{found} in {int((~known).sum())} rows", where=where)
    repeated = typed.duplicated(list(ROW_ORDER))
    if repeated.any():
        first = typed[repeated].iloc[0]
        raise EvaluationError(
            expected="each sample once in every fit",
            found=f"{int(repeated.sum())} again, such as lesion {first['lesion']}, sample {first['sample']!r}",
            where=where,
            fix="average augmented copies before writing them; a copy is not a sample",
        )
    return typed
