"""Small synthetic studies as lists of DICOM data sets; a test changes the list to make a fault and writes it."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import settings
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage

settings.register_profile("no deadline", deadline=None)  # machines are shared, first calls are slow
settings.load_profile("no deadline")

SLICES, ROWS, COLUMNS = 8, 12, 10
DELAYS_S = (-40, 16, 26, 60, 180, 300)
STUDY = "2.25.1"
START_S = 10 * 3600


def clock(seconds: float) -> str:
    seconds %= 86400
    return f"{int(seconds // 3600):02}{int(seconds // 60 % 60):02}{seconds % 60:09.6f}"


def image(series: int, height: int, volume: int = 0, **tags) -> pydicom.Dataset:
    """One slice; its pixels tell series, volume and slice."""
    dataset = pydicom.Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = MRImageStorage
    dataset.SOPInstanceUID = f"2.25.9{series:03}{volume:03}{height:03}"
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = STUDY, f"2.25.7{series:03}"
    dataset.FrameOfReferenceUID = "2.25.5"
    dataset.PatientID, dataset.PatientName, dataset.StudyDate = "SECRET-ID", "Secret^Name", "20240102"
    dataset.Modality, dataset.ImageType = "MR", ["ORIGINAL", "PRIMARY", "OTHER"]
    dataset.SeriesDescription = "SECRET TEXT"
    dataset.SeriesNumber, dataset.InstanceNumber = series, volume * SLICES + height + 1
    dataset.ImagingFrequency, dataset.MagneticFieldStrength = 127.7, 3.0
    dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    dataset.ImagePositionPatient = [-50.0, -60.0, height * 2.2 - 30.0]
    dataset.PixelSpacing, dataset.SliceThickness = [1.5, 1.25], 4.4
    dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = ROWS, COLUMNS, 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 16, 15, 0
    for tag, value in tags.items():
        setattr(dataset, tag, value)
    ramp = np.arange(dataset.Rows * dataset.Columns, dtype=np.uint16)
    dataset.PixelData = (ramp + 1000 * volume + 200 * height + 10 * series).tobytes()
    return dataset


def t2(series: int = 3, slices: int = 6) -> list[pydicom.Dataset]:
    tags = {"ScanningSequence": "SE", "MRAcquisitionType": "2D", "EchoTime": 85.0, "RepetitionTime": 4000.0}
    return [
        image(series, k, ImagePositionPatient=[-50, -60, 6.0 * k - 30], AcquisitionTime=clock(START_S + k), **tags)
        for k in range(slices)
    ]


def dual_echo(series: int = 4, echoes: Sequence[float] = (1.15, 2.3), slices: int = 6) -> list[pydicom.Dataset]:
    tags = {"ScanningSequence": "GR", "MRAcquisitionType": "2D", "RepetitionTime": 120.0}
    return [
        image(
            series,
            k,
            volume,
            EchoTime=echo,
            EchoNumbers=volume + 1,
            ImagePositionPatient=[-50, -60, 6.0 * k - 30],
            AcquisitionTime=clock(START_S + 60 + k),
            **tags,
        )
        for volume, echo in enumerate(echoes)
        for k in range(slices)
    ]


def dynamic(
    first_series: int = 10,
    delays_s: Sequence[float] = DELAYS_S,
    one_series: bool = True,
    start_s: float = START_S + 600,
) -> list[pydicom.Dataset]:
    """Dynamic phases, as one series with temporal tags or as one series each."""
    images = []
    for phase, delay in enumerate(delays_s):
        time = clock(start_s + delay)
        tags = {"AcquisitionTime": time, "ContentTime": time, "AcquisitionNumber": 1}
        if one_series:
            tags |= {"TemporalPositionIdentifier": phase + 1, "NumberOfTemporalPositions": len(delays_s)}
        for k in range(SLICES):
            one = image(
                first_series if one_series else first_series + phase,
                k,
                phase,
                ScanningSequence="GR",
                MRAcquisitionType="3D",
                EchoTime=1.3,
                RepetitionTime=3.2,
                FlipAngle=12.0,
                **tags,
            )
            images.append(one)
    return images


def liver(one_series: bool = True) -> list[pydicom.Dataset]:
    return [*t2(), *dual_echo(), *dynamic(one_series=one_series)]


def write(folder: Path, images: Sequence[pydicom.Dataset], seed: int = 0) -> Path:
    """Write images under names and in an order that say nothing."""
    generator = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    for index in generator.permutation(len(images)):
        images[index].save_as(folder / f"{generator.integers(2**60):x}", enforce_file_format=True)
    return folder


class Make:
    """The functions of this module, for tests."""

    slices, delays_s = SLICES, DELAYS_S
    image, t2, dual_echo, dynamic, liver, write, clock = map(
        staticmethod, (image, t2, dual_echo, dynamic, liver, write, clock)
    )


@pytest.fixture
def make() -> type[Make]:
    return Make


@pytest.fixture(scope="session")
def made() -> type[Make]:
    """The same for property tests, which keep their fixtures over examples."""
    return Make


@pytest.fixture
def scanned(tmp_path) -> Callable:
    """Write images and scan them."""
    from mpmri_monai.catalogue import scan

    def write_and_scan(images, protocol: str | Path = "liver", **options):
        return scan(write(tmp_path / "study", images), protocol, **options)

    return write_and_scan
