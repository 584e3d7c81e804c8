"""Writing one volume as classic single-frame MR images, with deterministic invented identifiers."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import dcmwrite, write_dataset, write_file_meta_info
from pydicom.tag import Tag
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage

from mpmri_monai.phantom.patients import Patient
from mpmri_monai.phantom.scanner import Grid

IMPLEMENTATION_UID = "2.25.120514239852637412086"
LPS = np.array([-1.0, -1.0, 1.0])
"""RAS+ to the patient coordinates of DICOM, which is its own inverse."""


@dataclass(frozen=True)
class Clock:
    """When things happened, in seconds after midnight of the day of the examination."""

    date: str
    start_s: float

    def time(self, after_s: float) -> str:
        """Return the DICOM time (TM) ``after_s`` seconds after the start."""
        hundredths = round((self.start_s + after_s) * 100)
        seconds, rest = divmod(hundredths, 100)
        return f"{seconds // 3600:02d}{seconds // 60 % 60:02d}{seconds % 60:02d}.{rest:02d}"


def uid(patient: Patient, *what: Any) -> str:
    """Return a UID under 2.25 that depends on the patient's seed and on ``what`` alone."""
    text = "/".join(map(str, (patient.seed, patient.stream, patient.number, patient.site.name, *what)))
    return f"2.25.{int.from_bytes(hashlib.sha256(text.encode()).digest()[:15], 'big')}"


def study_header(patient: Patient, clock: Clock) -> Dataset:
    """Return what every object of a study carries. Names, numbers and dates are invented."""
    header = Dataset()
    header.SpecificCharacterSet = "ISO_IR 100"
    header.StudyDate = header.SeriesDate = header.AcquisitionDate = header.ContentDate = clock.date
    header.StudyTime = clock.time(0)
    header.AccessionNumber = f"INV{patient.stream}{patient.seed % 1000:03d}{patient.number:04d}"
    header.ReferringPhysicianName = ""
    header.InstitutionName = f"Invented Hospital {patient.site.name}"
    header.StudyDescription = patient.anatomy.wording.study
    header.PatientName = f"Phantom^{patient.name}"
    header.PatientID = f"PHANTOM-{patient.seed}-{patient.name}"
    header.PatientBirthDate = f"{1940 + patient.number % 40}0101"
    header.PatientSex = "MF"[patient.number % 2]
    header.PatientAge = f"{int(clock.date[:4]) - 1940 - patient.number % 40:03d}Y"
    header.StudyInstanceUID = uid(patient, "study")
    header.StudyID = "1"
    header.FrameOfReferenceUID = uid(patient, "frame")
    header.PositionReferenceIndicator = ""
    header.PatientPosition = "HFS"
    return header


def set_geometry(header: Dataset, grid: Grid) -> None:
    """Fill in matrix, pixel spacing and orientation."""
    columns, rows, _ = grid.shape
    lengths = np.linalg.norm(grid.affine[:3, :3], axis=0)
    axes = grid.affine[:3, :2] / lengths[:2] * LPS[:, None]
    header.Rows, header.Columns = rows, columns
    header.PixelSpacing = [f"{lengths[1]:.6f}", f"{lengths[0]:.6f}"]
    header.ImageOrientationPatient = [f"{value:.9f}" for value in axes.T.ravel()]


def position(grid: Grid, k: int) -> NDArray[np.float64]:
    """Return the centre of the first pixel of slice ``k``, mm, in DICOM's patient coordinates."""
    return (grid.affine[:3, 3] + k * grid.affine[:3, 2]) * LPS


def write_volume(
    folder: Path, header: Dataset, stored: NDArray[np.uint16], grid: Grid, instances: NDArray[np.int64], rng: Generator
) -> None:
    """Write one file a slice, under random names.

    Args:
        folder: where to.
        header: everything that the slices share; geometry and pixel format are filled in here.
        stored: (slice, row, column).
        grid: where the voxels lie.
        instances: (slice,), the instance number of each slice.
        rng: draws the file names.
    """
    set_geometry(header, grid)
    header.SOPClassUID = MRImageStorage
    header.SamplesPerPixel, header.PhotometricInterpretation = 1, "MONOCHROME2"
    header.BitsAllocated, header.BitsStored, header.HighBit, header.PixelRepresentation = 16, 16, 15, 0
    top = int(stored.max())
    header.WindowCenter, header.WindowWidth = str(top // 2), str(max(top, 1))
    shared = _shared_runs(header)
    for k, plane in enumerate(stored):
        own = image_header(header.SeriesInstanceUID, grid, k, int(instances[k]))
        own.PixelData = plane.astype("<u2", copy=False).tobytes()
        own["PixelData"].VR = "OW"
        pieces = [_encode_preamble(MRImageStorage, own.SOPInstanceUID)]
        for run, tag in zip(shared, VARYING, strict=True):
            pieces += [run, _encode(own[tag : tag + 1])]
        _new_path(folder, rng).write_bytes(b"".join(pieces))


def image_header(series_uid: str, grid: Grid, k: int, instance: int) -> Dataset:
    """Return the elements that differ between the images of a volume, without pixels, for slice ``k``."""
    own = Dataset()
    place = position(grid, k)
    own.SOPInstanceUID = f"{series_uid}.{instance}"
    own.InstanceNumber = instance
    own.ImagePositionPatient = [f"{value:.6f}" for value in place]
    own.SliceLocation = f"{float(place @ (grid.normal * LPS)):.4f}"
    return own


def write_object(folder: Path, header: Dataset, rng: Generator) -> None:
    """Write one DICOM object that has no pixels, under a random name."""
    meta = _meta(header.SOPClassUID, header.SOPInstanceUID)
    header.file_meta = meta
    dcmwrite(_new_path(folder, rng), header, enforce_file_format=True)


VARYING = tuple(
    Tag(name) for name in ("SOPInstanceUID", "InstanceNumber", "ImagePositionPatient", "SliceLocation", "PixelData")
)
"""The elements that differ between the images of a volume, in the order in which they stand in a file.

Everything between them is encoded once a volume: encoding whole headers for 300 files would take most of the time.
"""


def _shared_runs(header: Dataset) -> list[bytes]:
    """Return the encoded elements of ``header`` that stand before each of VARYING."""
    starts = (Tag(0), *(tag + 1 for tag in VARYING[:-1]))
    return [_encode(header[start:stop]) for start, stop in zip(starts, VARYING, strict=True)]


def _encode(elements: Dataset) -> bytes:
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, False
    write_dataset(buffer, elements)
    return buffer.getvalue()


def _encode_preamble(sop_class: str, sop_instance: str) -> bytes:
    buffer = DicomBytesIO()
    write_file_meta_info(buffer, _meta(sop_class, sop_instance))
    return bytes(128) + b"DICM" + buffer.getvalue()


def _meta(sop_class: str, sop_instance: str) -> FileMetaDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = sop_class, sop_instance
    meta.TransferSyntaxUID, meta.ImplementationClassUID = ExplicitVRLittleEndian, IMPLEMENTATION_UID
    return meta


def _new_path(folder: Path, rng: Generator) -> Path:
    """Return a random file name that is not yet taken."""
    while (path := folder / f"{rng.integers(2**40):010x}").exists():
        pass
    return path
