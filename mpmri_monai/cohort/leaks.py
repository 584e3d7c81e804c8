"""The leak rule of a cohort: one image belongs to one patient."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import pandas as pd

from mpmri_monai.cohort.manifest import DicomImage, Manifest
from mpmri_monai.errors import LeakageError


def patients_sharing_images(manifest: Manifest) -> list[tuple[str, ...]]:
    """Return each group of patients that one image stands under; one person under two names is on two sides of a split.

    A DICOM volume is known by its id, which comes from the files' content: a copied or renamed folder has the same.
    """
    owners: dict[Path | str, set[str]] = defaultdict(set)
    for study in manifest.studies:
        for image in study.images.values():
            key = image.volume if isinstance(image, DicomImage) else manifest.path(image).resolve()
            owners[key].add(study.patient)
    return sorted({tuple(sorted(patients)) for patients in owners.values() if len(patients) > 1})


def refuse_shared_images(manifest: Manifest) -> None:
    """Raise LeakageError when an image stands under more than one patient."""
    _refuse(patients_sharing_images(manifest), manifest.name)


def refuse_shared_voxels(images: pd.DataFrame, name: str) -> None:
    """Raise LeakageError when two patients have an image with the same voxels, in whatever files it was found.

    Args:
        images: patient, study, sequence, voxels (their sha256).
        name: of the cohort.
    """
    owners = images.groupby("voxels")["patient"].agg(lambda patients: tuple(sorted(set(patients))))
    _refuse(sorted({patients for patients in owners if len(patients) > 1}), name)


def _refuse(shared: list[tuple[str, ...]], name: str) -> None:
    if shared:
        more = f", and {len(shared) - 1} more" if len(shared) > 1 else ""
        raise LeakageError(
            expected="every image under one patient",
            found=f"{', '.join(shared[0])} with an image in common{more}",
            where=name,
            fix="give all studies of one person the same patient name (mpmri check lists every case)",
            code="E_SHARED",
        )
