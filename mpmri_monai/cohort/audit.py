"""The leak rules of a run: what would make its test patients' score flatter, read off the tables that it left.

Each rule looks at tables alone and returns one `Check`. A rule that lacks what it needs says so: it passes nothing
that it did not see.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass

import pandas as pd

from mpmri_monai.cohort.splits import NOT_DISJOINT, OUTER_FIT, UNITS, row_roles, splits_digest

PASSED, LEAK, UNKNOWN = "passed", "LEAK", "cannot tell"
NO_PREDICTIONS = "no predictions.csv that can be read"
COPY_MARK = "+"
"""Joins the name of a sample and that of a stored copy of it."""
OWN_PARTS = {"train": "$@cohort.samples('train')", "validate": "$@cohort.samples('val')"}
"""What a bundle's configuration trains and validates on; anything else was put there by somebody."""


@dataclass(frozen=True)
class Check:
    """One rule and what it found: counts, never names."""

    check: str
    outcome: str
    """`PASSED`, `LEAK` or `UNKNOWN`."""
    found: str

    def as_row(self) -> dict[str, str]:
        return asdict(self)


@dataclass(frozen=True)
class Fit:
    """Which fit of a splits table a run trained."""

    repeat: int
    outer: int
    inner: str = OUTER_FIT


def rows_of(splits: pd.DataFrame, fit: Fit) -> pd.DataFrame:
    """Return the rows of one fit."""
    chosen = (splits["repeat"] == fit.repeat) & (splits["outer"] == fit.outer) & (splits["inner"] == fit.inner)
    return splits[chosen]


def check_unit(splits: pd.DataFrame) -> Check:
    """What was divided: patients, or parts of them."""
    units = sorted(set(splits["unit"]))
    return _check(
        "unit of the split",
        "E_LEAK_UNIT",
        f"split by {' and '.join(units)}: {NOT_DISJOINT}" if units != ["patient"] else "",
        "patients are divided",
    )


def check_roles(splits: pd.DataFrame) -> Check:
    """Patients who stand in more than one role of a fit, and test patients inside their own inner folds."""
    doubled, inside, fits = set(), set(), 0
    for (_, _), outer in splits.groupby(["repeat", "outer"], sort=False):
        roles = {inner: rows.groupby("patient")["role"].agg(set) for inner, rows in outer.groupby("inner", sort=False)}
        for given in roles.values():
            fits += 1
            doubled |= {patient for patient, role in given.items() if len(role) > 1}
        tested = {patient for patient, role in roles.get(OUTER_FIT, {}).items() if "test" in role}
        inside |= {patient for inner, given in roles.items() if inner != OUTER_FIT for patient in given.index} & tested
        inside -= doubled
    total = splits["patient"].nunique()
    found = [f"{len(doubled)} of {total} patients in more than one role of a fit"] if doubled else []
    found += [f"{len(inside)} test patients inside the inner folds of their own fit"] if inside else []
    return _check(
        "patients across roles",
        "E_LEAK_ROLES",
        "; ".join(found),
        f"{total} patients, each in one role (fits looked at: {fits})",
    )


def check_images(images: pd.DataFrame | None, splits: pd.DataFrame, fit: Fit) -> Check:
    """Images with the same voxels under the names of two patients in different roles.

    Args:
        images: patient, study, sequence, voxels (their sha256); None when there are none to look at.
        splits, fit: the roles.
    """
    name = "same images under two names"
    if images is None:
        return Check(name, UNKNOWN, "no images.csv that can be read")
    rows = rows_of(splits, fit)
    roles = rows.groupby("patient")["role"].agg(set)
    across, alike = 0, 0
    for _, group in images.groupby("voxels", sort=False):
        owners = sorted(set(group["patient"]))
        held = [roles.get(owner, set()) for owner in owners]
        if len(owners) > 1:
            alike += 1
            across += len(set().union(*held)) > 1
    unseen = set(rows["patient"]) - set(images["patient"])
    if unseen and not across:
        return Check(name, UNKNOWN, f"no images of {len(unseen)} of {rows['patient'].nunique()} patients in images.csv")
    return _check(
        name,
        "E_LEAK_IMAGES",
        f"{across} images under two patients in different roles" if across else "",
        f"{images['voxels'].nunique()} images compared by their voxels as stored"
        + (f"; {alike} under two patients of one role, who may be one person" if alike else ", each under one patient"),
    )


