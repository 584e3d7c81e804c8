"""The label table: one row a lesion, as a hospital would write it in a spreadsheet."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from mpmri_monai.cohort.manifest import NAME_IN_WORDS, NAME_PATTERN, near_match
from mpmri_monai.errors import ConfigError, ManifestError
from mpmri_monai.sequences import GRADES

DEFAULT_CLASSES: Mapping[str, Sequence[str]] = {"grade": GRADES}
"""The label columns of a table for which no others are named."""

REQUIRED_COLUMNS = ("patient", "study", "site", "folder")
OPTIONAL_COLUMNS = ("lesion", "mask", "value", "segment", "roi", "drawn_on", "liver")
REGION_COLUMNS = ("value", "segment", "roi")
"""Which part of a mask is the lesion: a value (NIfTI), a segment (DICOM SEG) or an ROI (RTSTRUCT)."""

NAME_COLUMNS = ("patient", "study", "site", "lesion")

STUDY_COLUMNS = ("patient", "site", "folder", "liver")
"""Columns that say the same on every row of a study."""


def label_classes(options: Sequence[str]) -> Mapping[str, Sequence[str]]:
    """Return the classes of each label column, in order, from options such as ``grade=well,moderately,poorly``.

    Raises:
        ConfigError: an option that is no column with two or more different names of classes, or a column twice.
    """
    classes: dict[str, Sequence[str]] = {}
    for option in options:
        key, _, names = option.partition("=")
        values = [name.strip() for name in names.split(",")]
        named = all(re.match(NAME_PATTERN, name) for name in (key, *values))
        if not named or len(values) < 2 or len(set(values)) < len(values):
            raise ConfigError(
                expected="a label column and its classes in order, such as --classes grade=well,moderately,poorly",
                found=repr(option),
                fix=f"two or more different classes; column and classes are {NAME_IN_WORDS}",
            )
        if key in (*REQUIRED_COLUMNS, *OPTIONAL_COLUMNS):
            raise ConfigError(expected="a column of labels in --classes", found=f"{key}, which has another meaning")
        if key in classes:
            raise ConfigError(expected="each label column once in --classes", found=f"{key} twice")
        classes[key] = tuple(values)
    return classes or DEFAULT_CLASSES


def read_labels(path: Path | str, classes: Mapping[str, Sequence[str]], sequences: Sequence[str]) -> pd.DataFrame:
    """Read a label table and refuse what cannot be meant.

    Columns: ``patient, study, site, folder`` (of the study's DICOM or NIfTI files, or an archive of them, relative to
    the cohort), then optionally ``lesion, mask`` and one of ``value`` (NIfTI), ``segment`` (DICOM SEG) and ``roi``
    (RTSTRUCT), ``drawn_on, liver``, and one column for each key of ``classes``. A row without a lesion stands for a
    study without one; its labels are those of the study.

    Returns:
        The table as text, absent cells and absent optional columns empty.

    Raises:
        ManifestError: unreadable file, unknown or missing column, unknown label, repeated lesion, half a row.
    """
    path = Path(path)
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig", skipinitialspace=True)
    except OSError as error:
        raise ManifestError(
            expected="a label table that can be read", found=error.strerror or "no file", where=str(path)
        ) from error
    except (UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        where_it_breaks = str(error).rpartition(": ")[2]  # such as: Expected 11 fields in line 3, saw 12
        raise ManifestError(
            expected="a label table in CSV (comma-separated, UTF-8)",
            found=where_it_breaks if isinstance(error, pd.errors.ParserError) else "something else",
            where=str(path),
        ) from error
    if not isinstance(table.index, pd.RangeIndex):  # pandas takes what is too much on the left for names of the rows
        raise ManifestError(
            expected="no more cells in a row than the table has columns",
            found=f"{len(table.columns) + table.index.nlevels} cells under {len(table.columns)} columns",
            where=path.name,
            fix="leave no comma at the end of a row that the first line does not have",
            code="E_LABELS",
        )
    table = _without_blanks(table.rename(columns=str.strip).apply(lambda column: column.str.strip()))
    _check_columns(table, path, classes)
    for column in OPTIONAL_COLUMNS:
        if column not in table:
            table[column] = ""
    for number, row in zip(table.index + 2, table.to_dict("records"), strict=True):
        _check_row(row, f"{path.name}, line {number}", classes, sequences)
    _check_studies(table, path)
    return table


def _without_blanks(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table without rows and nameless columns that are empty, as spreadsheets leave them at its end."""
    empty = [str(name).startswith("Unnamed: ") and column.eq("").all() for name, column in table.items()]
    return table.loc[table.ne("").any(axis=1), ~np.array(empty, dtype=bool)]


