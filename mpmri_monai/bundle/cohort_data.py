"""What training, evaluation and the report share: a cohort's manifest, its stored samples, and who is in which role."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mpmri_monai import cohort, sequences
from mpmri_monai.bundle.replica import with_copies
from mpmri_monai.bundle.stored_cohort import StoredCohort, opened
from mpmri_monai.errors import ConfigError, ManifestError, SplitError
from mpmri_monai.samples.plane import AXIAL, BODY_PLANES
from mpmri_monai.training import SampleData

SAMPLED_KINDS = ("lesion", "study")
"""Samples that carry a label of their own: lesions, and studies without lesions that are labelled as a whole."""
KIND_WORDS = {"lesion": "lesions", "study": "whole studies"}

logger = logging.getLogger(__name__)


def task(name: str, manifest: str | Path | None = None) -> sequences.Task:
    """Return the task called ``name``; the manifest is read only when it is the question of one of its labels.

    A bundle's network can so be built, and checked by MONAI, where the cohort is not at hand.

    Raises:
        ConfigError: there is no such task, and no such label.
    """
    if name in sequences.TASKS or manifest is None:
        return sequences.task(name)
    return sequences.task(name, opened(manifest).classes)


class CohortData(StoredCohort):
    """The lesions of a cohort that carry a label of one task, split by patient, with one fusion's channels.

    A study without lesions that carries the label itself counts as one lesion, ``whole``.

    Split by lesion or sample it is a replica of published protocols: each of the six stored copies of a sample counts
    as a sample, and the test set is the validation set too. Its results are not patient-disjoint.

    Args:
        manifest: the manifest's file.
        task: name of the question: ``hcc_grade``, ``hcc_vs_bg``, or any label that the manifest has classes for.
        fusion: sequences used as channels, in any form that ``sequences.fusion`` reads.
        settings: of the samples store, see ``samples.Settings``.
        split: the scheme and the fit to use, see ``cohort.SplitSettings``.
        seed: of the split.
        permutation: 0 or more gives the labels to other patients, see ``cohort.permuted_labels``; -1 does not.
        workers: processes that prepare studies at the same time; 0 prepares in this one. Results do not depend on it.

    Raises:
        ManifestError, LeakageError, SplitError, StoreError, ConfigError: each says what is wrong with what was given.
    """

    def __init__(
        self,
        manifest: str | Path,
        task: str,
        fusion: str | list[str],
        settings: Mapping[str, Any],
        split: Mapping[str, Any],
        seed: int = 0,
        permutation: int = -1,
        workers: int = 0,
    ) -> None:
        super().__init__(manifest, fusion, settings, seed, workers)
        self.task = sequences.task(task, self.manifest.classes)
        _refuse_other_classes(self.manifest, self.task)
        self.split = cohort.SplitSettings(**split)
        self.permutation = int(permutation)
        if self.permutation < -1:
            raise ConfigError(expected="a permutation of at least 0, or -1 for none", found=str(permutation))

    @property
    def replica(self) -> bool:
        """Whether this replicates a published protocol in which patients are on both sides of the split."""
        return self.split.replica

    def refuse_report(self) -> None:
        """Raise ConfigError when no report of this fit can be honest: it tests nobody, or is not patient-disjoint."""
        if self.split.inner >= 0:
            expected, found = "a report on test patients", f"split#inner {self.split.inner}: inner fits have none"
        elif self.replica:
            expected, found = "a report on patients", f"split#unit {self.split.unit}, which is {cohort.NOT_DISJOINT}"
        else:
            return
        fix = "add --results predictions; `mpmri experiment` makes tables of such runs, marked as what they are"
        raise ConfigError(expected=expected, found=found, fix=fix, code="E_REPORT")

    @cached_property
    def rows(self) -> pd.DataFrame:
        """The store's table, with ``label`` (class name; permuted if asked), for the samples that the task is about."""
        table = self.store.table
        if self.task.name == "hcc_vs_bg":
            label = table["kind"].map({"lesion": "hcc", "background": "background"}).fillna("")
        else:
            label = table[f"label_{self.task.label}"].where(table["kind"].isin(SAMPLED_KINDS), "")
        rows = table.assign(label=label)[label != ""]
        if rows.empty:
            raise ManifestError(
                expected=f"lesions with a {self.task.label!r} label for the task {self.task.name}",
                found="none that could be sampled",
                where=self.manifest.name,
                fix="look at the studies that were skipped, and at the labels (mpmri check)",
            )
        _refuse_told_by_kind(rows, self.manifest.name)
        return rows if self.permutation < 0 else self._permuted(rows)

    def _permuted(self, rows: pd.DataFrame) -> pd.DataFrame:
        return rows.assign(label=cohort.permuted_labels(rows, self.task, self.permutation))

    @cached_property
    def usable(self) -> pd.DataFrame:
        """Those of ``rows`` that show a sequence of the fusion: what is trained on and scored, by every method alike.

        Splits are made from ``rows``, so that they are the same for every fusion.
        """
        rows = self.showing(self.rows)
        if self.settings.grid is not None:
            _refuse_mixed_planes(rows, self.manifest.name)
        return rows

    @cached_property
    def splits(self) -> pd.DataFrame:
        """The splits table: as read from the file, or made for these patients and this seed."""
        patients = {study.patient for study in self.manifest.studies}
        return self.split.table(self.rows, self.task.classes, patients, self.seed)

    @cached_property
    def roles(self) -> dict[str, str]:
        """Role (train, val, test) of each patient in the fit of this run.

        Raises:
            SplitError: no such fit, or patients have no one role because this is a replica.
        """
        return cohort.roles_of(self.splits, self.split.repeat, self.split.fold, self.split.inner_name)

    @cached_property
    def row_roles(self) -> pd.Series:
        """Role of each row of ``usable`` in the fit of this run; NaN for patients whom the splits leave out.

        Raises:
            SplitError: a class has no sample to train on, or none to test where each class should be tested.
        """
        split = self.split
        roles = cohort.row_roles(self.usable, self.splits, split.repeat, split.fold, split.inner_name)
        without = self.usable.loc[~self.usable["patient"].isin(self.splits["patient"]), "patient"].nunique()
        if without:
            logger.warning("%d patients have no role in the splits and are left out", without)
        scored = set() if split.leave_out else {"test" if split.inner < 0 else "val"}
        needed = {"train"}
        if not self._tests_one_patient:  # few validate there; `keeps_best` refuses to choose where they lack a class
            needed |= scored | set(roles.dropna()) - {"test"}
        for wanted in sorted(needed):
            there = set(self.usable.loc[roles == wanted, "label"])
            absent = [name for name in self.task.classes if name not in there]
            if absent:
                raise SplitError(
                    expected=f"samples of every class in {wanted}",
                    found=f"none of class {', '.join(absent)}",
                    where=self.manifest.name,
                    fix="use other splits, or a fusion that these patients have",
                    code="E_CLASS_EMPTY",
                )
        return roles

    @property
    def _tests_one_patient(self) -> bool:
        """Whether this fit is one of a table, such as a file's, that leaves patients out one by one."""
        return not self.replica and self.split.inner < 0 and list(self.roles.values()).count("test") == 1

    def samples(self, role: str) -> SampleData:
        """Return the samples in ``role``; there may be none to validate with. A replica validates on its test set."""
        if not self.replica:
            return self._in_role(role)
        return self._in_role("train") if role == "train" else with_copies(self._in_role("test"))

    def scored(self, role: str) -> SampleData:
        """Return the samples in ``role`` that predictions are written for: each sample in one role."""
        return self._in_role("val") if self.replica and role == "val" else self.samples(role)

    def _in_role(self, role: str) -> SampleData:
        rows = self.usable[self.row_roles == role]
        label = np.array([self.task.classes.index(name) for name in rows["label"]], dtype=np.int64)
        return self.stored(rows, label)

    def smallest_class(self, role: str) -> int:
        """Return the number of patients, in ``role``, that have a lesion of the class that fewest have there."""
        there = self.usable[self.row_roles == role]
        return min(int(there.loc[there["label"] == name, "patient"].nunique()) for name in self.task.classes)

    def split_columns(self, role: str) -> dict[str, object]:
        """Return the predictions columns that say which split ``role`` belongs to."""
        return {"repeat": self.split.repeat, "outer": self.split.fold, "inner": self.split.inner_name, "role": role}


