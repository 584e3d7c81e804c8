"""The ways to divide a cohort: holdout, k folds, leave one patient or site out, and folds within folds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from mpmri_monai.cohort.splits.strata import Roles, deal, divide, first_of_each
from mpmri_monai.cohort.splits.table import COLUMNS, OUTER_FIT, UNITS
from mpmri_monai.cohort.splits.units import unit_of
from mpmri_monai.errors import SplitError

Part = tuple[int, int, str, Roles]
"""Repeat, outer fold, inner fold, and the roles in that fit."""

INNER_STREAM = 1
"""Sets the random numbers of inner folds apart from those of the outer ones."""
TRAIN_STREAM = 2
"""Sets those that choose who trains, where not all do, apart from both: nobody else's role depends on them."""


def holdout(
    units: pd.DataFrame,
    *,
    test: float = 0.4,
    val: float = 0.15,
    repeats: int = 1,
    by_site: bool = False,
    inner_folds: int = 0,
    train_share: float = 1.0,
    seed: int = 0,
) -> pd.DataFrame:
    """Divide the patients ``repeats`` times at random into train, val and test, stratified by worst class.

    Args:
        units: from `patient_table` (or `unit_table`); the order of its rows does not matter.
        test: share of all patients; 0.4 is the 3:2 of Jia et al. 2019.
        val: share of the patients that are not in test; 0 for no validation set.
        repeats: number of independent divisions.
        by_site: stratify by site as well.
        inner_folds: folds within each outer fit's patients of train and val (nested validation); 0 for none.
        train_share: of the patients that would train, in each class, only this share does (rounded, at least one); the
            others have no role, in the inner folds either. Those of a smaller share are among those of a larger one,
            and nobody who validates or tests changes with it.
        seed: the same seed gives the same splits.

    Returns:
        A splits table with columns `COLUMNS`, ``outer`` 0.

    Raises:
        SplitError: a share or a count out of range, or a class with too few patients for every role to hold one.
    """
    _check_shares(test=test, val=val, repeats=repeats, train_share=train_share)
    units = _sorted(units)
    shares = {"train": (1 - test) * (1 - val), "val": (1 - test) * val, "test": test}
    fix = f"{_without(val)}merged classes, or more patients"
    parts = [
        (repeat, 0, OUTER_FIT, divide(units, shares, np.random.default_rng([seed, repeat]), by_site, fix))
        for repeat in range(repeats)
    ]
    return _table(units, parts, ("train", "val", "test"), inner_folds, by_site, train_share, seed)


def kfold(
    units: pd.DataFrame,
    *,
    folds: int = 5,
    val: float = 0.15,
    repeats: int = 1,
    by_site: bool = False,
    inner_folds: int = 0,
    train_share: float = 1.0,
    seed: int = 0,
) -> pd.DataFrame:
    """Let every patient be tested once in each repeat, in ``folds`` folds stratified by worst class.

    Args:
        units, repeats, by_site, inner_folds, train_share, seed: as `holdout`.
        folds: number of outer folds.
        val: share of the patients that are not in the fold's test set; 0 for no validation set.

    Returns:
        A splits table with columns `COLUMNS`, ``outer`` 0 … folds - 1.

    Raises:
        SplitError: a share or a count out of range, or a class with too few patients for every role to hold one.
    """
    _check_shares(val=val, repeats=repeats, train_share=train_share)
    if folds < 2:
        raise SplitError(expected="at least 2 folds", found=str(folds))
    units = _sorted(units)
    parts = []
    for repeat in range(repeats):
        rng = np.random.default_rng([seed, repeat])
        fold_of = deal(units, folds, rng, by_site, f"fewer folds (--split#folds), {_without(val)}or merged classes")
        tested = [[unit for unit, fold in fold_of.items() if fold == outer] for outer in range(folds)]
        parts += _tested_in_turn(units, repeat, tested, val, rng, by_site)
    return _table(units, parts, ("train", "val", "test"), inner_folds, by_site, train_share, seed)


def leave_one_patient_out(
    patients: pd.DataFrame,
    *,
    val: float = 0.15,
    repeats: int = 1,
    by_site: bool = False,
    inner_folds: int = 0,
    train_share: float = 1.0,
    seed: int = 0,
) -> pd.DataFrame:
    """Test each patient alone, in the order of their names; arguments, result and errors as `kfold`.

    No AUC may be pooled over such folds: each has its own classifier, and pure noise then gives less than 0.5.
    """
    _check_shares(val=val, repeats=repeats, train_share=train_share)
    patients = _sorted(patients)
    tested = [[unit] for unit in patients.index]
    return _leave_out(patients, tested, val, repeats, by_site, inner_folds, train_share, seed)


def leave_one_site_out(
    patients: pd.DataFrame,
    *,
    val: float = 0.15,
    repeats: int = 1,
    by_site: bool = False,
    inner_folds: int = 0,
    train_share: float = 1.0,
    seed: int = 0,
) -> pd.DataFrame:
    """Test each site's patients on what the other sites taught, in the order of the sites' names; as `kfold`.

    Raises:
        SplitError: there is one site only, or a patient was examined at two, who would be on both sides.
    """
    _check_shares(val=val, repeats=repeats, train_share=train_share)
    patients = _sorted(patients)
    at_two = int(patients["site"].str.contains(" ").sum())
    sites = sorted(set(patients["site"]))
    if at_two or len(sites) < 2:
        raise SplitError(
            expected="at least two sites, and every patient at one of them",
            found=f"{at_two} patients at two sites" if at_two else f"{len(sites)} site",
        )
    tested = [list(patients.index[patients["site"] == site]) for site in sites]
    return _leave_out(patients, tested, val, repeats, by_site, inner_folds, train_share, seed)


