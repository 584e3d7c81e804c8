"""What one DICOM file says about its images: the records that everything else in the catalogue works on."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np


@dataclass(frozen=True, slots=True)
class FileHeader:
    """What an MR file says about one image: its only one, or one frame of a multi-frame file.

    Identifiers, clock times and free texts stay out of its printed form.
    """

    path: Path
    frame: int | None
    """Index of the frame in a multi-frame file, from 0; None for a file of one image."""
    patient: str = field(repr=False)
    study: str = field(repr=False)
    series: str = field(repr=False)
    instance: str = field(repr=False)
    """SOPInstanceUID; of a frame, followed by "#" and the index of the frame."""
    frame_of_reference: str = field(repr=False)
    series_number: int | None
    instance_number: int | None
    image_type: tuple[str, ...]
    """ImageType, or the FrameType of a frame."""
    image_kind: str
    """What the values are: "" for plain signal, or one of ``image_kinds.KINDS``."""
    mosaic: bool
    """Whether the image is a sheet of several slices."""
    rows: int
    columns: int
    position: tuple[float, ...]
    """Centre of the first pixel, LPS+ mm."""
    orientation: tuple[float, ...]
    """Direction cosines of increasing column index, then of increasing row index, LPS+."""
    pixel_spacing: tuple[float, ...]
    """Distance between rows, then between columns (mm)."""
    slice_thickness_mm: float | None
    """As the header says; not the distance of slices."""
    slope: float
    intercept: float
    scaling: str
    """How slope and intercept came about: "rescale" as the standard says, "Philips" (``vendors.scaling``), or "none"
    when the file has neither."""
    transfer_syntax: str
    pixel_offset: int | None
    """Byte offset of the image's pixels; None when they are compressed or big-endian, so that pydicom reads them."""
    bits_allocated: int
    bits_stored: int
    pixel_representation: int
    component: str
    manufacturer: str
    """"GE", "SIEMENS", "PHILIPS", "CANON", "UIH", "other", or "" when the file does not say."""
    scanning_sequence: tuple[str, ...]
    acquisition_type: str
    echo_time_ms: float | None
    repetition_time_ms: float | None
    inversion_time_ms: float | None
    flip_angle_deg: float | None
    echo_number: float | None
    b_value: float | None
    fat_suppressed: bool | None
    """Whether fat was saturated or left out by its frequency; None when the file does not say."""
    contrast_agent: bool
    """Whether the file names a contrast agent."""
    temporal_position: float | None
    vendor_time: float | None
    """Index or start of the dynamic in the vendor's private attribute (``vendors.dynamic``)."""
    trigger_time_ms: float | None
    acquisition_number: float | None
    acquisition_time_s: float | None = field(repr=False)
    content_time_s: float | None = field(repr=False)
    series_time_s: float | None = field(repr=False)
    contrast_start_s: float | None = field(repr=False)
    """Start of contrast injection, on the clock of ``acquisition_time_s``."""
    imaging_frequency_mhz: float | None
    field_strength_t: float | None
    declared_slices: int | None
    """Slices of the stack by the vendor's private attribute (count)."""
    declared_echoes: int | None
    """Echoes of one excitation by GE's private attribute (count)."""
    ge_series_plane: float | None
    texts: tuple[str, ...] = field(repr=False)
    """SeriesDescription, ProtocolName and SequenceName as found. May name a person: never printed or stored."""

    @property
    def dtype(self) -> np.dtype:
        """Type of the stored values."""
        return np.dtype(f"{'i' if self.pixel_representation else 'u'}{self.bits_allocated // 8}")

    @property
    def pixel_bytes(self) -> int:
        """Size of the image when it is not compressed (bytes)."""
        return self.rows * self.columns * self.bits_allocated // 8


@dataclass(frozen=True, slots=True)
class ObjectHeader:
    """A DICOM file that is no MR image, with the images that it refers to."""

    path: Path
    patient: str = field(repr=False)
    study: str = field(repr=False)
    series: str = field(repr=False)
    series_number: int | None
    instance: str = field(repr=False)
    kind: str
    referenced: frozenset[str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A DICOM file that cannot be used; its series cannot be trusted to be whole."""

    patient: str = field(repr=False)
    study: str = field(repr=False)
    series: str = field(repr=False)
    series_number: int | None
    code: str
    message: str
    image_type: tuple[str, ...] = ()