def _refuse_told_by_kind(rows: pd.DataFrame, cohort_name: str) -> None:
    """Refuse lesions of some classes beside whole studies of others: where a crop was taken would tell its class."""
    kinds = rows[rows["kind"].isin(SAMPLED_KINDS)].groupby("label")["kind"].unique()
    if len({frozenset(found) for found in kinds}) < 2:
        return
    found = "; ".join(f"{label}: {' and '.join(KIND_WORDS[one] for one in sorted(of))}" for label, of in kinds.items())
    raise ManifestError(
        expected="samples of every class that are taken alike, around lesions or of studies as a whole",
        found=found,
        where=cohort_name,
        fix="give every study a region, as healthy ones at the place where others have a lesion; or leave all lesions "
        "out of the manifest and label the studies",
        code="E_KIND",
    )


def _refuse_mixed_planes(rows: pd.DataFrame, cohort_name: str) -> None:
    """Refuse axial beside sagittal or coronal crops: depth, rows and columns would mean other axes of the body."""
    flags = rows["flags"].str.split(";").map(lambda names: {name.partition(":")[0] for name in names})
    planes = flags.map(lambda names: next((name for name in BODY_PLANES if name in names), AXIAL))
    studies = rows.groupby(planes)["study"].nunique()
    if len(studies) > 1:
        raise ManifestError(
            expected="3D samples whose slices all lie in the same plane of the body",
            found=", ".join(f"{count} studies with {plane} ones" for plane, count in studies.items()),
            where=cohort_name,
            fix="name another series or sequence of those studies, leave them out, or store their NIfTI files with the "
            "slices along the third axis",
            code="E_PLANES",
        )


def _refuse_other_classes(manifest: cohort.Manifest, task: sequences.Task) -> None:
    """Refuse a cohort that was labelled for another question; background regions need no label."""
    known = manifest.classes.get(task.label, ())
    if task.name == "hcc_vs_bg" or set(known) == set(task.classes):
        return
    labels = "; ".join(f"{key}: {', '.join(names)}" for key, names in manifest.classes.items())
    raise ManifestError(
        expected=f"labels {task.label!r} ({', '.join(task.classes)}), which the task {task.name} asks for",
        found=labels or "no labels",
        where=manifest.name,
        fix="label the lesions for this task, or take a bundle whose task is about these labels",
    )
