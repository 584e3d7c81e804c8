"""Splits: which patient trains, validates and tests. Nothing else in the project divides patients."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from mpmri_monai.artefacts import whole_file
from mpmri_monai.errors import LeakageError, ManifestError, SplitError

COLUMNS = ("unit", "patient", "lesion", "sample", "repeat", "outer", "inner", "role")
ROLES = ("train", "val", "test")
UNITS = ("patient", "lesion", "sample")


def patient_table(rows: pd.DataFrame, classes: Sequence[str]) -> pd.DataFrame:
    """Return one row a patient: ``patient, label, holds, site``, sorted by patient.

    Args:
        rows: one row a lesion or sample, with at least ``patient, label, site``.
        classes: the classes in order; the last one is the worst.

    Returns:
        ``label`` is the worst class among the patient's lesions, ``holds`` all its classes in order, joined by blanks.

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
    records = []
    for patient, lesions in rows.groupby("patient", sort=True):
        held = sorted(set(lesions["label"]), key=rank.__getitem__)
        records.append(
            {
                "patient": str(patient),
                "label": held[-1],
                "holds": " ".join(held),
                "site": " ".join(sorted(set(lesions["site"]))),
            }
        )
    return pd.DataFrame(records, columns=["patient", "label", "holds", "site"])


def holdout(
    patients: pd.DataFrame, *, test: float = 0.4, val: float = 0.15, repeats: int = 1, seed: int = 0
) -> pd.DataFrame:
    """Divide the patients ``repeats`` times at random into train, val and test, stratified by worst class.

    Args:
        patients: from `patient_table`; the order of its rows does not matter.
        test: share of all patients; 0.4 is the 3:2 of Jia et al. 2019.
        val: share of the patients that are not in test; 0 for no validation set.
        repeats: number of independent divisions.
        seed: the same seed gives the same splits.

    Returns:
        A splits table with columns `COLUMNS`, ``outer`` 0.

    Raises:
        SplitError: a share or a count out of range, or a class with too few patients for every role to hold one.
    """
    _check_shares(test=test, val=val, repeats=repeats)
    shares = {"train": (1 - test) * (1 - val), "val": (1 - test) * val, "test": test}
    return _table(
        patients,
        [(repeat, 0, _divide(patients, shares, np.random.default_rng([seed, repeat]))) for repeat in range(repeats)],
    )


def kfold(
    patients: pd.DataFrame, *, folds: int = 5, val: float = 0.15, repeats: int = 1, seed: int = 0
) -> pd.DataFrame:
    """Let every patient be tested once in each repeat, in ``folds`` folds stratified by worst class.

    Args:
        patients: from `patient_table`; the order of its rows does not matter.
        folds: number of outer folds.
        val: share of the patients that are not in the fold's test set; 0 for no validation set.
        repeats: number of independent divisions into folds.
        seed: the same seed gives the same splits.

    Returns:
        A splits table with columns `COLUMNS`, ``outer`` 0 … folds - 1.

    Raises:
        SplitError: a share or a count out of range, or a class with too few patients for every role to hold one.
    """
    _check_shares(val=val, repeats=repeats)
    if folds < 2:
        raise SplitError(expected="at least 2 folds", found=str(folds))
    parts = []
    for repeat in range(repeats):
        rng = np.random.default_rng([seed, repeat])
        fold_of = _deal(patients, folds, rng)
        for outer in range(folds):
            rest = patients[patients["patient"].map(fold_of) != outer]
            roles = _divide(rest, {"train": 1 - val, "val": val}, rng)
            roles |= {patient: "test" for patient, fold in fold_of.items() if fold == outer}
            parts.append((repeat, outer, roles))
    return _table(patients, parts)


def roles_of(splits: pd.DataFrame, repeat: int = 0, outer: int = 0) -> dict[str, str]:
    """Return the role of each patient in the outer fit of one repeat and fold.

    Raises:
        SplitError: the table has no such repeat and fold.
        LeakageError: a patient has two roles in it.
    """
    rows = splits[(splits["repeat"] == repeat) & (splits["outer"] == outer) & (splits["inner"] == "")]
    if rows.empty:
        raise SplitError(expected=f"repeat {repeat}, fold {outer} among the splits", found="no row of it")
    pairs = rows[["patient", "role"]].drop_duplicates()
    doubled = sorted(pairs.loc[pairs["patient"].duplicated(), "patient"])
    if doubled:
        raise LeakageError(
            expected="every patient in one role",
            found=f"{len(doubled)} in two, such as {', '.join(doubled[:3])}",
            where=f"splits, repeat {repeat}, fold {outer}",
            fix="split by patient",
            code="E_LEAK",
        )
    return dict(zip(pairs["patient"], pairs["role"], strict=True))


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
        for column, known in {"unit": UNITS, "role": ROLES}.items():
            if unknown := sorted(set(splits[column]) - set(known)):
                raise ValueError(f"{column} {unknown[0]!r}, which is not one of {', '.join(known)}")
        if splits.empty or (splits["patient"] == "").any():
            raise ValueError("no row, or a row without a patient")
        return splits.astype({"repeat": int, "outer": int})
    except (OSError, ValueError) as error:
        raise ManifestError(
            expected=f"a splits table with the columns {','.join(COLUMNS)}",
            found=(error.strerror or "no file") if isinstance(error, OSError) else str(error),
            where=str(path),
            code="E_SPLITS",
        ) from error


