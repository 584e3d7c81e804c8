"""Masks as a radiologist leaves them: lesions drawn on one sequence, as NIfTI or DICOM SEG, and the organ."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import ExplicitVRLittleEndian

from mpmri_monai.phantom.files import Clock, uid
from mpmri_monai.phantom.scanner import Scan


def lesion_mask(scan: Scan) -> NDArray[np.uint8]:
    """Return the number of the lesion (from 1) or 0 for each voxel (slice, row, column) of the sequence drawn on."""
    grid = scan.grids[scan.patient.anatomy.drawn_on]
    points = grid.points(-scan.shift_mm[scan.patient.anatomy.drawn_on])
    return scan.patient.body.lesion_at(points).reshape(grid.shape[::-1])


def organ_mask(scan: Scan) -> NDArray[np.uint8]:
    """Return 1 for each voxel (slice, row, column) of that sequence inside the organ, lesions included."""
    grid = scan.grids[scan.patient.anatomy.drawn_on]
    points = grid.points(-scan.shift_mm[scan.patient.anatomy.drawn_on])
    return scan.patient.body.in_organ(points).reshape(grid.shape[::-1]).astype(np.uint8)


def write_nifti(path: Path, mask: NDArray[np.uint8], scan: Scan) -> None:
    """Write a mask (slice, row, column) with the exact grid of the sequence drawn on."""
    image = nib.Nifti1Image(mask.transpose(2, 1, 0), scan.grids[scan.patient.anatomy.drawn_on].affine)
    image.header.set_xyzt_units("mm")
    nib.save(image, path)


def write_seg(path: Path, mask: NDArray[np.uint8], scan: Scan, sources: list[Dataset], clock: Clock) -> None:
    """Write lesion k as segment k of a binary DICOM SEG that refers to the images of the sequence drawn on.

    Args:
        mask: (slice, row, column) with lesion numbers.
        sources: headers of those images, in the order of the slices.
    """
    import highdicom as hd  # slow to import, and few studies need it

    numbers = range(1, int(mask.max()) + 1)
    segmentation = hd.seg.Segmentation(
        source_images=sources,
        pixel_array=np.stack([mask == number for number in numbers], axis=-1).astype(np.uint8),
        segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=[
            hd.seg.SegmentDescription(
                segment_number=number,
                segment_label=f"Lesion {number}",
                segmented_property_category=hd.sr.CodedConcept("49755003", "SCT", "Morphologically abnormal structure"),
                segmented_property_type=hd.sr.CodedConcept("108369006", "SCT", "Neoplasm"),
                algorithm_type=hd.seg.SegmentAlgorithmTypeValues.MANUAL,
            )
            for number in numbers
        ],
        series_instance_uid=uid(scan.patient, "seg", "series"),
        series_number=900,
        sop_instance_uid=uid(scan.patient, "seg"),
        instance_number=1,
        manufacturer="mpmri_monai",
        manufacturer_model_name="phantom",
        software_versions="1",
        device_serial_number="1",
        content_label="LESIONS",
    )
    segmentation.SeriesDescription = "Lesions"
    segmentation.ContentDate, segmentation.ContentTime = clock.date, clock.time(3000)
    segmentation.SeriesDate, segmentation.SeriesTime = clock.date, clock.time(3000)
    segmentation.InstanceCreationDate, segmentation.InstanceCreationTime = clock.date, clock.time(3000)
    for item in segmentation.ContributingEquipmentSequence:
        item.ContributionDateTime = clock.date + clock.time(3000)
    organization = uid(scan.patient, "seg", "dimensions")
    for item in (*segmentation.DimensionOrganizationSequence, *segmentation.DimensionIndexSequence):
        item.DimensionOrganizationUID = organization
    segmentation.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dcmwrite(path, segmentation, enforce_file_format=True)
