"""The splits table: which unit has which role in which fit; read, written, hashed and looked up."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from mpmri_monai.artefacts import whole_file
from mpmri_monai.errors import LeakageError, ManifestError, SplitError

COLUMNS = ("unit", "patient", "lesion", "sample", "repeat", "outer", "inner", "role")
ROLES = ("train", "val", "test")
UNITS = {"patient": ["patient"], "lesion": ["patient", "lesion"], "sample": ["patient", "lesion", "sample"]}
"""What is divided, and the columns that name one of it."""
NOT_DISJOINT = "not patient-disjoint"
"""What everything made from another unit than the patient says."""
FIT = ["repeat", "outer", "inner"]
OUTER_FIT = ""
"""The ``inner`` of the fit that is scored on its test patients."""


def roles_of(splits: pd.DataFrame, repeat: int = 0, outer: int = 0, inner: str = OUTER_FIT) -> dict[str, str]:
    """Return the role of each patient in one fit.

    Args:
        splits: a splits table of patients.
        repeat, outer: the repeat and its fold.
        inner: "" for the outer fit, or the number of an inner fold.

    Raises:
        SplitError: the table has no such fit, or divides lesions or samples, so that patients have no one role.
        LeakageError: a patient has two roles in it.
    """
    fit = _fit(splits, repeat, outer, inner)
    if (fit["unit"] != "patient").any():
        raise SplitError(expected="a split of patients", found=f"one of {fit['unit'].iloc[0]}s: {NOT_DISJOINT}")
    return {str(patient): role for patient, role in _roles(fit, UNITS["patient"]).items()}


def row_roles(
    rows: pd.DataFrame, splits: pd.DataFrame, repeat: int = 0, outer: int = 0, inner: str = OUTER_FIT
) -> pd.Series:
    """Return the role of each of ``rows`` (patient, lesion, sample) in one fit; NaN for those that have none.

    Raises:
        SplitError, LeakageError: as `roles_of`; another unit than the patient is looked up by its own columns.
    """
    fit = _fit(splits, repeat, outer, inner)
    key = UNITS[fit["unit"].iloc[0]]
    roles = _roles(fit, key)
    names = rows["patient"] if len(key) == 1 else pd.MultiIndex.from_frame(rows[key])
    return pd.Series(names.map(roles), index=rows.index, name="role", dtype=object)


def check_splits(splits: pd.DataFrame, patients: Iterable[str], unit: str) -> None:
    """Check a splits table that was made elsewhere against the cohort it is used with.

    Args:
        splits: the table.
        patients: all patients of the cohort.
        unit: what it has to divide.

    Raises:
        SplitError: it divides something else, names patients that the cohort does not have, or one unit twice.
        LeakageError: a unit has two roles in one fit, or an inner fit holds a test patient of its outer fit.
    """
    units = sorted(set(splits["unit"]))
    if units != [unit]:
        raise SplitError(
            expected=f"a split of {unit}s, as --split#unit says",
            found=f"one of {' and '.join(units)}s",
            fix=None if unit != "patient" else f"--split#unit {units[0]}; its results will say: {NOT_DISJOINT}",
            code="E_SPLITS",
        )
    unknown = sorted(set(splits["patient"]) - set(patients))
    if unknown:
        raise SplitError(
            expected="splits of this cohort's patients",
            found=f"{len(unknown)} of {splits['patient'].nunique()} that it does not have, such as {unknown[0]}",
            fix="use the splits with the cohort they were made for",
            code="E_SPLITS",
        )
    for (repeat, outer, inner), fit in splits.groupby(FIT, sort=True):
        _roles(fit, UNITS[unit])
        twice = int(fit.duplicated(UNITS[unit]).sum())
        if twice:
            raise SplitError(
                expected=f"every {unit} once in a fit",
                found=f"{twice} rows too many in repeat {repeat}, fold {outer}",
                code="E_SPLITS",
            )
        if inner != OUTER_FIT:
            tested = {name for name, role in roles_of(splits, repeat, outer).items() if role == "test"}
            seen = len(tested & set(fit["patient"]))
            if seen or (fit["role"] == "test").any():
                raise LeakageError(
                    expected="inner fits without the test patients of their outer fit",
                    found=f"{seen} of {len(tested)} in repeat {repeat}, fold {outer}, inner fold {inner}",
                    code="E_LEAK_ROLES",
                )


def write_splits(path: Path | str, splits: pd.DataFrame) -> None:
    """Write a splits table, whole or not at all; the same table always gives the same bytes."""
    with whole_file(path) as part:
        part.write_bytes(_as_bytes(splits))


def splits_digest(splits: pd.DataFrame) -> str:
    """Return the sha256 in hex of the table as `write_splits` writes it."""
    return hashlib.sha256(_as_bytes(splits)).hexdigest()


def read_splits(path: Path | str) -> pd.DataFrame:
    """Read a splits table; ``repeat`` and ``outer`` are integers, everything else is text.

    Raises:
        ManifestError: the file is missing or is no splits table.
    """
    path = Path(path)
    try:
        splits = pd.read_csv(path, dtype=str, keep_default_na=False)
        if tuple(splits.columns) != COLUMNS:
            raise ValueError(f"the columns {', '.join(map(str, splits.columns))}")
        for column, known in {"unit": tuple(UNITS), "role": ROLES}.items():
            if unknown := sorted(set(splits[column]) - set(known)):
                raise ValueError(f"{column} {unknown[0]!r}, which is not one of {', '.join(known)}")
        if unknown := sorted(name for name in set(splits["inner"]) if name != OUTER_FIT and not name.isdecimal()):
            raise ValueError(f"inner {unknown[0]!r}, which is neither empty nor the number of an inner fold")
        if splits.empty or (splits["patient"] == "").any():
            raise ValueError("no row, or a row without a patient")
        return splits.astype({"repeat": int, "outer": int})
    except (OSError, ValueError, OverflowError) as error:
        raise ManifestError(
            expected=f"a splits table with the columns {','.join(COLUMNS)}",
            found=(error.strerror or "no file") if isinstance(error, OSError) else str(error),
            where=str(path),
            code="E_SPLITS",
        ) from error


def _fit(splits: pd.DataFrame, repeat: int, outer: int, inner: str) -> pd.DataFrame:
    fit = splits[(splits["repeat"] == repeat) & (splits["outer"] == outer) & (splits["inner"] == inner)]
    if fit.empty:
        wanted = f"repeat {repeat}, fold {outer}" + (f", inner fold {inner}" if inner else "")
        there = splits.loc[splits["inner"] == OUTER_FIT, ["repeat", "outer"]].drop_duplicates()
        raise SplitError(
            expected=f"{wanted} among the splits",
            found=f"{there['repeat'].nunique()} repeats with folds 0 to {there['outer'].max()}"
            + (f", {splits['inner'].nunique() - 1} inner folds" if inner else ""),
            fix="raise --split#repeats, --split#folds or --split#inner_folds, which say how many are made",
        )
    return fit


def _roles(fit: pd.DataFrame, key: list[str]) -> pd.Series:
    """Return the role of each unit of one fit, by its key."""
    pairs = fit[[*key, "role"]].drop_duplicates()
    doubled = sorted(set(pairs.loc[pairs.duplicated(key), "patient"]))
    if doubled:
        raise LeakageError(
            expected=f"every {key[-1]} in one role",
            found=f"{len(doubled)} patients in two, such as {', '.join(doubled[:3])}",
            where=f"splits, repeat {fit['repeat'].iloc[0]}, fold {fit['outer'].iloc[0]}",
            fix="split by patient",
            code="E_LEAK_ROLES",
        )
    return pairs.set_index(key if len(key) > 1 else key[0])["role"]


def _as_bytes(splits: pd.DataFrame) -> bytes:
    text = io.StringIO()
    splits[list(COLUMNS)].to_csv(text, index=False, lineterminator="\n")
    return text.getvalue().encode()
