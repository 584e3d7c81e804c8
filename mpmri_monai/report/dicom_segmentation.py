"""Lesions as a DICOM SEG: one binary segment each, on the grid of the series that they were drawn on."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from typing import Any

import highdicom as hd
import numpy as np
from pydicom import Dataset
from pydicom.sr.codedict import codes

from mpmri_monai import __version__
from mpmri_monai.errors import CatalogueError
from mpmri_monai.report.dicom_codes import (
    ABNORMAL_STRUCTURE,
    LONGEST_TEXT,
    MANUFACTURER,
    RESEARCH_ONLY,
    series_description,
    stable_uid,
)
from mpmri_monai.report.dicom_source import RegionOnSeries
from mpmri_monai.volumes import Geometry

SERIES_NUMBER = 9101
UNNAMED_DETECTOR = {"name": "detector", "version": "not stated", "weights_sha256": "not stated"}


def segmentation(
    regions: Mapping[str, RegionOnSeries], images: list[Dataset], result: Mapping[str, Any], instance_number: int
) -> hd.seg.Segmentation:
    """Return the regions of one series as BINARY SEG; segment k is the k-th region.

    Args:
        regions: by the lesion's id, all on the same images.
        images: of that series, in the order of the slices, or the one multi-frame file.
        result: content of ``result.json``.
        instance_number: of the object in its series.

    Raises:
        CatalogueError: the images do not say where they lie (E_NOGEOM).
    """
    found = {lesion["id"] for lesion in result["lesions"] if lesion.get("score") is not None}
    detector = result["study"].get("searched_by") or UNNAMED_DETECTOR  # older answers do not name it
    described = [
        _segment(number, name, region, images, detector if name in found else None)
        for number, (name, region) in enumerate(regions.items(), start=1)
    ]
    voxels = np.stack([region.mask.voxels for region in regions.values()], axis=-1).astype(np.uint8)
    first = next(iter(regions.values()))
    if first.frames:
        images = [_with_shared_groups(image, first.frames[0]) for image in images]
    try:
        content = hd.seg.Segmentation(
            source_images=images,
            pixel_array=voxels,
            segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
            segment_descriptions=described,
            series_instance_uid=hd.UID(),
            series_number=SERIES_NUMBER,
            sop_instance_uid=hd.UID(),
            instance_number=instance_number,
            manufacturer=MANUFACTURER,
            manufacturer_model_name=result["bundle"]["name"][:LONGEST_TEXT],
            software_versions=__version__,
            device_serial_number=result["bundle"]["weights_sha256"][:16],
            content_label="LESIONS",
            content_description=RESEARCH_ONLY[:LONGEST_TEXT],
            **(_planes(first.mask.geometry) if first.frames else {}),
        )
    except (AttributeError, KeyError, ValueError) as error:  # highdicom's, for headers that lack geometry
        raise CatalogueError(
            expected="images of one volume that say where each slice lies, as single images or one multi-frame file",
            found="images that a DICOM SEG cannot refer to",
            fix="give the regions as NIfTI, or leave out --dicom-out",
            code="E_NOGEOM",
        ) from error
    if first.frames:
        _drop_other_frames(content, first.frames)
    content.SeriesDescription = series_description("regions")
    return content


def tracking_uid(region: RegionOnSeries, images: list[Dataset]) -> str:
    """Return the same UID whenever the same voxels of the same images are answered about."""
    return stable_uid(
        *region.instances, str(images[0].StudyInstanceUID), np.packbits(region.mask.voxels).tobytes().hex()
    )


def _segment(
    number: int, name: str, region: RegionOnSeries, images: list[Dataset], detector: Mapping[str, str] | None
) -> hd.seg.SegmentDescription:
    """Describe a segment: a region that a person gave is manual, a found one is the work of a detector, which is not
    the bundle that answers."""
    kinds = hd.seg.SegmentAlgorithmTypeValues
    algorithm = detector and hd.AlgorithmIdentificationSequence(
        name=detector["name"][:LONGEST_TEXT],
        family=codes.DCM.ArtificialIntelligence,
        version=detector["version"][:LONGEST_TEXT],
        parameters={"weights_sha256": detector["weights_sha256"]},
    )
    return hd.seg.SegmentDescription(
        segment_number=number,
        segment_label=f"Lesion {name}"[:LONGEST_TEXT],
        segmented_property_category=ABNORMAL_STRUCTURE,
        segmented_property_type=codes.SCT.Lesion,
        algorithm_type=kinds.AUTOMATIC if detector else kinds.MANUAL,
        algorithm_identification=algorithm,
        tracking_uid=tracking_uid(region, images),
        tracking_id=name,
    )


def _with_shared_groups(image: Dataset, frame: int) -> Dataset:
    """Return the header of a multi-frame file as highdicom wants it: what its frames have in common in one place."""
    image = copy(image)
    shared = copy(image.SharedFunctionalGroupsSequence[0]) if image.get("SharedFunctionalGroupsSequence") else Dataset()
    for name in ("PixelMeasuresSequence", "PlaneOrientationSequence"):
        if name not in shared:
            setattr(shared, name, image.PerFrameFunctionalGroupsSequence[frame][name].value)
    image.SharedFunctionalGroupsSequence = [shared]
    return image


def _planes(geometry: Geometry) -> dict[str, Any]:
    """Return where the slices lie, for a multi-frame file, which may hold other frames too."""
    affine = geometry.affine * [[-1], [-1], [1], [1]]  # RAS+ to LPS+
    columns, rows, _ = geometry.spacing_mm
    across, down = affine[:3, 0] / columns, affine[:3, 1] / rows
    patient = hd.CoordinateSystemNames.PATIENT
    thickness = float(np.linalg.norm(affine[:3, 2]))
    return {
        "pixel_measures": hd.PixelMeasuresSequence((rows, columns), thickness, geometry.slice_spacing_mm),
        "plane_orientation": hd.PlaneOrientationSequence(patient, [*across, *down]),
        "plane_positions": [
            hd.PlanePositionSequence(patient, affine[:3, 3] + k * affine[:3, 2]) for k in range(geometry.shape[2])
        ],
    }


def _drop_other_frames(content: Dataset, frames: tuple[int, ...]) -> None:
    """Refer to the frames of the region's volume alone; highdicom refers to every frame at the same place."""
    for group in content.PerFrameFunctionalGroupsSequence:
        for derivation in group.DerivationImageSequence:
            derivation.SourceImageSequence = [
                source for source in derivation.SourceImageSequence if int(source.ReferencedFrameNumber) - 1 in frames
            ]
