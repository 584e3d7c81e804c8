"""The lesions of an answer on the series that they were drawn on, for its pictures and its DICOM objects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from mpmri_monai.cohort import Lesion
from mpmri_monai.errors import MaskError
from mpmri_monai.inference.study import DescribedDataset, DescribedStudy
from mpmri_monai.report.dicom_answer import RegionOnSeries
from mpmri_monai.samples.harder_background import PORTAL
from mpmri_monai.samples.locate import reference_of
from mpmri_monai.volumes import Mask, Stack, fits, same_grid


def regions_on_series(dataset: DescribedDataset) -> dict[str, RegionOnSeries]:
    """Return each lesion on the grid of its series, by its id; for a box that is the reference's.

    A box that is so thin that it lies between two slices is not in it: no voxel of a series could stand for it.

    Raises:
        MaskError: as `RegionOnSeries.on`.
    """
    found, stacks = {}, dataset.stacks
    boxes = {lesion.id for lesion in dataset.study.lesions if lesion.region.center_mm is not None}
    for name, mask in dataset.regions.lesions.items():
        try:
            found[name] = RegionOnSeries.on(stacks[sequence_of(mask, stacks)], mask, f"lesion {name}")
        except MaskError as error:
            if error.code != "E_MASK_EMPTY" or name not in boxes:
                raise
    return found


def source_files(described: DescribedStudy) -> list[Path]:
    """Return the DICOM files of the study's sequences, each once; none of a study that is kept as NIfTI."""
    volumes = [described.catalogue.volume(volume) for volume in described.roles.values()]
    return list(dict.fromkeys(header.path for volume in volumes for header in volume.files))


def sequence_of(mask: Mask, stacks: Mapping[str, Stack]) -> str:
    """Return the sequence that a mask was drawn on; the reference for a box, or where no grid fits."""
    if mask.drawn_on in stacks:
        return str(mask.drawn_on)
    return next((name for name, stack in stacks.items() if fits(mask, stack.geometry)), reference_of(stacks))


def shown_on(lesion: Lesion, mask: Mask, stacks: Mapping[str, Stack], fusion: Sequence[str]) -> list[str]:
    """Return the sequences to show a lesion on, best first.

    That is the sequence it was drawn on, where a person or the file says so. The grid of a NIfTI file may be that of
    all phases, and a box has none: then the portal phase comes first, on which lesions are outlined (Jia et al. 2019)
    and which shows them far better than the plain one, and after it what the network sees.

    Args:
        lesion: as it was given.
        mask: its mask.
        stacks: the study's sequences.
        fusion: what the network sees.
    """
    drawn = mask.drawn_on
    if drawn in stacks and (lesion.drawn_on or lesion.region.value is None):
        return [str(drawn)]
    alike = [name for name, stack in stacks.items() if drawn not in stacks or _same(stack, stacks[str(drawn)])]
    return list(dict.fromkeys([name for name in (PORTAL, *fusion) if name in alike] + alike))


def _same(stack: Stack, other: Stack) -> bool:
    return same_grid(stack.geometry, other.geometry)
