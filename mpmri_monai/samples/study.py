"""From one study of a manifest to its samples, step by step; one study in memory at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mpmri_monai.catalogue import Catalogue, scan
from mpmri_monai.cohort import DicomImage, Region, Study
from mpmri_monai.errors import ManifestError, MaskError
from mpmri_monai.samples.background import background_positions
from mpmri_monai.samples.intensity import trimmed_windows
from mpmri_monai.samples.locate import Position, lesion_positions, reference_planes
from mpmri_monai.samples.region import box_mask
from mpmri_monai.samples.sample import Sample, take_samples
from mpmri_monai.samples.settings import Settings
from mpmri_monai.volumes import (
    Mask,
    Stack,
    check_mask,
    fits,
    read_dicom,
    read_nifti,
    read_nifti_mask,
    read_seg_mask,
)

LIVER = "liver"
ORGAN_VALUE = 1
"""Voxel value of an organ that a manifest names by its mask file alone."""


@dataclass(frozen=True, eq=False)
class Regions:
    """The masks of a study."""

    lesions: Mapping[str, Mask]
    liver: Mask | None


def sample_study(study: Study, folder: Path, settings: Settings, sequences: Sequence[str]) -> list[Sample]:
    """Return the samples of a study, lesions first, then background.

    The same steps, one by one and as MONAI transforms, are ``mpmri_monai.transforms.preprocessing``.

    Args:
        study: the study's entry of a manifest.
        folder: what the paths of that entry are relative to.
        settings: how samples are taken.
        sequences: the sequences of the manifest, in order.

    Raises:
        MpmriError: a file, a mask or the geometry is not usable; the message says which and what to do.
    """
    stacks = load_sequences(study, folder, sequences)
    regions = load_regions(study, folder, stacks)
    windows = trimmed_windows(stacks, settings.trim, settings.joint_dce)
    positions = locate_samples(study, stacks, regions, settings)
    return take_samples(study, stacks, windows, positions, sequences, settings)


def load_sequences(study: Study, folder: Path, sequences: Sequence[str]) -> dict[str, Stack]:
    """Read every sequence that the study has, in the given order; each DICOM folder is scanned once."""
    catalogues: dict[str, Catalogue] = {}
    stacks = {}
    for sequence in sequences:
        image = study.images.get(sequence)
        if isinstance(image, DicomImage):
            if image.dicom not in catalogues:
                catalogues[image.dicom] = scan(Path(folder) / image.dicom)
            stacks[sequence] = read_dicom(catalogues[image.dicom].volume(image.volume))
        elif image is not None:
            stacks[sequence] = read_nifti(Path(folder) / image)
    if not stacks:
        raise ManifestError(
            expected=f"at least one of {' '.join(sequences)}", found="no image", where=f"study {study.study}"
        )
    return stacks


def load_regions(study: Study, folder: Path, stacks: Mapping[str, Stack]) -> Regions:
    """Read the lesion masks and the liver mask, and check that each lies on the grid that it was drawn on."""
    lesions = {
        lesion.id: _region_mask(
            f"study {study.study}, lesion {lesion.id}", lesion.region, lesion.drawn_on, Path(folder), stacks
        )
        for lesion in study.lesions
    }
    organ = study.organs.get(LIVER)
    if organ is None:
        return Regions(lesions, None)
    region = Region(mask=organ, value=ORGAN_VALUE) if isinstance(organ, str) else organ
    return Regions(lesions, _region_mask(f"study {study.study}, {LIVER}", region, None, Path(folder), stacks))


def locate_samples(study: Study, stacks: Mapping[str, Stack], regions: Regions, settings: Settings) -> list[Position]:
    """Return where samples are taken: all positions of every lesion, then the matching background."""
    references = reference_planes(stacks)
    lesions = {name: lesion_positions(name, mask, references, settings) for name, mask in regions.lesions.items()}
    positions = [position for found in lesions.values() for position in found]
    if settings.background and regions.liver is not None:
        positions += background_positions(study.study, lesions, regions.lesions, regions.liver, references, settings)
    return positions


def _region_mask(name: str, region: Region, drawn_on: str | None, folder: Path, stacks: Mapping[str, Stack]) -> Mask:
    mask = _read_mask(region, folder, name)
    if region.mask is None:  # a box has no grid
        return mask
    if drawn_on is not None:
        if drawn_on not in stacks:
            raise MaskError(
                expected=f"the sequence {drawn_on} that the mask was drawn on",
                found=f"a study with {' '.join(stacks)}",
                where=name,
                fix="name in drawn_on a sequence that the study has and whose grid the mask shares",
            )
        check_mask(mask, stacks[drawn_on].geometry, name)
    elif not any(fits(mask, stack.geometry) for stack in stacks.values()):
        columns, rows, slices = mask.geometry.shape
        raise MaskError(
            expected="a mask on the grid of one of the sequences",
            found=f"{columns}×{rows}×{slices} at {mask.geometry.slice_spacing_mm:.1f} mm, like none of "
            + " ".join(stacks),
            where=name,
            fix="draw it on one of them, or put it on the grid of one",
            code="E_MASK_GRID",
        )
    return mask


def _read_mask(region: Region, folder: Path, name: str) -> Mask:
    if region.center_mm is not None and region.size_mm is not None:
        return box_mask(region.center_mm, region.size_mm)
    if region.mask is not None and region.value is not None:
        return read_nifti_mask(folder / region.mask, region.value, name)
    if region.mask is not None and region.segment is not None:
        return read_seg_mask(folder / region.mask, region.segment, name)
    raise MaskError(
        expected="a mask in NIfTI or DICOM SEG",
        found="a region of an RTSTRUCT",
        where=name,
        fix="convert the contours to a DICOM SEG",
    )
