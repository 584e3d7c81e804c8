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


class Make:
    """The functions of this module, for tests."""

    rotation, affine_of, write_volume = map(staticmethod, (rotation, affine_of, write_volume))


@pytest.fixture(scope="session")
def make() -> type[Make]:
    return Make
