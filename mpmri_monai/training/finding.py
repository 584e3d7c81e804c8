"""Lesions that nobody outlined: from a study's entry of a manifest to candidates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from mpmri_monai.cohort import Study
from mpmri_monai.samples.body import body_mask
from mpmri_monai.samples.locate import REFERENCES, reference_of
from mpmri_monai.samples.settings import Settings
from mpmri_monai.samples.study import LIVER, align_study, load_regions, load_sequences
from mpmri_monai.sequences import DCE
from mpmri_monai.training.search import Detector, Found, search
from mpmri_monai.volumes import Mask

BODY = "body"
REACHED = 0.99
"""Less of the region than this within reach of the slices is worth a word; slices end between two of a mask's."""


@dataclass(frozen=True, eq=False)
class Findings:
    """What was found in a study, and where it was looked for."""

    found: Found
    region: Mask
    searched: str
    """``liver``, or ``body`` where the study has no liver mask."""
    notes: tuple[str, ...]
    """What a reader has to know of the search, as sentences."""


def find_in_study(study: Study, folder: Path, detector: Detector, device: str | torch.device = "cpu") -> Findings:
    """Search the liver of a study, or its body; its lesion masks are not looked at.

    Args:
        study: entry of a manifest, or of a new study; its lesions may be none.
        folder: what the paths of that entry are relative to.
        detector: looks.
        device: where the network runs.

    Raises:
        MpmriError: a file, the mask or the geometry is not usable; the message says which and what to do.
    """
    unmarked = study.model_copy(update={"lesions": ()}).scanned_with(study.scan_options)
    needed = (*REFERENCES, *detector.fusion, *(DCE if detector.settings.joint_dce else ()))
    others = tuple(unmarked.images) if unmarked.organs else ()  # one of them the organ may have been drawn on
    stacks: Mapping = load_sequences(unmarked, folder, tuple(dict.fromkeys((*needed, *others))))
    regions = load_regions(unmarked, folder, stacks, detector.settings)
    stacks, regions, _ = align_study(unmarked, stacks, regions, detector.settings)
    searched, region = LIVER, regions.organ
    if region is None:
        searched, region = BODY, body_mask(stacks[reference_of(stacks)])
    seen = {name: stack for name, stack in stacks.items() if name in needed}
    found = search(seen, region, detector, device)
    return Findings(found, region, searched, tuple(_notes(found, searched, detector.settings)))


def _notes(found: Found, searched: str, settings: Settings) -> Iterator[str]:
    if searched == BODY:
        yield "There is no liver mask: the whole body was searched."
        if BODY not in settings.background_kinds:
            yield "Training saw nothing beyond the liver and its edge: what was found elsewhere means nothing."
    if found.reached < REACHED:
        yield f"The slices reach {found.reached:.0%} of the {searched}; the rest was not searched."
