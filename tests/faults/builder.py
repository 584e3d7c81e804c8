"""Synthetic studies as lists of DICOM data sets with known voxels; a case changes the list to make a fault.

Nothing here uses the package: what a right reader has to find (``Truth``) follows from the grid that the images were
made on, not from what is written into their headers.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
CORONAL = (1.0, 0.0, 0.0, 0.0, 0.0, -1.0)
SAGITTAL = (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)
PATIENT, STUDY_UID, FRAME_UID = "SYNTHETIC-1", "2.25.1", "2.25.5"
DAY = "20240102"
START_S = 10 * 3600.0
"""When the first images are made (s after midnight)."""
DELAYS_S = (-40.0, 16.0, 26.0, 60.0, 180.0, 300.0)
"""Of the six liver phases, from the start of contrast (s)."""
CONTRAST_S = START_S + 600.0
"""When contrast starts (s after midnight)."""
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0])


@dataclass(frozen=True)
class Grid:
    """Where the voxels of a stack lie; LPS+ mm as in DICOM."""

    slices: int = 8
    rows: int = 16
    columns: int = 12
    pixel_mm: tuple[float, float] = (1.5, 1.25)
    """Distance of rows, then of columns."""
    step_mm: float = 6.0
    axes: tuple[float, ...] = AXIAL
    origin: tuple[float, float, float] = (-50.0, -60.0, -30.0)

    @property
    def normal(self) -> NDArray[np.float64]:
        """Direction in which the slice index grows."""
        return np.cross(self.axes[:3], self.axes[3:])

    def position(self, k: float) -> list[float]:
        """Centre of the first pixel of slice ``k``, with the digits that scanners write."""
        return [round(float(value), 5) for value in np.array(self.origin) + k * self.step_mm * self.normal]

    @property
    def affine(self) -> NDArray[np.float64]:
        """(4, 4), voxel index (column, row, slice) -> RAS+ mm."""
        along_columns, along_rows = np.array(self.axes[:3]), np.array(self.axes[3:])
        steps = [along_columns * self.pixel_mm[1], along_rows * self.pixel_mm[0], self.normal * self.step_mm]
        affine = np.eye(4)
        affine[:3, :3] = LPS_TO_RAS @ np.column_stack(steps)
        affine[:3, 3] = LPS_TO_RAS @ np.array(self.origin)
        return affine


@dataclass(frozen=True, eq=False)
class Truth:
    """A volume as it was acquired: what a right reader returns."""

    name: str
    """A sequence of the protocol when the volume should have that role."""
    signal: NDArray[np.float64]
    """(slice, row, column), after rescaling."""
    affine: NDArray[np.float64]
    """(4, 4), voxel index (column, row, slice) -> RAS+ mm."""


@dataclass
class Volume:
    """The images of one volume, one for each slice, and what they show."""

    images: list[Dataset]
    truth: Truth


@dataclass
class Study:
    """What a case puts together: data sets and other files to write, and the volumes that are to be found."""

    images: list[Dataset] = field(default_factory=list)
    truths: list[Truth] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)
    """Further files: path in the study's folder -> content."""
    pack: Callable[[Path], Path] | None = None
    """Turns the written folder into what is handed to the reader, such as an archive."""

    def add(self, *volumes: Volume, expected: bool = True) -> None:
        """Add volumes; ``expected`` when a right reader finds them."""
        for volume in volumes:
            self.images.extend(volume.images)
            if expected:
                self.truths.append(volume.truth)

    def write(self, folder: Path, seed: int = 0) -> Path:
        """Write everything under names and in an order that say nothing; return what is to be read."""
        generator = np.random.default_rng(seed)
        folder.mkdir(parents=True, exist_ok=True)
        for index in generator.permutation(len(self.images)):
            (folder / f"{generator.integers(2**60):015x}").write_bytes(encoded(self.images[index]))
        for name, content in self.files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
        return self.pack(folder) if self.pack else folder