def _check_columns(table: pd.DataFrame, path: Path, classes: Mapping[str, Sequence[str]]) -> None:
    needed = (*REQUIRED_COLUMNS, *classes)
    known = (*REQUIRED_COLUMNS, *OPTIONAL_COLUMNS, *classes)
    missing = [column for column in needed if column not in table]
    unknown = [str(column) for column in table if column not in known]
    if missing or unknown or table.columns.has_duplicates:
        raise ManifestError(
            expected=f"the columns {', '.join(needed)} and, as needed, {', '.join(OPTIONAL_COLUMNS)}",
            found=(f"unknown {', '.join(unknown)}" if unknown else f"no {', '.join(missing)}")
            if missing or unknown
            else "a column twice",
            where=path.name,
            fix=_column_fix(unknown, missing, known, classes),
            code="E_LABELS",
        )
    if table.empty:
        raise ManifestError(expected="one row a lesion", found="no row", where=path.name, code="E_LABELS")


def _column_fix(
    unknown: Sequence[str], missing: Sequence[str], known: Sequence[str], classes: Mapping[str, Sequence[str]]
) -> str | None:
    if any(";" in column or "\t" in column for column in unknown):
        return "save the table with commas between its cells"
    near = near_match(unknown[0], known) if unknown else None
    if near is None and (unknown or set(missing) & set(classes)):
        column = unknown[0] if unknown else "KEY"
        return f"if {column} is a column of labels, say its classes in order: --classes {column}=FIRST,SECOND,…"
    return near


def _check_row(row: dict[str, str], where: str, classes: Mapping[str, Sequence[str]], sequences: Sequence[str]) -> None:
    for column in REQUIRED_COLUMNS:
        if not row[column]:
            raise ManifestError(expected=f"a {column}", found="an empty cell", where=where, code="E_LABELS")
    for column in NAME_COLUMNS:
        # What stands there may identify somebody, so that it is not repeated.
        if row[column] and not re.match(NAME_PATTERN, row[column]):
            raise ManifestError(
                expected=f"a {column} of {NAME_IN_WORDS}", found="another text", where=where, code="E_LABELS"
            )
    for column, known in {**classes, "drawn_on": sequences}.items():
        if row[column] and row[column] not in known:
            raise ManifestError(
                expected=f"{column} to be one of {', '.join(known)}",
                found=repr(row[column]),
                where=where,
                fix=near_match(row[column], known),
                code="E_LABELS",
            )
    if row["lesion"]:
        given = [row[column] for column in REGION_COLUMNS if row[column]]
        if not row["mask"] or len(given) != 1:
            raise ManifestError(
                expected="a mask and either its value (NIfTI), its segment (DICOM SEG) or its roi (RTSTRUCT)",
                found=", ".join(f"{column} {row[column] or 'empty'}" for column in ("mask", *REGION_COLUMNS)),
                where=where,
                code="E_LABELS",
            )
        if not re.fullmatch(r"[1-9][0-9]{0,8}", given[0]):
            raise ManifestError(
                expected=f"{', '.join(REGION_COLUMNS)} to be a positive whole number",
                found=repr(given[0]),
                where=where,
                code="E_LABELS",
            )
    elif row["mask"] or any(row[column] for column in REGION_COLUMNS):
        raise ManifestError(expected="the name of the lesion", found="a mask without one", where=where, code="E_LABELS")


def _check_studies(table: pd.DataFrame, path: Path) -> None:
    """A study's rows agree on everything but the lesions, and no lesion or folder serves twice."""
    for study, rows in table.groupby("study", sort=False):
        for column in STUDY_COLUMNS:
            if rows[column].nunique() > 1:
                raise ManifestError(
                    expected=f"one {column} on all rows of a study",
                    found=", ".join(value or "empty" for value in rows[column].unique()),
                    where=f"{path.name}, study {study}",
                    code="E_LABELS",
                )
        if rows["lesion"].eq("").any() and rows["lesion"].ne("").any():
            raise ManifestError(
                expected="a lesion on every row of a study that has lesions",
                found="a row without a lesion among them",
                where=f"{path.name}, study {study}",
                fix="give the row its lesion and mask, or take it out: such a row labels a study without lesions",
                code="E_LABELS",
            )
        repeated = rows.loc[rows["lesion"].duplicated(), "lesion"]
        if len(repeated):
            raise ManifestError(
                expected="each lesion of a study once",
                found=f"{repeated.iloc[0] or 'a row without a lesion'} twice",
                where=f"{path.name}, study {study}",
                code="E_LABELS",
            )
    folders = table.drop_duplicates("study").set_index("study")["folder"]
    shared = folders[folders.duplicated(keep=False)]
    if len(shared):
        raise ManifestError(
            expected="a folder of its own for every study",
            found=f"{shared.iloc[0]} for studies {', '.join(shared.index[shared == shared.iloc[0]])}",
            where=path.name,
            code="E_LABELS",
        )