def check_copies(predictions: pd.DataFrame | None) -> Check:
    """Augmented copies that are scored as if they were samples."""
    name = "augmented copies counted as samples"
    if predictions is None:
        return Check(name, UNKNOWN, NO_PREDICTIONS)
    tested = predictions.loc[predictions["role"] == "test", "sample"].astype(str)
    copies = int(tested.str.contains(COPY_MARK, regex=False).sum())
    return _check(
        name,
        "E_LEAK_COPIES",
        f"{copies} of {len(tested)} test rows are copies of others" if copies else "",
        f"{len(tested)} test rows, none of them named as a copy",
    )


def check_recorded_splits(splits: pd.DataFrame, recorded: str | None) -> Check:
    """Whether the splits are those that the run recorded when it began."""
    name = "splits as recorded"
    if recorded is None:
        return Check(name, UNKNOWN, "the run recorded no hash of its splits")
    other = splits_digest(splits) != recorded
    return _check(name, "E_LEAK_SPLITS", "splits.csv was changed since" if other else "", "same hash as at the start")


def check_predicted_roles(
    predictions: pd.DataFrame | None, splits: pd.DataFrame, fit: Fit, imaged: Collection[str] | None = None
) -> Check:
    """Whether every prediction stands in the role that its patient (or lesion, or sample) has in the splits.

    Args:
        predictions: None when there are none to look at.
        splits, fit: the roles.
        imaged: patients with an image of the fusion; of the others there can be no prediction. None for everybody.
    """
    name = "predictions in the roles of the splits"
    if predictions is None:
        return Check(name, UNKNOWN, NO_PREDICTIONS)
    fits = predictions[["repeat", "outer", "inner"]].drop_duplicates()
    if [tuple(row) for row in fits.itertuples(index=False)] != [(fit.repeat, fit.outer, fit.inner)]:
        return _check(name, "E_LEAK_PREDICTIONS", "they are of another fit than the configuration", "")
    rows = predictions.assign(sample=predictions["sample"].astype(str).str.split(COPY_MARK, regex=False).str[0])
    given = row_roles(rows, _one_role(splits, fit), fit.repeat, fit.outer, fit.inner)
    other = int((given != rows["role"]).sum())
    expected = set(rows_of(splits, fit)["patient"]) & set(splits["patient"] if imaged is None else imaged)
    absent = len(expected - set(rows["patient"]))
    if absent and not other:
        return Check(name, UNKNOWN, f"no prediction of {absent} of {len(expected)} patients who have images")
    return _check(
        name,
        "E_LEAK_PREDICTIONS",
        f"{other} of {len(rows)} rows in another role, or of patients that the splits do not have" if other else "",
        f"{len(rows)} rows agree",
    )


def check_fitted(seen: Mapping[str, int] | None, tested: int) -> Check:
    """Whether what was fitted after training saw test patients.

    Args:
        seen: how many of the test patients each fitted thing (temperature, threshold, quantile) saw, by its name; None
            when that is not known.
        tested: how many there are.
    """
    name = "calibration and thresholds"
    if seen is None:
        return Check(name, UNKNOWN, "no reference.json that says what was fitted on whom")
    leaks = [f"{name} saw {count} of {tested} test patients" for name, count in seen.items() if count]
    return _check(
        name,
        "E_LEAK_FITTED",
        "; ".join(leaks),
        f"{', '.join(seen)} fitted without the {tested} test patients" if seen else "nothing was fitted after training",
    )


