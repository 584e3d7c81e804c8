"""The lesions of an answer on the series that they were drawn on, for its pictures and its DICOM objects."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mpmri_monai.inference.study import DescribedDataset, DescribedStudy
from mpmri_monai.report.dicom_answer import RegionOnSeries
from mpmri_monai.samples.locate import reference_of
from mpmri_monai.volumes import Mask, Stack, fits


def regions_on_series(dataset: DescribedDataset) -> dict[str, RegionOnSeries]:
    """Return each lesion on the grid of its series, by its id; for a box that is the reference's.

    Raises:
        MaskError: as `RegionOnSeries.on`.
    """
    lesions, stacks = dataset.regions.lesions, dataset.stacks
    return {
        name: RegionOnSeries.on(stacks[sequence_of(mask, stacks)], mask, f"lesion {name}")
        for name, mask in lesions.items()
    }


def source_files(described: DescribedStudy) -> list[Path]:
    """Return the DICOM files of the study's sequences, each once; none of a study that is kept as NIfTI."""
    volumes = [described.catalogue.volume(volume) for volume in described.roles.values()]
    return list(dict.fromkeys(header.path for volume in volumes for header in volume.files))


def sequence_of(mask: Mask, stacks: Mapping[str, Stack]) -> str:
    """Return the sequence that a mask was drawn on; the reference for a box, or where no grid fits."""
    if mask.drawn_on in stacks:
        return str(mask.drawn_on)
    return next((name for name, stack in stacks.items() if fits(mask, stack.geometry)), reference_of(stacks))
