"""What training, evaluation and the report share: a cohort's manifest, its stored samples, and who is in which role."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import numpy as np
import pandas as pd

from mpmri_monai import cohort, sequences
from mpmri_monai.artefacts import cache_folder
from mpmri_monai.bundle.replica import with_copies
from mpmri_monai.catalogue.roles.protocol import protocol as protocol_named
from mpmri_monai.errors import ConfigError, ManifestError, SplitError
from mpmri_monai.samples import Settings, Store, prepare
from mpmri_monai.training import SampleData

DEFAULT_PRESET = "quick"
MANIFEST = "manifest.json"

logger = logging.getLogger(__name__)


def default_cohort() -> str:
    """Return the folder of the quick phantom cohort in the named cache, whether it is there yet or not.

    MONAI asks a configuration for its ``dataset_dir`` whenever it checks it; only `opened` writes the cohort.
    """
    return str(cache_folder() / "cohorts" / f"hcc_phantom_{DEFAULT_PRESET}")


def manifest_of(folder: str) -> str:
    """Return the manifest's place in a cohort's folder."""
    return str(Path(folder, MANIFEST))


def opened(manifest: str | Path) -> cohort.Manifest:
    """Read a manifest; the default cohort is generated when it is not there yet.

    Raises:
        ManifestError: as `cohort.load_manifest`.
    """
    folder = default_cohort()
    if str(manifest) == manifest_of(folder):
        if not Path(folder).exists() and idist.get_rank() == 0:
            from mpmri_monai.phantom import write_cohort

            print(f"The default cohort does not exist yet: generating the {DEFAULT_PRESET} phantom in {folder}")
            write_cohort(Path(folder), DEFAULT_PRESET)
        idist.barrier()  # the other processes of a distributed training wait for the first
    return cohort.load_manifest(Path(manifest))


def task(name: str, manifest: str | Path | None = None) -> sequences.Task:
    """Return the task called ``name``; the manifest is read only when it is the question of one of its labels.

    A bundle's network can so be built, and checked by MONAI, where the cohort is not at hand.

    Raises:
        ConfigError: there is no such task, and no such label.
    """
    if name in sequences.TASKS or manifest is None:
        return sequences.task(name)
    return sequences.task(name, opened(manifest).classes)


class CohortData:
    """The lesions of a cohort that carry a label of one task, split by patient, with one fusion's channels.

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
        self.manifest = opened(manifest)
        cohort.refuse_shared_images(self.manifest)
        self.protocol = protocol_named(self.manifest.scan_protocol).name
        self.task = sequences.task(task, self.manifest.classes)
        _refuse_other_classes(self.manifest, self.task)
        self.fusion = sequences.fusion(fusion, self.manifest.sequences)
        self.settings = Settings(**settings)
        self.split = cohort.SplitSettings(**split)
        self.seed, self.permutation, self.workers = int(seed), int(permutation), int(workers)
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
    def store(self) -> Store:
        """The samples store; built, or completed, on first use."""
        store = prepare(self.manifest, self.settings, cache_folder(), workers=self.workers)
        for study, why in sorted(store.failed.items()):
            logger.warning("study %s is left out: %s", study, why)
        cohort.refuse_shared_voxels(self._image_table(store), self.manifest.name)
        return store

    @cached_property
    def rows(self) -> pd.DataFrame:
        """The store's table, with ``label`` (class name; permuted if asked), for the samples that the task is about."""
        table = self.store.table
        if self.task.name == "hcc_vs_bg":
            label = table["kind"].map({"lesion": "hcc", "background": "background"})
        else:
            label = table[f"label_{self.task.label}"].where(table["kind"] == "lesion", "")
        rows = table.assign(label=label)[label != ""]
        if rows.empty:
            raise ManifestError(
                expected=f"lesions with a {self.task.label!r} label for the task {self.task.name}",
                found="none that could be sampled",
                where=self.manifest.name,
                fix="look at the studies that were skipped, and at the labels (mpmri check)",
            )
        return rows if self.permutation < 0 else self._permuted(rows)

    def _permuted(self, rows: pd.DataFrame) -> pd.DataFrame:
        return rows.assign(label=cohort.permuted_labels(rows, self.task, self.permutation))

    @cached_property
    def usable(self) -> pd.DataFrame:
        """Those of ``rows`` that show a sequence of the fusion: what is trained on and scored, by every method alike.

        Splits are made from ``rows``, so that they are the same for every fusion.
        """
        shown = self.rows[[f"present_{name}" for name in self.fusion]].to_numpy(bool).any(axis=1)
        if not shown.all():
            logger.warning("%d samples show no sequence of the fusion and are left out", int((~shown).sum()))
        return self.rows[shown]

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
        for wanted in sorted({"train"} | scored | set(roles.dropna()) - {"test"}):
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

    def samples(self, role: str) -> SampleData:
        """Return the samples in ``role``; there may be none to validate with. A replica validates on its test set."""
        if not self.replica:
            return self._stored(role)
        return self._stored("train") if role == "train" else with_copies(self._stored("test"))

    def scored(self, role: str) -> SampleData:
        """Return the samples in ``role`` that predictions are written for: each sample in one role."""
        return self._stored("val") if self.replica and role == "val" else self.samples(role)

    def _stored(self, role: str) -> SampleData:
        rows = self.usable[self.row_roles == role]
        present = rows[[f"present_{name}" for name in self.fusion]]
        return SampleData(
            image=self.store.images(rows.index.to_numpy(), self.fusion),
            present=present.to_numpy(bool, copy=True),  # a view of the table cannot be written to; torch warns of such
            label=np.array([self.task.classes.index(name) for name in rows["label"]], dtype=np.int64),
            extent_mm=rows["extent_mm"].to_numpy(np.float32, copy=True),
            table=rows,
        )

    def smallest_class(self, role: str) -> int:
        """Return the number of patients, in ``role``, that have a lesion of the class that fewest have there."""
        there = self.usable[self.row_roles == role]
        return min(int(there.loc[there["label"] == name, "patient"].nunique()) for name in self.task.classes)

    def split_columns(self, role: str) -> dict[str, object]:
        """Return the predictions columns that say which split ``role`` belongs to."""
        return {"repeat": self.split.repeat, "outer": self.split.fold, "inner": self.split.inner_name, "role": role}

    def image_table(self) -> pd.DataFrame:
        """Return ``patient, study, sequence, voxels``: the sha256 of the voxels of every image that was sampled."""
        return self._image_table(self.store)

    def _image_table(self, store: Store) -> pd.DataFrame:
        patients = {study.study: study.patient for study in self.manifest.studies}
        records = [
            (patients[study], study, sequence, voxels)
            for study, images in sorted(store.voxels.items())
            for sequence, voxels in images.items()
        ]
        return pd.DataFrame(records, columns=["patient", "study", "sequence", "voxels"])

    def digests(self) -> dict[str, str]:
        """Return the hashes of the manifest, the stored samples and the splits."""
        return {
            "manifest": self.manifest.digest(),
            "samples": self.store.digest(),
            "splits": cohort.splits_digest(self.splits),
        }


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
