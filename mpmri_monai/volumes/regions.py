"""The regions of a mask file of any kind, and how to read one on the image that it was drawn on."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from pydicom import Dataset

from mpmri_monai.catalogue.quiet import without_warnings
from mpmri_monai.errors import MaskError
from mpmri_monai.volumes.geometry import Geometry, same_grid
from mpmri_monai.volumes.mask_objects import MaskSource, open_object
from mpmri_monai.volumes.masks import Mask, check_mask, described, fits, mask_error, read_labels, read_nifti_mask
from mpmri_monai.volumes.rtstruct import RTSTRUCT_CLASSES, open_rtstruct, roi_mask, roi_numbers, roi_source
from mpmri_monai.volumes.seg import SEG_CLASSES, open_seg, seg_mask, seg_source, segment_numbers
from mpmri_monai.volumes.stack import Stack

Form = Literal["value", "segment", "roi"]
FORMS: tuple[Form, ...] = get_args(Form)

NIFTI_ENDINGS = (".nii", ".nii.gz")
MOST_VALUES = 64
"""More label values than this in one NIfTI file is no mask of regions (count)."""
ANATOMY = ("SCT:91723000", "SRT:T-D000A")
"""Category of a segment that shows normal anatomy (DICOM PS3.16, CID 7150)."""
ANATOMY_TYPES = ("ORGAN", "EXTERNAL", "AVOIDANCE", "BOLUS", "SUPPORT", "FIXATION")
"""Interpreted types of a region of an RTSTRUCT that is no lesion (DICOM PS3.3, C.8.8.8)."""
INTERPRETED_TYPES = (*ANATOMY_TYPES, "PTV", "CTV", "GTV", "TREATED_VOLUME", "IRRAD_VOLUME", "CAVITY", "CONTROL")
CODE_PATTERN = r"[A-Za-z0-9._-]{1,16}"


@dataclass(frozen=True)
class MaskRegion:
    """One region of a mask file. It goes by number: the names that people give to regions may say anything."""

    path: Path
    form: Form
    """What the number is: a voxel value (NIfTI), a segment (DICOM SEG) or an ROI (RTSTRUCT)."""
    number: int
    code: str = ""
    """What the file codes the region as: ``scheme:value`` of a segment's type, or an ROI's interpreted type."""
    anatomy: bool = False
    """Whether the file codes it as normal anatomy, such as a whole organ."""


def mask_regions(path: Path) -> tuple[MaskRegion, ...]:
    """Return every region of a mask file, in the order of their numbers, or of all mask files in a folder.

    Each value above 0 of a NIfTI label map is a region, each segment of a DICOM SEG, and each ROI of an RTSTRUCT that
    has contours.

    Raises:
        MaskError: no such file, neither of the three, empty, or damaged.
    """
    path, name = Path(path), "the mask"
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.is_file() and not file.name.startswith("."))
        if not files:
            raise mask_error(name, "a mask file, or a folder of them", "an empty folder", "E_MASK_FILE")
        return tuple(region for file in files for region in mask_regions(file))
    if path.name.lower().endswith(NIFTI_ENDINGS):
        return tuple(MaskRegion(path, "value", value) for value in _values(path, name))
    dataset = open_object(path, name, (*SEG_CLASSES, *RTSTRUCT_CLASSES), "SEG or RTSTRUCT, or of NIfTI (.nii, .nii.gz)")
    with _damage_named(name):
        regions = _segments(path, dataset) if dataset.SOPClassUID in SEG_CLASSES else _rois(path, dataset)
    if not regions:
        raise mask_error(name, "at least one region", "none", "E_MASK_EMPTY")
    if regions[0].number < 1:
        raise mask_error(name, "regions numbered from 1", f"number {regions[0].number}", "E_MASK_FILE")
    return regions


def read_region(region: MaskRegion, stacks: Mapping[str, Stack], name: str, drawn_on: str | None = None) -> Mask:
    """Read a region on the grid of the sequence that it was drawn on.

    That sequence is ``drawn_on``; when it is not given, the one whose images the file refers to; when the file refers
    to none of them, the first whose grid the mask has (contours have no grid, so that it has to be given).

    Args:
        region: of a mask file.
        stacks: sequences of the study by name.
        name: of the region, for errors.
        drawn_on: sequence that it was drawn on, if known.

    Returns:
        The mask; ``drawn_on`` names the sequence, the first one where several share the grid.

    Raises:
        MaskError: the file cannot be read (E_MASK_FILE, E_NOGEOM, E_LIMIT), holds no voxel there (E_MASK_EMPTY), refers
            to other images than those of ``drawn_on`` (E_MASK_SOURCE), has positions in another frame of reference
            (E_MASK_FRAME), or does not lie on the grid (E_MASK_GRID, E_MASK_OUT).
    """
    if drawn_on is not None and drawn_on not in stacks:
        raise MaskError(
            expected=f"the sequence {drawn_on} that the mask was drawn on",
            found=f"a study with {' '.join(stacks)}",
            where=name,
            fix="name in drawn_on a sequence that the study has and whose grid the mask shares",
            code="E_MASK_SOURCE",
        )
    source, read = _reader(region, name)
    candidates = _candidates(source, stacks, drawn_on, name)
    if region.form == "roi" and drawn_on is None:
        _check_one_grid(source, [stacks[sequence] for sequence in candidates], name)
    tried: list[Geometry] = []
    for sequence in candidates:
        image = stacks[sequence].geometry
        if not any(same_grid(image, other) for other in tried):
            mask = read(image)
            if fits(mask, image):
                return replace(mask, drawn_on=sequence)
            tried.append(image)
    if len(tried) == 1:
        check_mask(mask, image, name, _others(source, read, stacks, candidates))
    found = f"{described(mask.geometry)}, like none of {' '.join(candidates)}"
    fix = "draw it on one of them, or put it on the grid of one"
    raise mask_error(name, "a mask on the grid of one of the sequences", found, "E_MASK_GRID", fix)


def _reader(region: MaskRegion, name: str) -> tuple[MaskSource, Callable[[Geometry], Mask]]:
    """What a region says about its images, and how to read it for the grid of one."""
    with _damage_named(name):
        if region.form == "segment":
            seg = open_seg(region.path, name)
            return seg_source(seg, region.number), partial(seg_mask, seg, region.number, name)
        if region.form == "roi":
            contours = open_rtstruct(region.path, name)
            return roi_source(contours, region.number), partial(roi_mask, contours, region.number, name)
    mask = read_nifti_mask(region.path, region.number, name)

    def as_stored(_: Geometry) -> Mask:
        return mask

    return MaskSource(), as_stored


@contextmanager
def _damage_named(name: str) -> Iterator[None]:
    """Turn what pydicom raises for absent, ill-typed or endlessly nested values into an error about the region."""
    try:
        with without_warnings():
            yield
    except MaskError:
        raise
    except Exception as error:
        raise mask_error(name, "a mask with numbered regions", "a damaged one", "E_MASK_FILE") from error


def _candidates(source: MaskSource, stacks: Mapping[str, Stack], drawn_on: str | None, name: str) -> list[str]:
    """Sequences that a region may have been drawn on, by what its file says and what the caller knows."""
    named = [sequence for sequence, stack in stacks.items() if source.names(stack)]
    if drawn_on is not None and named and drawn_on not in named:
        raise mask_error(
            name,
            f"a mask that refers to images of {drawn_on}, as drawn_on says",
            f"one that refers to images of {' '.join(named)}",
            "E_MASK_SOURCE",
            f"put {' or '.join(named)} into drawn_on, or leave it out",
        )
    wanted = named or list(stacks) if drawn_on is None else [drawn_on]
    shared = [sequence for sequence in wanted if named or source.shares_space(stacks[sequence])]
    if not shared:
        found = "another one, and references to other images"
        fix = "check that mask and images belong to the same study, and were de-identified together"
        raise mask_error(name, f"the frame of reference of {' '.join(wanted)}", found, "E_MASK_FRAME", fix)
    return shared


def _check_one_grid(source: MaskSource, stacks: Sequence[Stack], name: str) -> None:
    """Contours have no grid: which image they were drawn on has to be known."""
    named = all(source.names(stack) for stack in stacks)
    if not named or not all(same_grid(stack.geometry, stacks[0].geometry) for stack in stacks):
        found = "contours that refer to images of several" if named else "contours that refer to images of none"
        fix = "name the sequence in drawn_on"
        raise mask_error(name, "the one sequence that the contours were drawn on", found, "E_MASK_SOURCE", fix)


def _others(
    source: MaskSource, read: Callable[[Geometry], Mask], stacks: Mapping[str, Stack], tried: Sequence[str]
) -> str | None:
    """What to do when a mask has the grid of a sequence that it is not said to be drawn on."""
    others = [s for s, stack in stacks.items() if s not in tried and fits(read(stack.geometry), stack.geometry)]
    if not others:
        return None
    if source.names(stacks[tried[0]]):  # drawn_on may not contradict that
        return f"it refers to {tried[0]}, but has the grid of {others[0]}: export it again with the images of its grid"
    return f"put {' or '.join(others)} into drawn_on: the mask has that grid"


def _values(path: Path, name: str) -> list[int]:
    values, _ = read_labels(path, name)
    labels = np.unique(values[values != 0])
    if not len(labels):
        raise mask_error(name, "at least one region", "a mask of zeros", "E_MASK_EMPTY")
    if len(labels) > MOST_VALUES or labels[0] < 0:
        found = f"{len(labels)} values from {labels[0]:g} to {labels[-1]:g}"
        raise mask_error(name, "whole numbers from 1, one a region", found, "E_MASK_FILE")
    return [int(value) for value in labels]


def _segments(path: Path, dataset: Dataset) -> tuple[MaskRegion, ...]:
    described_by = {int(item.SegmentNumber): item for item in dataset.SegmentSequence}
    return tuple(
        MaskRegion(
            path,
            "segment",
            number,
            _code(described_by[number], "SegmentedPropertyTypeCodeSequence"),
            _code(described_by[number], "SegmentedPropertyCategoryCodeSequence") in ANATOMY,
        )
        for number in segment_numbers(dataset)
    )


def _code(segment: Dataset, keyword: str) -> str:
    """A code as ``scheme:value``; empty when it is not written as codes are, for then it could be any text."""
    for item in segment.get(keyword, None) or ():
        parts = str(item.get("CodingSchemeDesignator", "")), str(item.get("CodeValue", ""))
        if all(re.fullmatch(CODE_PATTERN, part) for part in parts):
            return ":".join(parts)
    return ""


def _rois(path: Path, dataset: Dataset) -> tuple[MaskRegion, ...]:
    types = {
        int(item.ReferencedROINumber): str(item.get("RTROIInterpretedType", ""))
        for item in dataset.get("RTROIObservationsSequence", None) or ()
    }
    codes = {number: kind for number, kind in types.items() if kind in INTERPRETED_TYPES}
    return tuple(
        MaskRegion(path, "roi", number, codes.get(number, ""), codes.get(number) in ANATOMY_TYPES)
        for number in roi_numbers(dataset)
    )
