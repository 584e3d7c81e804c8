"""Candidates of a detector bundle in a study that is in no cohort."""

from __future__ import annotations

from pathlib import Path

import torch

from mpmri_monai.cohort import Region, Study
from mpmri_monai.errors import BundleError
from mpmri_monai.inference.model import TrainedModel
from mpmri_monai.training.finding import Findings, find_in_study
from mpmri_monai.training.search import Candidate, Detector, box_sizes_mm

BACKGROUND = "background"
"""The class of a detector's task that is not looked for."""


def find_lesions(study: Study, folder: Path, model: TrainedModel, device: str | torch.device = "cpu") -> Findings:
    """Slide the detector of a bundle over the liver of a study, or over the body where it has no liver mask.

    Args:
        study: images and organs; lesions, if there are any, are not looked at.
        folder: what its paths are relative to.
        model: of a detector bundle, such as ``hcc_detection``.
        device: where the network runs.

    Raises:
        BundleError: the bundle is no detector.
        MpmriError: as `find_in_study`.
    """
    return find_in_study(study, folder, detector_of(model), device)


def detector_of(model: TrainedModel) -> Detector:
    """Return the network of a detector bundle with boxes as large as the lesions that it was trained on.

    Raises:
        BundleError: it does not tell a lesion from ``background``, or sees samples in 3D.
    """
    classes = model.task.classes
    if len(classes) != 2 or BACKGROUND not in classes or model.settings.grid is not None:
        raise BundleError(
            expected=f"a detector: a bundle with the classes {BACKGROUND} and one other, in 2.5D",
            found=f"one for {model.task.name} with {', '.join(classes)}",
            where=model.bundle["name"],
            fix="name a detector such as hcc_detection",
            code="E_BUNDLE",
        )
    return Detector(
        network=model.network(),
        inferer=model.inferer(),
        fusion=model.fusion,
        settings=model.settings,
        window=model.seen_size[-1],
        finding=1 - classes.index(BACKGROUND),
        sizes_mm=box_sizes_mm(*model.reference["ranges"]["extent_mm"]),
    )


def region_of(candidate: Candidate) -> Region:
    """Return the box of a candidate as the region of a lesion of a manifest."""
    return Region(center_mm=candidate.center_mm, size_mm=(candidate.size_mm,) * 3)
