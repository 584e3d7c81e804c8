"""A cohort's manifest and its stored samples, with one fusion's channels: what trainings of every kind read."""

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
from mpmri_monai.catalogue.roles.protocol import protocol as protocol_named
from mpmri_monai.samples import Settings, Store, prepare
from mpmri_monai.training import SampleData

DEFAULT_COHORTS = {
    "quick": "hcc_phantom_quick",
    "brain": "brain_phantom",
    "brain-source": "brain_phantom_source",
}
"""Folders, in the named cache, of the generated cohorts that bundles train on when they are given none, by preset."""
MANIFEST = "manifest.json"

logger = logging.getLogger(__name__)


def default_cohort(preset: str = "quick") -> str:
    """Return the folder of a generated cohort in the named cache, whether it is there yet or not.

    MONAI asks a configuration for its ``dataset_dir`` whenever it checks it; only `opened` writes the cohort.

    Args:
        preset: of `mpmri phantom`, one of `DEFAULT_COHORTS`.
    """
    return str(cache_folder() / "cohorts" / DEFAULT_COHORTS[preset])


def manifest_of(folder: str) -> str:
    """Return the manifest's place in a cohort's folder."""
    return str(Path(folder, MANIFEST))


def opened(manifest: str | Path) -> cohort.Manifest:
    """Read a manifest; a default cohort is generated when it is not there yet.

    Raises:
        ManifestError: as `cohort.load_manifest`.
    """
    for preset in DEFAULT_COHORTS:
        folder = default_cohort(preset)
        if str(manifest) != manifest_of(folder):
            continue
        if not Path(folder).exists() and idist.get_rank() == 0:
            from mpmri_monai.phantom import write_cohort

            print(f"The default cohort does not exist yet: generating the {preset} phantom in {folder}")
            write_cohort(Path(folder), preset)
        idist.barrier()  # the other processes of a distributed training wait for the first
    return cohort.load_manifest(Path(manifest))


class StoredCohort:
    """A cohort, the store of its samples, and a splits table (of whom, says the kind of training).

    Args:
        manifest: the manifest's file.
        fusion: sequences used as channels, in any form that ``sequences.fusion`` reads.
        settings: of the samples store, see ``samples.Settings``.
        seed: of the split.
        workers: processes that prepare studies at the same time; 0 prepares in this one. Results do not depend on it.

    Raises:
        ManifestError, LeakageError, StoreError, ConfigError: each says what is wrong with what was given.
    """

    splits: pd.DataFrame
    """The splits table of the training."""

    def __init__(
        self,
        manifest: str | Path,
        fusion: str | list[str],
        settings: Mapping[str, Any],
        seed: int = 0,
        workers: int = 0,
    ) -> None:
        self.manifest = opened(manifest)
        cohort.refuse_shared_images(self.manifest)
        self.protocol = protocol_named(self.manifest.scan_protocol).name
        self.fusion = sequences.fusion(fusion, self.manifest.sequences)
        self.settings = Settings(**settings)
        self.seed, self.workers = int(seed), int(workers)

    @cached_property
    def store(self) -> Store:
        """The samples store; built, or completed, on first use."""
        store = prepare(self.manifest, self.settings, cache_folder(), workers=self.workers)
        for study, why in sorted(store.failed.items()):
            logger.warning("study %s is left out: %s", study, why)
        cohort.refuse_shared_voxels(self._image_table(store), self.manifest.name)
        return store

    def showing(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Return those of ``rows``, of the store's table, that show a sequence of the fusion."""
        shown = rows[[f"present_{name}" for name in self.fusion]].to_numpy(bool).any(axis=1)
        if not shown.all():
            logger.warning("%d samples show no sequence of the fusion and are left out", int((~shown).sum()))
        return rows[shown]

    def stored(self, rows: pd.DataFrame, label: np.ndarray) -> SampleData:
        """Return the samples of ``rows``, of the store's table, with the fusion's channels.

        Args:
            rows: with the index that they have in the store's table.
            label: int64 (sample,), as of `SampleData`.
        """
        present = rows[[f"present_{name}" for name in self.fusion]]
        return SampleData(
            image=self.store.images(rows.index.to_numpy(), self.fusion),
            present=present.to_numpy(bool, copy=True),  # a view of the table cannot be written to; torch warns of such
            label=label,
            extent_mm=rows["extent_mm"].to_numpy(np.float32, copy=True),
            table=rows,
        )

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
