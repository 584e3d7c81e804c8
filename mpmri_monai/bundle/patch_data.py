"""Random patches of a cohort's images, without labels: what an autoencoder is trained and validated on."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mpmri_monai import cohort
from mpmri_monai.bundle.stored_cohort import StoredCohort
from mpmri_monai.cohort.splits import COLUMNS
from mpmri_monai.errors import ConfigError, SplitError
from mpmri_monai.training import SampleData
from mpmri_monai.training.dataset import NO_LABEL

SPLIT_KEYS = ("file", "repeat", "fold", "val")
"""The split settings that mean something without classes and without a test set."""
VAL_STREAM = 3
"""Sets the draw of the validation patients apart from other random numbers of the same seed."""


class PatchData(StoredCohort):
    """Patches of a cohort's patients, divided into those to train on and those to validate with.

    With ``split["file"]``, a splits.csv made for a classifier, only the patients who train there, in the outer fit that
    ``repeat`` and ``fold`` name, are used at all: an autoencoder for that fit has then never seen the patients who
    validate or test it.

    Args:
        manifest: the manifest's file; no study needs a lesion or a label.
        fusion: sequences used as channels, in any form that ``sequences.fusion`` reads.
        settings: of the samples store, see ``samples.Settings``; with a grid that asks for patches.
        split: ``file`` ("" for all patients), ``repeat``, ``fold``, and ``val``, the share of the patients that
            validates (at least one where it is not 0).
        seed: of the division.
        workers: processes that prepare studies at the same time.

    Raises:
        ManifestError, LeakageError, SplitError, StoreError, ConfigError: each says what is wrong with what was given.
    """

    def __init__(
        self,
        manifest: str | Path,
        fusion: str | list[str],
        settings: Mapping[str, Any],
        split: Mapping[str, Any],
        seed: int = 0,
        workers: int = 0,
    ) -> None:
        super().__init__(manifest, fusion, settings, seed, workers)
        if self.settings.grid is None or self.settings.grid.patches < 1:
            raise ConfigError(
                expected="samples#grid#patches of at least 1, the number of patches of the cohort",
                found="none",
                code="E_GRID",
            )
        if unknown := set(split) - set(SPLIT_KEYS):
            raise ConfigError(
                expected=f"split settings among {', '.join(SPLIT_KEYS)}", found=", ".join(sorted(unknown))
            )
        self.split = cohort.SplitSettings(**split)
        if not 0 <= self.split.val < 1:
            raise ConfigError(expected="a split#val of 0 or more, below 1", found=str(self.split.val))

    @cached_property
    def usable(self) -> pd.DataFrame:
        """The patches, of the store's table, that show a sequence of the fusion."""
        table = self.store.table
        return self.showing(table[table["kind"] == "patch"])

    @cached_property
    def splits(self) -> pd.DataFrame:
        """The splits table: one fit, roles train and val; patients who are not used are not in it."""
        patients = self._patients()
        held_out = min(max(1, round(self.split.val * len(patients))), len(patients)) if self.split.val else 0
        if len(patients) - held_out < 1:
            raise SplitError(
                expected="patients to train on beside those who validate",
                found=f"{len(patients)} with patches",
                where=self.manifest.name,
                fix="use more patients, or --split#val 0",
                code="E_SPLITS",
            )
        order = np.random.default_rng([self.seed, VAL_STREAM]).permutation(len(patients))
        validates = {patients[index] for index in order[:held_out]}
        fit = (self.split.repeat, self.split.fold, self.split.inner_name)
        rows = [("patient", name, "", "", *fit, "val" if name in validates else "train") for name in patients]
        return pd.DataFrame(rows, columns=list(COLUMNS))

    @cached_property
    def row_roles(self) -> pd.Series:
        """Role of each row of ``usable``; NaN for patients who are not used."""
        return cohort.row_roles(self.usable, self.splits, self.split.repeat, self.split.fold, self.split.inner_name)

    def samples(self, role: str) -> SampleData:
        """Return the patches in ``role``, without labels."""
        rows = self.usable[self.row_roles == role]
        return self.stored(rows, np.full(len(rows), NO_LABEL, dtype=np.int64))

    def _patients(self) -> list[str]:
        """Return the patients with patches, in the order of their names; with a file, those who train there."""
        found = sorted(set(self.usable["patient"]))
        if not self.split.file:
            return found
        table = cohort.read_splits(Path(self.split.file))
        cohort.check_splits(table, {study.patient for study in self.manifest.studies}, self.split.unit)
        roles = cohort.roles_of(table, self.split.repeat, self.split.fold)
        return [name for name in found if roles.get(name) == "train"]
