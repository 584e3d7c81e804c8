"""Candidates of a detector bundle in a study that is in no cohort."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from mpmri_monai.cohort import Region, Study
from mpmri_monai.errors import BundleError, CatalogueError
from mpmri_monai.inference.model import TrainedModel
from mpmri_monai.training.finding import Findings, find_in_study
from mpmri_monai.training.search import Candidate, Detector, box_sizes_mm

BACKGROUND = "background"
"""The class of a detector's task that is not looked for."""


def find_lesions(
    study: Study, folder: Path, model: TrainedModel, device: str | torch.device = "cpu", allow_missing: bool = False
) -> Findings:
    """Slide the detector of a bundle over the liver of a study, or over the body where it has no liver mask.

    Args:
        study: images and organs; lesions, if there are any, are not looked at.
        folder: what its paths are relative to.
        model: of a detector bundle, such as ``hcc_detection``.
        device: where the network runs.
        allow_missing: look although a sequence is missing that the detector needs.

    Raises:
        BundleError: the bundle is no detector.
        CatalogueError: as `not_shown`.
        MpmriError: as `find_in_study`.
    """
    detector, missing = detector_of(model), not_shown(study, model, allow_missing)
    findings = find_in_study(study, folder, detector, device)
    notes = []
    if missing:
        notes.append(f"The detector looked without {', '.join(missing)}: doubt what it found, and what it did not.")
    return replace(findings, notes=(*notes, *findings.notes))


def not_shown(study: Study, model: TrainedModel, allow_missing: bool) -> list[str]:
    """Return the sequences of a detector that a study lacks: another bundle answers, and may need others.

    Raises:
        CatalogueError: the detector needs one of them, and a person has not allowed to do without; or it has none.
    """
    missing = [name for name in model.fusion if name not in study.images]
    needed = [name for name in missing if name in model.required]
    if len(missing) < len(model.fusion) and (allow_missing or not needed):
        return missing
    raise CatalogueError(
        expected=f"{' '.join(model.required) or 'one of ' + ' '.join(model.fusion)}, which the detector looks at",
        found=f"no volume for {', '.join(missing)}",
        fix="outline the lesions (--mask), or name another detector"
        + ("; --allow-missing looks all the same" if len(missing) < len(model.fusion) else ""),
        code="E_ROLE",
    )


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
        sizes_mm=box_sizes_mm(*model.reference["ranges"]["extent_mm"], model.settings),
    )


def region_of(candidate: Candidate) -> Region:
    """Return the box of a candidate as the region of a lesion of a manifest."""
    return Region(center_mm=candidate.center_mm, size_mm=(candidate.size_mm,) * 3)