def _divide(patients: pd.DataFrame, shares: dict[str, float], rng: np.random.Generator) -> dict[str, str]:
    """Return a role for each patient: in every class the shares, rounded, and nobody's share is empty."""
    shares = {role: share for role, share in shares.items() if share > 0}
    roles: dict[str, str] = {}
    for members in _strata(patients, len(shares), f"one patient of every class in {', '.join(shares)}").values():
        counts = _apportion(len(members), list(shares.values()))
        drawn = np.repeat(list(shares), counts)
        roles |= dict(zip(rng.permutation(members).tolist(), drawn.tolist(), strict=True))
    return roles


def _deal(patients: pd.DataFrame, folds: int, rng: np.random.Generator) -> dict[str, int]:
    """Return a fold for each patient: in every class, and over all, the sizes of the folds differ by at most one."""
    fold_of: dict[str, int] = {}
    for members in _strata(patients, folds, f"one patient of every class in each of {folds} folds").values():
        # Each class begins where the one before stopped, so that the remainders spread over the folds.
        start = len(fold_of)
        shuffled = rng.permutation(members).tolist()
        fold_of |= {patient: (start + position) % folds for position, patient in enumerate(shuffled)}
    return fold_of


def _strata(patients: pd.DataFrame, least: int, wish: str) -> dict[str, list[str]]:
    """Return the sorted patients of each class; the result does not depend on the order of the rows."""
    if patients["patient"].duplicated().any():
        raise SplitError(expected="one row a patient", found="a patient twice", fix="make the table with patient_table")
    strata = {str(label): sorted(rows["patient"]) for label, rows in patients.groupby("label", sort=True)}
    if not strata or min(map(len, strata.values())) < least:
        counts = ", ".join(f"{label} {len(members)}" for label, members in strata.items())
        raise SplitError(
            expected=f"at least {wish}",
            found=f"patients by worst class: {counts or 'none'}",
            fix="ask for fewer parts, or merge classes",
            code="E_CLASS_EMPTY",
        )
    return strata


def _apportion(total: int, shares: Sequence[float]) -> np.ndarray:
    """Divide ``total`` by largest remainder; an empty part then takes one from the part most above its share."""
    wanted = total * np.asarray(shares) / np.sum(shares)
    # Rounding first: 0.6 * 0.85 * 20 = 10.2 is 10.199999… or 10.200000…1 depending on how it is written.
    counts = np.floor(np.round(wanted, 9)).astype(int)
    remainders = np.round(wanted - counts, 9)
    counts[np.argsort(-remainders, kind="stable")[: total - counts.sum()]] += 1
    while counts.min() == 0:
        giver = np.argmax(np.where(counts > 1, counts - wanted, -np.inf))
        counts[np.argmin(counts)] += 1
        counts[giver] -= 1
    return counts


def _table(patients: pd.DataFrame, parts: list[tuple[int, int, dict[str, str]]]) -> pd.DataFrame:
    held = dict(zip(patients["patient"], patients["holds"], strict=True))
    records = []
    for repeat, outer, roles in parts:
        _check_every_role_holds_every_class(roles, held)
        for patient in sorted(roles):
            records.append(("patient", patient, "", "", repeat, outer, "", roles[patient]))
    return pd.DataFrame(records, columns=list(COLUMNS))


def _check_every_role_holds_every_class(roles: dict[str, str], held: dict[str, str]) -> None:
    """A class that is nobody's worst is not stratified for, so that it may be missing from a role."""
    classes = {name for holds in held.values() for name in holds.split()}
    for role in sorted(set(roles.values())):
        there = {name for patient, given in roles.items() if given == role for name in held[patient].split()}
        if there != classes:
            counts = {name: sum(name in holds.split() for holds in held.values()) for name in sorted(classes)}
            raise SplitError(
                expected=f"a lesion of every class in {role}",
                found=f"none of {', '.join(sorted(classes - there))}; patients that hold each class: "
                + ", ".join(f"{name} {count}" for name, count in counts.items()),
                fix="another seed, fewer parts or merged classes",
                code="E_CLASS_EMPTY",
            )


def _check_shares(*, val: float, repeats: int, test: float = 0.5) -> None:
    if not 0 < test < 1 or not 0 <= val < 1:
        raise SplitError(expected="0 < test < 1 and 0 <= val < 1", found=f"test {test}, val {val}")
    if repeats < 1:
        raise SplitError(expected="at least 1 repeat", found=str(repeats))


def _as_bytes(splits: pd.DataFrame) -> bytes:
    text = io.StringIO()
    splits[list(COLUMNS)].to_csv(text, index=False, lineterminator="\n")
    return text.getvalue().encode()
