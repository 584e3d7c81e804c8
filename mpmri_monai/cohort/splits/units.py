"""What is divided: patients, or (to replicate published protocols) lesions or samples, each with its worst class."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from mpmri_monai.cohort.splits.table import UNITS
from mpmri_monai.errors import SplitError


def patient_table(rows: pd.DataFrame, classes: Sequence[str]) -> pd.DataFrame:
    """Return one row a patient: ``patient, label, holds, site``, sorted by patient; see `unit_table`."""
    return unit_table(rows, classes, "patient")


def unit_table(rows: pd.DataFrame, classes: Sequence[str], unit: str) -> pd.DataFrame:
    """Return one row a unit: the columns that name it, ``label``, ``holds`` and ``site``, sorted by name.

    Args:
        rows: one row a lesion or sample, with at least the unit's columns, ``label`` and ``site``.
        classes: the classes in order; the last one is the worst.
        unit: ``patient``, ``lesion`` or ``sample``.

    Returns:
        ``label`` is the worst class among the unit's rows, ``holds`` all its classes in order, joined by blanks, and
        ``site`` its sites, joined by blanks.

    Raises:
        SplitError: a row without a known label, or a class that no row has.
    """
    unknown = sorted(set(rows["label"]) - set(classes))
    if unknown:
        raise SplitError(
            expected=f"every row to be labelled {', '.join(classes)}",
            found=", ".join(repr(name) for name in unknown),
            fix="leave unlabelled lesions out before splitting",
        )
    absent = [name for name in classes if name not in set(rows["label"])]
    if absent:
        raise SplitError(
            expected="patients of every class", found=f"none of class {', '.join(absent)}", code="E_CLASS_EMPTY"
        )
    rank = {name: index for index, name in enumerate(classes)}
    key = UNITS[unit]
    records = []
    for names, held in rows.groupby(key, sort=True):
        labels = sorted(set(held["label"]), key=rank.__getitem__)
        records.append((*map(str, names), labels[-1], " ".join(labels), " ".join(sorted(set(held["site"])))))
    return pd.DataFrame(records, columns=[*key, "label", "holds", "site"])


def unit_of(units: pd.DataFrame) -> str:
    """Return what the rows of ``units`` are."""
    return next(unit for unit in reversed(UNITS) if set(UNITS[unit]) <= set(units.columns))