def encoded(image: Dataset) -> bytes:
    """The bytes of a DICOM file."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():  # many of the faults are what the writer warns of
        warnings.simplefilter("ignore")
        image.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def each(*values: Any) -> Callable[[int, int], Any]:
    """A tag that differs from volume to volume."""
    return lambda volume, k: values[volume]


def clock(seconds: float) -> str:
    """Seconds after midnight as DICOM time."""
    seconds %= 86400
    return f"{int(seconds // 3600):02}{int(seconds // 60 % 60):02}{seconds % 60:09.6f}"


def volume(
    name: str = "",
    series: int = 3,
    grid: Grid | None = None,
    index: int = 0,
    scale: Sequence[float] = (1.0,),
    **tags: Any,
) -> Volume:
    """Images of one volume.

    Args:
        name: of its truth.
        series: SeriesNumber, from which the series' UID follows.
        grid: where its voxels lie.
        index: which volume of its series it is.
        scale: rescale slope, one for all slices or one for each.
        tags: further attributes; a function is called with ``index`` and the index of the slice. None is left out.
    """
    grid = grid or Grid()
    stored = pattern(grid, index, series)
    slopes = np.broadcast_to(np.asarray(scale, dtype=float), grid.slices)
    images = [_image(series, index, k, grid, stored[k]) for k in range(grid.slices)]
    for k, image in enumerate(images):
        if len(scale) > 1 or scale[0] != 1:
            image.RescaleSlope, image.RescaleIntercept = round(float(slopes[k]), 6), 0
        for keyword, value in tags.items():
            found = value(index, k) if callable(value) else value
            if found is not None:
                setattr(image, keyword, found)
    signal = stored * np.round(slopes, 6)[:, None, None] + float(tags.get("RescaleIntercept") or 0)
    return Volume(images, Truth(name, signal, grid.affine))


def volumes(count: int, names: Sequence[str] | None = None, **options: Any) -> list[Volume]:
    """``count`` volumes on one grid in one series, one after the other; options as of ``volume``."""
    names = names or [str(index) for index in range(count)]
    return [volume(name, index=index, **options) for index, name in enumerate(names)]


def pattern(grid: Grid, index: int, series: int) -> NDArray[np.uint16]:
    """Stored values (slice, row, column) that tell series, volume, slice and pixel; later volumes are brighter."""
    shape = (grid.slices, grid.rows, grid.columns)
    ramp = np.arange(grid.rows * grid.columns).reshape(1, grid.rows, grid.columns)
    base = 40 + 11 * series + 2000 * index + 200 * np.arange(grid.slices)[:, None, None]
    return np.broadcast_to(base + ramp, shape).astype(np.uint16)


def _image(series: int, index: int, k: int, grid: Grid, stored: NDArray[np.uint16]) -> Dataset:
    image = Dataset()
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image.SOPClassUID = image.file_meta.MediaStorageSOPClassUID = MRImageStorage
    image.SOPInstanceUID = f"2.25.9{series:03}{index:03}{k:03}"
    image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
    image.StudyInstanceUID, image.SeriesInstanceUID = STUDY_UID, f"2.25.7{series:03}"
    image.FrameOfReferenceUID = FRAME_UID
    image.PatientID, image.PatientName = PATIENT, "Synthetic^One"
    image.StudyDate = image.SeriesDate = image.AcquisitionDate = image.ContentDate = DAY
    image.StudyTime = clock(START_S)
    image.Modality, image.ImageType = "MR", ["ORIGINAL", "PRIMARY", "OTHER"]
    image.SeriesDescription = image.ProtocolName = "synthetic"
    image.SeriesNumber, image.InstanceNumber = series, index * grid.slices + k + 1
    image.ScanningSequence, image.SequenceVariant, image.MRAcquisitionType = "GR", "SP", "3D"
    image.EchoTime, image.RepetitionTime, image.FlipAngle = 1.3, 3.2, 12
    image.ImagingFrequency, image.MagneticFieldStrength = 127.7, 3.0
    image.PatientPosition = "HFS"
    image.ImageOrientationPatient = list(grid.axes)
    image.ImagePositionPatient = grid.position(k)
    image.PixelSpacing, image.SliceThickness = list(grid.pixel_mm), grid.step_mm
    image.Rows, image.Columns, image.SamplesPerPixel = grid.rows, grid.columns, 1
    image.PhotometricInterpretation = "MONOCHROME2"
    image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 16, 16, 15, 0
    image.PixelData = stored.tobytes()
    return image


def private(image: Dataset, group: int, creator: str, element: int, kind: str, value: Any) -> None:
    """Add a private attribute in the block of ``creator``."""
    image.private_block(group, creator, create=True).add_new(element, kind, value)


SPIN_ECHO = {"ScanningSequence": "SE", "SequenceVariant": "SK", "MRAcquisitionType": "2D", "FlipAngle": 90}
DUAL_ECHO = {"ScanningSequence": "GR", "MRAcquisitionType": "2D", "RepetitionTime": 120.0, "FlipAngle": 70}
THICK = Grid(slices=6, step_mm=7.0, origin=(-52.0, -61.0, -28.0))
THIN = Grid(step_mm=2.2)


def t2(series: int = 3, name: str = "T2", grid: Grid = THICK, **tags: Any) -> Volume:
    """A T2-weighted spin echo."""
    options = {"EchoTime": 85.0, "RepetitionTime": 4000.0, "AcquisitionTime": clock(START_S + 10), **SPIN_ECHO}
    return volume(name, series, grid, **options | tags)


def echoes(
    times_ms: Sequence[float] = (1.15, 2.3), names: Sequence[str] = ("OUT", "IN"), series: int = 4, **tags: Any
) -> list[Volume]:
    """Gradient echoes on one grid in one series."""
    options = {
        "EchoTime": each(*times_ms),
        "EchoNumbers": each(*range(1, len(times_ms) + 1)),
        "AcquisitionTime": clock(START_S + 120),
        **DUAL_ECHO,
    }
    return volumes(len(times_ms), names, series=series, grid=THICK, **options | tags)


def phases(
    delays_s: Sequence[float] = DELAYS_S,
    names: Sequence[str] | None = None,
    series: int = 10,
    one_series: bool = True,
    **tags: Any,
) -> list[Volume]:
    """Dynamic phases, in one series with temporal positions, or in one series each."""
    names = names or [f"S{index}" for index in range(len(delays_s))]
    times = [clock(CONTRAST_S + delay) for delay in delays_s]
    options: dict[str, Any] = {"AcquisitionTime": each(*times), "ContentTime": each(*times), "AcquisitionNumber": 1}
    if one_series:
        options["TemporalPositionIdentifier"] = each(*range(1, len(delays_s) + 1))
    return [
        volume(name, series if one_series else series + index, THIN, index, **options | tags)
        for index, name in enumerate(names)
    ]


def liver(study: Study, dynamic: Sequence[Volume] | None = None, pair: Sequence[Volume] | None = None) -> None:
    """Add a whole liver examination; parts of it may be given."""
    study.add(t2(), *(echoes() if pair is None else pair), *(phases() if dynamic is None else dynamic))
