"""Multi-frame files made from the images of classic ones: the same voxels, in functional groups."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import EnhancedMRImageStorage, ExplicitVRLittleEndian

GROUPS = {
    "PlanePositionSequence": {"ImagePositionPatient": "ImagePositionPatient"},
    "PlaneOrientationSequence": {"ImageOrientationPatient": "ImageOrientationPatient"},
    "PixelMeasuresSequence": {"PixelSpacing": "PixelSpacing", "SliceThickness": "SliceThickness"},
    "PixelValueTransformationSequence": {"RescaleSlope": "RescaleSlope", "RescaleIntercept": "RescaleIntercept"},
    "MREchoSequence": {"EchoTime": "EffectiveEchoTime"},
    "MRTimingAndRelatedParametersSequence": {"RepetitionTime": "RepetitionTime", "FlipAngle": "FlipAngle"},
    "MRDiffusionSequence": {"DiffusionBValue": "DiffusionBValue"},
    "MRImageFrameTypeSequence": {"ImageType": "FrameType", "ComplexImageComponent": "ComplexImageComponent"},
    "CardiacSynchronizationSequence": {"TriggerTime": "NominalCardiacTriggerDelayTime"},
    "FrameContentSequence": {"TemporalPositionIdentifier": "TemporalPositionIndex"},
}
"""Functional group -> attribute of a classic image -> attribute in the group."""
TOP = (
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "FrameOfReferenceUID",
    "PatientID",
    "PatientName",
    "StudyDate",
    "SeriesDate",
    "StudyTime",
    "Modality",
    "SeriesNumber",
    "MagneticFieldStrength",
    "PatientPosition",
    "Rows",
    "Columns",
    "SamplesPerPixel",
    "BitsAllocated",
    "BitsStored",
    "PhotometricInterpretation",
    "HighBit",
    "PixelRepresentation",
    "MRAcquisitionType",
    "Manufacturer",
)
"""Attributes that belong to the whole file."""
PULSE_SEQUENCES = {"GR": "GRADIENT", "SE": "SPIN"}


def multi_frame(images: Sequence[Dataset], instance: int = 1, shared: bool = True, **tags: Any) -> Dataset:
    """Put classic images into one enhanced MR file, a frame each, in the order given.

    Args:
        images: of one series.
        instance: InstanceNumber of the file, which also makes its UID.
        shared: whether groups that are the same in all frames are written once, as shared functional groups.
        tags: further attributes of the file.
    """
    first = images[0]
    file = Dataset()
    file.file_meta = FileMetaDataset()
    file.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file.SOPClassUID = file.file_meta.MediaStorageSOPClassUID = EnhancedMRImageStorage
    file.SOPInstanceUID = file.file_meta.MediaStorageSOPInstanceUID = f"{first.SOPInstanceUID}{instance:03}"
    for keyword in TOP:
        if keyword in first:
            setattr(file, keyword, first[keyword].value)
    file.InstanceNumber, file.ImageType = instance, ["ORIGINAL", "PRIMARY", "T1", "MIXED"]
    file.AcquisitionDateTime = first.AcquisitionDate + str(first.get("AcquisitionTime", "100000"))
    file.EchoPulseSequence = PULSE_SEQUENCES[first.ScanningSequence]
    file.NumberOfFrames = len(images)
    frames = [_groups(image) for image in images]
    common = {name for name in frames[0] if all(frame.get(name) == frames[0][name] for frame in frames)}
    common -= {"FrameContentSequence", "PlanePositionSequence"}
    top = Dataset()
    for name in sorted(common) if shared else ():
        setattr(top, name, Items([frames[0][name]]))
    file.SharedFunctionalGroupsSequence = Items([top])
    file.PerFrameFunctionalGroupsSequence = Items([_item(frame, common if shared else set()) for frame in frames])
    for keyword, value in tags.items():
        setattr(file, keyword, value)
    file.PixelData = b"".join(image.PixelData for image in images)
    return file


def _groups(image: Dataset) -> dict[str, Dataset]:
    found = {}
    for name, attributes in GROUPS.items():
        group = Dataset()
        for classic, framed in attributes.items():
            if classic in image:
                setattr(group, framed, image[classic].value)
        if len(group):
            found[name] = group
    content = found.setdefault("FrameContentSequence", Dataset())
    if "AcquisitionTime" in image:
        content.FrameAcquisitionDateTime = image.AcquisitionDate + image.AcquisitionTime
    if "ImagingFrequency" in image:
        modifier = Dataset()
        modifier.TransmitterFrequency = float(image.ImagingFrequency)
        found["MRImagingModifierSequence"] = modifier
    return found


def _item(frame: dict[str, Dataset], left_out: set[str]) -> Dataset:
    item = Dataset()
    for name, group in frame.items():
        if name not in left_out:
            setattr(item, name, Items([group]))
    return item


def by_slice(volumes: Sequence[Sequence[Dataset]]) -> list[Dataset]:
    """Images of several volumes, all of one slice before those of the next."""
    return [image for images in zip(*volumes, strict=True) for image in images]


def frame_pixels(images: Sequence[Dataset]) -> np.ndarray:
    """Stored values (frame, row, column)."""
    first = images[0]
    return np.stack([np.frombuffer(image.PixelData, "<u2").reshape(first.Rows, first.Columns) for image in images])


def legacy_converted(images: Sequence[Dataset]) -> Dataset:
    """Put classic images into one Legacy Converted Enhanced MR file, written by highdicom."""
    from highdicom.legacy import LegacyConvertedEnhancedMRImage

    for image in images:
        image.PatientBirthDate, image.PatientSex, image.AccessionNumber, image.StudyID = "", "O", "", "1"
        image.ReferringPhysicianName, image.Manufacturer = "", image.get("Manufacturer", "")
        image.BurnedInAnnotation, image.ContentTime = "NO", image.get("ContentTime", image.get("AcquisitionTime", "10"))
        image.PositionReferenceIndicator = ""
    series, instance = images[0].SeriesInstanceUID, f"{images[0].SOPInstanceUID}999"
    return LegacyConvertedEnhancedMRImage(list(images), series, images[0].SeriesNumber, instance, 1)