def check_parts(parts: Mapping[str, str | None], normalisation: str) -> Check:
    """Whether training read other samples than those of its role, and what the normalisation was fitted on.

    Args:
        parts: the configured data of ``train`` and ``validate``.
        normalisation: in words; it has to say that each volume is normalised by itself.
    """
    if parts.get("train") == OWN_PARTS["train"]:
        found = f"training reads the samples of role train; {normalisation}"
        return Check("training data and normalisation", PASSED, found)
    return _told_apart("training data and normalisation", "E_LEAK_TRAIN", "training", parts.get("train"))


def check_epoch(parts: Mapping[str, str | None], splits: pd.DataFrame, fit: Fit, validated: bool | None) -> Check:
    """Whether the best epoch was chosen on the test set.

    Args:
        parts: as `check_parts`.
        splits, fit: whether there is a validation set.
        validated: whether the learning curves hold validation metrics; None when there are none to look at.
    """
    name = "best epoch chosen on the test set"
    rows = rows_of(splits, fit)
    if parts.get("validate") != OWN_PARTS["validate"]:
        return _told_apart(name, "E_LEAK_EPOCH", "validation", parts.get("validate"))
    if (rows["unit"] != "patient").any():
        return Check(name, LEAK, "E_LEAK_EPOCH: the test set was the validation set, as in the protocol replicated")
    if (rows["role"] == "val").any():
        return Check(name, PASSED, "validation patients of its own")
    if validated is None:
        return Check(name, UNKNOWN, "no learning curves that can be read")
    return _check(
        name, "E_LEAK_EPOCH", "validated although nobody validates" if validated else "", "the last one counts"
    )


def check_pretraining(seen: int | None, tested: int, why: str) -> Check:
    """Whether the weights that training started from had seen test patients.

    Args:
        seen: how many of the test patients they saw; None when that is not known.
        tested: how many there are.
        why: where the weights come from, or why it is not known.
    """
    name = "pretraining patients in the test set"
    if seen is None:
        return Check(name, UNKNOWN, why)
    return _check(name, "E_LEAK_PRETRAINED", f"{seen} of {tested} test patients: {why}" if seen else "", why)


def merged(tables: Sequence[Sequence[Check]]) -> list[Check]:
    """Return the checks of many runs as one table: a row for each rule and finding, with the number of runs."""
    counts: dict[tuple[str, str, str], int] = defaultdict(int)
    for check in (check for table in tables for check in table):
        counts[check.check, check.outcome, check.found] += 1
    names = list(dict.fromkeys(name for name, _, _ in counts))
    rank = {LEAK: 0, UNKNOWN: 1, PASSED: 2}
    rows = []
    for name in names:
        for outcome in sorted({outcome for other, outcome, _ in counts if other == name}, key=rank.__getitem__):
            found = {text: number for (other, kind, text), number in counts.items() if (other, kind) == (name, outcome)}
            example = max(found, key=lambda text: found[text])
            more = f" (and {len(found) - 1} other findings)" if len(found) > 1 and outcome != PASSED else ""
            rows.append(Check(name, outcome, f"{sum(found.values())} of {len(tables)} runs: {example}{more}"))
    return rows


def _check(name: str, code: str, leak: str, passed: str) -> Check:
    return Check(name, LEAK, f"{code}: {leak}") if leak else Check(name, PASSED, passed)


def _told_apart(name: str, code: str, what: str, data: str | None) -> Check:
    """A configuration that was changed: the test samples by name are a leak, anything else cannot be judged."""
    if data is not None and "test" in data:
        return Check(name, LEAK, f"{code}: {what} was configured to read the test samples")
    return Check(name, UNKNOWN, f"{what} was configured to read other samples than the bundle's")


def _one_role(splits: pd.DataFrame, fit: Fit) -> pd.DataFrame:
    """Return the fit with the first role of each unit: a second one is a finding of `check_roles`."""
    rows = rows_of(splits, fit)
    return rows.drop_duplicates(UNITS[rows["unit"].iloc[0]]) if len(rows) else rows
