"""Small DICOM volumes on any grid, with known pixels."""

from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import settings
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage

settings.register_profile("no deadline", deadline=None)  # machines are shared, first calls are slow
settings.load_profile("no deadline")

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def rotation(generator: np.random.Generator) -> np.ndarray:
    """A random right-handed frame (3, 3)."""
    frame, _ = np.linalg.qr(generator.normal(size=(3, 3)))
    frame[:, 2] *= np.sign(np.linalg.det(frame))
    return frame


def affine_of(frame: np.ndarray, spacing_mm, origin_mm) -> np.ndarray:
    """RAS+ affine for voxel index (column, row, slice) from LPS+ directions, spacing and origin."""
    affine = np.eye(4)
    affine[:3, :3] = frame * np.asarray(spacing_mm)
    affine[:3, 3] = origin_mm
    return LPS_TO_RAS @ affine


def write_volume(
    folder: Path, stored: np.ndarray, frame: np.ndarray, spacing_mm, origin_mm, slopes=None, seed: int = 0, **tags
) -> list[pydicom.Dataset]:
    """Write (slice, row, column) pixels as one series; directions and origin in LPS+, spacing (column, row, slice)."""
    folder.mkdir(parents=True, exist_ok=True)
    images = []
    for k in np.random.default_rng(seed).permutation(len(stored)):
        dataset = pydicom.Dataset()
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = MRImageStorage
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"2.25.6{k:04}"
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.FrameOfReferenceUID = "2.25.1", "2.25.2", "2.25.3"
        dataset.PatientID, dataset.Modality, dataset.SeriesNumber = "X", "MR", 5
        dataset.PatientName = dataset.PatientBirthDate = dataset.PatientSex = dataset.StudyID = ""
        dataset.StudyDate = dataset.StudyTime = dataset.AccessionNumber = dataset.ReferringPhysicianName = ""
        dataset.InstanceNumber = int(k) + 1
        dataset.ImageOrientationPatient = [float(f"{value:.10g}") for value in frame[:, :2].T.ravel()]
        position = np.asarray(origin_mm) + frame[:, 2] * spacing_mm[2] * k
        dataset.ImagePositionPatient = [float(f"{value:.10g}") for value in position]
        dataset.PixelSpacing, dataset.SliceThickness = [spacing_mm[1], spacing_mm[0]], 1.0
        dataset.Rows, dataset.Columns = stored.shape[1:]
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
        bits = 8 * stored.itemsize
        dataset.BitsAllocated = dataset.BitsStored = bits
        dataset.HighBit, dataset.PixelRepresentation = bits - 1, int(stored.dtype.kind == "i")
        if slopes is not None:
            dataset.RescaleSlope, dataset.RescaleIntercept = float(slopes[k]), 0.5
        dataset.PixelData = stored[k].tobytes()
        for tag, value in tags.items():
            setattr(dataset, tag, value)
        dataset.save_as(folder / f"{(k * 7919) % 10007:05}", enforce_file_format=True)
        images.append(dataset)
    return images


def write_seg(path, sources, voxels, kind="BINARY", labels=None, **options):
    """Write (slice, row, column[, segment]) as a SEG of the given source images; codes by segment number."""
    from highdicom import seg
    from pydicom.sr.codedict import codes

    numbers = range(1, (voxels.shape[3] if voxels.ndim == 4 else int(voxels.max())) + 1)
    segments = [
        seg.SegmentDescription(
            segment_number=number,
            segment_label="PLANTED^NAME",
            segmented_property_category=(labels or {}).get(number, (codes.SCT.MorphologicallyAbnormalStructure,))[0],
            segmented_property_type=(labels or {}).get(number, (None, codes.SCT.Lesion))[1],
            algorithm_type="MANUAL",
        )
        for number in numbers
    ]
    written = seg.Segmentation(
        source_images=sources,
        pixel_array=voxels,
        segmentation_type=kind,
        segment_descriptions=segments,
        series_instance_uid="2.25.8",
        series_number=100,
        sop_instance_uid="2.25.81",
        instance_number=1,
        manufacturer="none",
        manufacturer_model_name="none",
        software_versions="0",
        device_serial_number="0",
        **options,
    )
    written.save_as(path)
    return path


def write_rtstruct(path, rois, frame="2.25.3", series=()):
    """Write an RTSTRUCT.

    ``rois`` maps ROI Number to a list of contours, each LPS+ points (point, 3) or (points, tags of the contour,
    instance UID of its image); ``series`` are the instances that the file as a whole refers to.
    """
    structure = pydicom.Dataset()
    structure.file_meta = FileMetaDataset()
    structure.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    structure.SOPClassUID = structure.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.481.3"
    structure.SOPInstanceUID = structure.file_meta.MediaStorageSOPInstanceUID = "2.25.91"
    structure.StudyInstanceUID, structure.SeriesInstanceUID, structure.PatientID = "2.25.1", "2.25.9", "X"
    structure.Modality = "RTSTRUCT"
    if series:
        references = dataset(RTReferencedSeriesSequence=[dataset(ContourImageSequence=[image(uid) for uid in series])])
        structure.ReferencedFrameOfReferenceSequence = [
            dataset(FrameOfReferenceUID=frame, RTReferencedStudySequence=[references])
        ]
    structure.StructureSetROISequence = [
        dataset(ROINumber=number, ROIName="PLANTED^NAME", ReferencedFrameOfReferenceUID=frame) for number in rois
    ]
    structure.ROIContourSequence = [
        dataset(ReferencedROINumber=number, ContourSequence=[contour(drawn) for drawn in contours])
        for number, contours in rois.items()
    ]
    structure.save_as(path, enforce_file_format=True)
    return path


def contour(drawn) -> pydicom.Dataset:
    points, tags, uid = drawn if isinstance(drawn, tuple) else (drawn, {}, None)
    points = np.asarray(points, dtype=float)
    content = {
        "ContourGeometricType": "CLOSED_PLANAR",
        "NumberOfContourPoints": len(points),
        "ContourData": [f"{value:.4f}" for value in points.ravel()],
    }
    if uid:
        content["ContourImageSequence"] = [image(uid)]
    return dataset(**content | tags)


def image(uid: str) -> pydicom.Dataset:
    uid, _, frame = uid.partition("#")
    content = {"ReferencedSOPClassUID": MRImageStorage, "ReferencedSOPInstanceUID": uid}
    return dataset(**content, **({"ReferencedFrameNumber": int(frame) + 1} if frame else {}))


def dataset(**tags) -> pydicom.Dataset:
    made = pydicom.Dataset()
    for tag, value in tags.items():
        setattr(made, tag, value)
    return made


class Make:
    """The functions of this module, for tests."""

    rotation, affine_of, write_volume = map(staticmethod, (rotation, affine_of, write_volume))
    write_seg, write_rtstruct = map(staticmethod, (write_seg, write_rtstruct))


@pytest.fixture(scope="session")
def make() -> type[Make]:
    return Make
