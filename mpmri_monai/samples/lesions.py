"""The lesions of a mask file, for studies that no manifest describes."""

from __future__ import annotations

from pathlib import Path

from mpmri_monai.cohort import Lesion, Region
from mpmri_monai.volumes import mask_regions


def lesions_of(mask: Path, drawn_on: str | None = None) -> tuple[Lesion, ...]:
    """Return the lesions of a mask file or a folder of them.

    A region that the file codes as normal anatomy, such as the whole liver, is none, unless there is nothing else. A
    lesion of a single file has the number that the file gives it, others are counted.

    Args:
        mask: NIfTI, DICOM SEG or RTSTRUCT, or a folder of such files.
        drawn_on: sequence that the lesions were drawn on, if known.

    Raises:
        MaskError: as `mpmri_monai.volumes.mask_regions`.
    """
    regions = mask_regions(mask)
    regions = tuple(region for region in regions if not region.anatomy) or regions
    one_file = len({region.path for region in regions}) == 1
    return tuple(
        Lesion(
            id=f"L{region.number if one_file else count}",
            region=Region.model_validate({"mask": str(region.path.resolve()), region.form: region.number}),
            drawn_on=drawn_on or None,
        )
        for count, region in enumerate(regions, start=1)
    )