def _leave_out(
    units: pd.DataFrame,
    tested: list[list[int]],
    val: float,
    repeats: int,
    by_site: bool,
    inner_folds: int,
    train_share: float,
    seed: int,
) -> pd.DataFrame:
    parts = []
    for repeat in range(repeats):
        parts += _tested_in_turn(units, repeat, tested, val, np.random.default_rng([seed, repeat]), by_site)
    return _table(units, parts, ("train", "val"), inner_folds, by_site, train_share, seed)


def _tested_in_turn(
    units: pd.DataFrame, repeat: int, tested: Iterable[list[int]], val: float, rng: np.random.Generator, by_site: bool
) -> list[Part]:
    """Return one part for each group of ``tested`` units, with the rest divided into train and val."""
    parts = []
    for outer, group in enumerate(tested):
        shares = {"train": 1 - val, "val": val}
        roles = divide(units.drop(index=group), shares, rng, by_site, f"{_without(val)}or merged classes")
        parts.append((repeat, outer, OUTER_FIT, roles | dict.fromkeys(group, "test")))
    return parts


def _fewer_train(units: pd.DataFrame, outer_fit: Part, share: float, seed: int) -> Part:
    """Return the outer fit with the role train for ``share`` of those who have it; the others lose it."""
    repeat, outer, inner, roles = outer_fit
    rng = np.random.default_rng([seed, repeat, outer, TRAIN_STREAM])
    training = units.loc[[unit for unit in units.index if roles[unit] == "train"]]
    kept = first_of_each(training, share, rng)
    return repeat, outer, inner, {unit: role for unit, role in roles.items() if role != "train" or unit in kept}


def _inner_parts(units: pd.DataFrame, outer_fit: Part, folds: int, by_site: bool, seed: int) -> list[Part]:
    """Return the inner fits of one outer fit: each fold of its train and val patients is held out once."""
    repeat, outer, _, roles = outer_fit
    rest = units.loc[[unit for unit in units.index if roles.get(unit, "test") != "test"]]
    rng = np.random.default_rng([seed, repeat, outer, INNER_STREAM])
    fold_of = deal(rest, folds, rng, by_site, "fewer inner folds (--split#inner_folds), or merged classes")
    return [
        (repeat, outer, str(inner), {unit: "val" if fold == inner else "train" for unit, fold in fold_of.items()})
        for inner in range(folds)
    ]


def _sorted(units: pd.DataFrame) -> pd.DataFrame:
    key = UNITS[unit_of(units)]
    if units.duplicated(key).any():
        raise SplitError(
            expected=f"one row a {key[-1]}", found=f"a {key[-1]} twice", fix="make the table with patient_table"
        )
    return units.sort_values(key).reset_index(drop=True)


def _table(
    units: pd.DataFrame,
    parts: list[Part],
    complete: tuple[str, ...],
    inner_folds: int,
    by_site: bool,
    train_share: float,
    seed: int,
) -> pd.DataFrame:
    """Return the splits table of some outer fits and their inner ones; roles in ``complete`` must hold every class."""
    if inner_folds == 1 or inner_folds < 0:
        raise SplitError(expected="0 or at least 2 inner folds", found=str(inner_folds))
    unit = unit_of(units)
    names = {column: units[column].tolist() if column in UNITS[unit] else [""] * len(units) for column in COLUMNS[1:4]}
    held = units["holds"].to_dict()
    records = []
    for whole in parts:
        part = _fewer_train(units, whole, train_share, seed) if train_share < 1 else whole
        inner = _inner_parts(units, part, inner_folds, by_site, seed) if inner_folds else []
        for repeat, outer, number, roles in [part, *inner]:
            _check_classes({place: role for place, role in roles.items() if role in complete}, held, unit)
            for place in sorted(roles):
                named = [names[column][place] for column in names]
                records.append((unit, *named, repeat, outer, number, roles[place]))
    return pd.DataFrame(records, columns=list(COLUMNS))


def _check_classes(roles: Roles, held: Mapping[int, str], unit: str) -> None:
    """A class that is nobody's worst is not stratified for, so that it may be missing from a role."""
    classes = {name for holds in held.values() for name in holds.split()}
    for role in sorted(set(roles.values())):
        there = {name for place, given in roles.items() if given == role for name in held[place].split()}
        if there != classes:
            counts = {name: sum(name in holds.split() for holds in held.values()) for name in sorted(classes)}
            raise SplitError(
                expected=f"a lesion of every class in {role}",
                found=f"none of {', '.join(sorted(classes - there))}; {unit}s that hold each class: "
                + ", ".join(f"{name} {count}" for name, count in counts.items()),
                fix="another --seed, fewer parts (--split#val 0, --split#folds), a larger --split#train_share or "
                "merged classes",
                code="E_CLASS_EMPTY",
            )


def _check_shares(*, val: float, repeats: int, train_share: float, test: float = 0.5) -> None:
    if not 0 < test < 1 or not 0 <= val < 1 or not 0 < train_share <= 1:
        found = f"test {test}, val {val}, train_share {train_share}"
        raise SplitError(expected="0 < test < 1, 0 <= val < 1 and 0 < train_share <= 1", found=found)
    if repeats < 1:
        raise SplitError(expected="at least 1 repeat", found=str(repeats))


def _without(val: float) -> str:
    return "no validation set (--split#val 0), " if val else ""
