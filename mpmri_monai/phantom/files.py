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
from pydicom.filewriter import dcmwrite
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
    header.StudyDescription = "MR LIVER WITH CONTRAST"
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


def set_position(header: Dataset, grid: Grid, k: int) -> None:
    """Fill in where slice ``k`` lies."""
    place = position(grid, k)
    header.ImagePositionPatient = [f"{value:.6f}" for value in place]
    header.SliceLocation = f"{float(place @ (grid.normal * LPS)):.4f}"


def write_volume(
    folder: Path, header: Dataset, stored: NDArray[np.uint16], grid: Grid, instances: NDArray[np.int64], rng: Generator
) -> None:
    """Write one file a slice, under random names.

    Args:
        folder: where to.
        header: everything that the slices share.
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
    for k, plane in enumerate(stored):
        set_position(header, grid, k)
        header.InstanceNumber = int(instances[k])
        header.SOPInstanceUID = f"{header.SeriesInstanceUID}.{instances[k]}"
        header.PixelData = plane.astype("<u2", copy=False).tobytes()
        write_object(folder, header, rng)


def write_object(folder: Path, header: Dataset, rng: Generator) -> Path:
    """Write one DICOM object under a random name that is not yet taken; return its path."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = header.SOPClassUID, header.SOPInstanceUID
    meta.TransferSyntaxUID, meta.ImplementationClassUID = ExplicitVRLittleEndian, IMPLEMENTATION_UID
    header.file_meta = meta
    path = folder / f"{rng.integers(2**40):010x}"
    while path.exists():
        path = folder / f"{rng.integers(2**40):010x}"
    dcmwrite(path, header, enforce_file_format=True)
    return path
