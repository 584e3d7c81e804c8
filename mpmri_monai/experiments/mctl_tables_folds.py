"""Who trains, validates and tests in the comparison: one splits table for all that is compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from mpmri_monai.cohort import Manifest
from mpmri_monai.cohort.splits import (
    OUTER_FIT,
    check_splits,
    kfold,
    leave_one_patient_out,
    patient_table,
    read_splits,
    splits_digest,
    write_splits,
)
from mpmri_monai.errors import ConfigError
from mpmri_monai.experiments.context import OUT, Context
from mpmri_monai.experiments.nested import OuterFold
from mpmri_monai.experiments.question import Question

FOLDS = 5
LEAVE_ONE_OUT = "leave-one-out"


@dataclass(frozen=True)
class Folds:
    """The divisions of a comparison.

    Attributes:
        table: of splits, whose repeats are numbered from 0; without inner fits.
        scheme: what was divided how, in words.
    """

    table: pd.DataFrame
    scheme: str

    @classmethod
    def of(cls, context: Context, question: Question) -> Folds:
        """Return the official split of the option ``split``, or else the folds of the option ``folds``.

        Raises:
            ConfigError: an option is none, or contradicts another.
            SplitError, ManifestError, LeakageError: the cohort cannot be divided so, or a file is not usable.
        """
        repeats = 1 if context.repeats is None else context.repeats
        if repeats < 1:
            raise ConfigError(expected="at least 1 repetition", found=str(repeats), code="E_OPTION")
        file, folds = context.option("split", ""), context.option("folds", "")
        if file and folds:
            raise ConfigError(expected="--option split or folds", found="both", code="E_OPTION")
        if file:
            return _official(Path(file), question.manifest, repeats)
        val = question.config["split"]["val"]
        patients = patient_table(labelled(question), question.task.classes)
        common: dict[str, Any] = {"val": val, "repeats": repeats, "seed": context.seed}
        others = f"{100 * val:.0f} % of the others to validate" if val else "nobody to validate"
        if folds == LEAVE_ONE_OUT:
            return cls(leave_one_patient_out(patients, **common), f"every patient tested alone, {others}")
        number = _number(folds or str(FOLDS))
        return cls(kfold(patients, folds=number, **common), f"{number} folds by patient, stratified by class, {others}")

    @cached_property
    def fits(self) -> list[OuterFold]:
        """Every fit: a repeat and its outer fold."""
        pairs = self.table[["repeat", "outer"]].drop_duplicates().sort_values(["repeat", "outer"])
        return [OuterFold(int(repeat), int(outer)) for repeat, outer in pairs.itertuples(index=False)]

    @property
    def repeats(self) -> int:
        """Divisions, or repetitions of one division from other seeds."""
        return len({fit.repeat for fit in self.fits})

    @property
    def tested(self) -> set[str]:
        """The patients whom some fit tests."""
        return set(self.table.loc[self.table["role"] == "test", "patient"])

    @property
    def one_by_one(self) -> bool:
        """Whether every fit tests one patient."""
        tested = self.table[self.table["role"] == "test"]
        return len(self.fits) > self.repeats and bool((tested.groupby(["repeat", "outer"]).size() == 1).all())

    @cached_property
    def folder(self) -> str:
        """Where the table lies, in the options of runs; its name says what is in it: no other one is written over."""
        return f"{OUT}/splits-{splits_digest(self.table)[:12]}"

    def file(self, repeat: int) -> str:
        """Return the file of one repeat: each run reads and checks the whole of its file."""
        return f"{self.folder}/repeat{repeat}.csv"

    def keep(self, context: Context) -> None:
        """Write the table where the runs look for it."""
        for repeat, rows in self.table.groupby("repeat"):
            write_splits(context.located(self.file(repeat)), rows)

    def options(self, fit: OuterFold) -> dict[str, Any]:
        """Return the overrides of the training configuration that name a fit; those of an autoencoder too."""
        return {"split#file": self.file(fit.repeat), "split#repeat": fit.repeat, "split#fold": fit.number}

    def whole(self, predictions: pd.DataFrame) -> pd.DataFrame:
        """Return the rows of the repeats of which every fold is there: in others not every patient was tested."""
        wanted = {repeat: {fit.number for fit in self.fits if fit.repeat == repeat} for repeat, _ in self.fits}
        found = predictions.groupby("repeat")["outer"].agg(set)
        return predictions[predictions["repeat"].isin([at for at, folds in found.items() if folds == wanted[at]])]


def labelled(question: Question) -> pd.DataFrame:
    """Return ``patient, label, site`` of every labelled lesion, and of labelled studies without lesions.

    Raises:
        ConfigError: the task is not about a label of the cohort.
    """
    label, manifest = question.task.label, question.manifest
    if label not in manifest.classes:
        raise ConfigError(
            expected=f"a task about a label of the cohort: {', '.join(manifest.classes) or 'it has none'}",
            found=question.task.name,
            fix="give --task",
            code="E_OPTION",
        )
    rows = [
        (study.patient, labels[label], study.site)
        for study in manifest.studies
        for labels in ([lesion.labels for lesion in study.lesions] or [study.labels])
        if label in labels
    ]
    return pd.DataFrame(rows, columns=["patient", "label", "site"])


def _number(folds: str) -> int:
    if not folds.isdecimal() or int(folds) < 2:
        raise ConfigError(
            expected=f"at least 2 for --option folds, or {LEAVE_ONE_OUT}", found=repr(folds), code="E_OPTION"
        )
    return int(folds)


def _official(file: Path, manifest: Manifest, repeats: int) -> Folds:
    """Return a splits table as it is, or, where it has one repeat, as often as asked: they differ by seed alone."""
    table = read_splits(file)
    check_splits(table, {study.patient for study in manifest.studies}, "patient")
    table = table[table["inner"] == OUTER_FIT]
    there: Sequence[int] = sorted(set(table["repeat"]))
    if len(there) == 1:
        again = pd.concat([table.assign(repeat=number) for number in range(repeats)], ignore_index=True)
        return Folds(again, "the division of a given splits table" + ", trained from other seeds" * (repeats > 1))
    if list(there[:repeats]) != list(range(repeats)):
        raise ConfigError(
            expected=f"repeats 0 to {repeats - 1} in the splits table, or one repeat",
            found=f"{len(there)} repeats",
            where=file.name,
            fix="give --repeats",
            code="E_OPTION",
        )
    table = table[table["repeat"] < repeats].reset_index(drop=True)
    return Folds(table, "the divisions of a given splits table")
