"""The header of one DICOM file: the few values that say what an image is, and where its pixels lie."""

from __future__ import annotations

import io
import os
import struct
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
from pydicom.uid import UID

from mpmri_monai.catalogue.elements import Elements, HeaderError, parse
from mpmri_monai.errors import CatalogueError

MAX_FILE_BYTES = 512 * 2**20
"""Larger files are refused before they are parsed (bytes)."""
PREAMBLE_BYTES = 128
"""What a DICOM file begins with; nearly always zeros (bytes)."""
MAX_SIDE = 4096
"""Largest number of rows or columns (pixels)."""

COSINE_TOLERANCE = 0.01
"""Orientations are written with few decimals; farther than this from unit length or a right angle they mean nothing."""

MR_IMAGE = "1.2.840.10008.5.1.4.1.1.4"
OBJECT_KINDS = (
    ("1.2.840.10008.5.1.4.1.1.4.1", "ENHANCED"),
    ("1.2.840.10008.5.1.4.1.1.4.4", "ENHANCED"),
    ("1.2.840.10008.5.1.4.1.1.4", "MULTI"),
    ("1.2.840.10008.5.1.4.1.1.66.4", "SEG"),
    ("1.2.840.10008.5.1.4.1.1.66.7", "SEG"),
    ("1.2.840.10008.5.1.4.1.1.66", "RAW"),
    ("1.2.840.10008.5.1.4.1.1.481.3", "RTSTRUCT"),
    ("1.2.840.10008.5.1.4.1.1.88.59", "KO"),
    ("1.2.840.10008.5.1.4.1.1.88.", "SR"),
    ("1.2.840.10008.5.1.4.1.1.11.", "PR"),
    ("1.2.840.10008.5.1.4.1.1.7", "SC"),
    ("1.2.840.10008.1.3.10", "DICOMDIR"),
)
"""Kinds of objects by the beginning of their SOP class UID; the first match counts."""
REFERENCED_INSTANCE = 0x00081155
UNDEFINED_LENGTH = 0xFFFFFFFF
NATIVE = {
    (True, True): "1.2.840.10008.1.2",
    (False, True): "1.2.840.10008.1.2.1",
    (False, False): "1.2.840.10008.1.2.2",
}
"""Transfer syntax by (implicit, little-endian) for files that do not name theirs."""

SCANNING_SEQUENCES = ("SE", "IR", "GR", "EP", "RM")
ACQUISITION_TYPES = ("1D", "2D", "3D")
COMPONENTS = {"M": "magnitude", "P": "phase", "R": "real", "I": "imaginary"}
GE_COMPONENTS = {0: "magnitude", 1: "phase", 2: "real", 3: "imaginary"}
PRIVATE_B_VALUES = (
    (0x0019, "SIEMENS MR HEADER", 0x0C),
    (0x2001, "Philips Imaging DD 001", 0x03),
    (0x0043, "GEMS_PARM_01", 0x39),
)
"""Group, creator and element of the vendors' b-values (s/mm²)."""
GE_B_VALUE_OFFSET = 1e9
"""Newer GE software adds this to b-values."""


@dataclass(frozen=True, slots=True)
class FileHeader:
    """What one single-frame MR file says about its image. Identifiers and clock times stay out of its printed form."""

    path: Path
    patient: str = field(repr=False)
    study: str = field(repr=False)
    series: str = field(repr=False)
    instance: str = field(repr=False)
    frame_of_reference: str = field(repr=False)
    series_number: int | None
    instance_number: int | None
    image_type: tuple[str, ...]
    rows: int
    columns: int
    position: tuple[float, ...]
    """Centre of the first pixel, LPS+ mm."""
    orientation: tuple[float, ...]
    """Direction cosines of increasing column index, then of increasing row index, LPS+."""
    pixel_spacing: tuple[float, ...]
    """Distance between rows, then between columns (mm)."""
    slope: float
    intercept: float
    transfer_syntax: str
    pixel_offset: int | None
    """Byte offset of the pixels; None when they are compressed or big-endian, so that pydicom has to read them."""
    bits_allocated: int
    bits_stored: int
    pixel_representation: int
    component: str
    scanning_sequence: tuple[str, ...]
    acquisition_type: str
    echo_time_ms: float | None
    repetition_time_ms: float | None
    flip_angle_deg: float | None
    echo_number: float | None
    b_value: float | None
    temporal_position: float | None
    trigger_time_ms: float | None
    acquisition_number: float | None
    acquisition_time_s: float | None = field(repr=False)
    content_time_s: float | None = field(repr=False)
    series_time_s: float | None = field(repr=False)
    imaging_frequency_mhz: float | None
    field_strength_t: float | None
    ge_series_plane: float | None

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
    """A DICOM file that is no single-frame MR image, with the images that it refers to."""

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


def read_header(path: Path) -> FileHeader | ObjectHeader | Unreadable | None:
    """Read the header of one file, without its pixels.

    Returns:
        FileHeader for a single-frame MR image, ObjectHeader for any other DICOM object, Unreadable for a DICOM file
        that is damaged or beyond the limits, None for a file that is not DICOM.
    """
    try:
        file = io.FileIO(path)
    except OSError:
        return Unreadable("", "", "", None, "E_FILE", "a file cannot be opened")
    with file:
        size = os.fstat(file.fileno()).st_size
        if not 0 < size <= MAX_FILE_BYTES:
            code, found = (
                ("E_LIMIT", f"is larger than {MAX_FILE_BYTES >> 20} MiB") if size else ("E_TRUNCATED", "is empty")
            )
            return Unreadable("", "", "", None, code, f"a file {found}")
        try:
            parsed = parse(file, size)
        except HeaderError as error:
            return Unreadable("", "", "", None, "E_HEADER", str(error))
        if parsed is not None:
            return _header(path, Elements(parsed[0]), file, size, parsed[1])
        file.seek(0)
        if not file.read(PREAMBLE_BYTES).strip(b"\0"):  # what a broken copy leaves of a DICOM file
            return Unreadable("", "", "", None, "E_TRUNCATED", "a file holds zeros in place of a header")
        return None


def _header(
    path: Path, elements: Elements, file: io.FileIO, size: int, end: int
) -> FileHeader | ObjectHeader | Unreadable:
    try:
        meta = Elements(elements.dataset.file_meta)
        if elements.cut_short or meta.cut_short:
            raise _fault("E_TRUNCATED", "a file ends inside its header")
        sop_class = elements.text(0x00080016) or meta.text(0x00020002)
        if not sop_class:
            raise _fault("E_HEADER", "a DICOM file does not say what it holds")
        if sop_class != MR_IMAGE or _several(elements):
            return _object_header(path, elements, sop_class)
        return _image_header(path, elements, file, size, end)
    except CatalogueError as error:
        return Unreadable(*_identity(elements), error.code or "E_HEADER", error.found, elements.texts(0x00080008))
    except (ValueError, TypeError, KeyError, NotImplementedError, RecursionError, struct.error):  # pydicom raises all
        return Unreadable(*_identity(elements), "E_HEADER", "a file has header values that cannot be read")


def _identity(elements: Elements) -> tuple[str, str, str, int | None]:
    number = elements.number(0x00200011)
    series_number = None if number is None else int(number)
    return elements.text(0x00100020), elements.text(0x0020000D), elements.text(0x0020000E), series_number


def _several(elements: Elements) -> bool:
    """Whether an image has colours or several frames."""
    return (elements.integer(0x00280002) or 1) > 1 or (elements.number(0x00280008) or 1) > 1


def _object_header(path: Path, elements: Elements, sop_class: str) -> ObjectHeader:
    kind = next((name for start, name in OBJECT_KINDS if sop_class.startswith(start)), "OTHER")
    referenced: frozenset[str] = frozenset()
    if kind in ("SEG", "RTSTRUCT"):
        everything = elements.dataset.iterall()
        referenced = frozenset(str(element.value) for element in everything if element.tag == REFERENCED_INSTANCE)
    return ObjectHeader(path, *_identity(elements), elements.text(0x00080018), kind, referenced)


def _image_header(path: Path, elements: Elements, file: io.FileIO, size: int, end: int) -> FileHeader:
    if end + 12 > size:
        raise _fault("E_TRUNCATED", "a file ends before its pixels")
    patient, study, series, series_number = _identity(elements)
    position, orientation, spacing = _geometry(elements)
    rows, columns, allocated, stored = _pixel_layout(elements)
    implicit, little = map(bool, elements.dataset.original_encoding)
    transfer_syntax = Elements(elements.dataset.file_meta).text(0x00020010) or NATIVE[implicit, little]
    expected = None if _is_compressed(transfer_syntax) else rows * columns * allocated // 8
    file.seek(end)
    offset = _pixel_offset(file.read(12), end, size, (implicit, little), expected)
    slope, instance_number = elements.number(0x00281053), elements.number(0x00200013)
    if slope is not None and slope <= 0:
        raise _fault("E_RESCALE", "a rescale slope is not positive")
    return FileHeader(
        path=path,
        patient=patient,
        study=study,
        series=series,
        instance=elements.text(0x00080018),
        frame_of_reference=elements.text(0x00200052),
        series_number=series_number,
        instance_number=None if instance_number is None else int(instance_number),
        image_type=elements.texts(0x00080008),
        rows=rows,
        columns=columns,
        position=position,
        orientation=orientation,
        pixel_spacing=spacing,
        slope=1.0 if slope is None else slope,
        intercept=elements.number(0x00281052) or 0.0,
        transfer_syntax=transfer_syntax,
        pixel_offset=offset if expected is not None and little else None,
        bits_allocated=allocated,
        bits_stored=stored,
        pixel_representation=elements.integer(0x00280103),
        component=_component(elements),
        scanning_sequence=tuple(_coded(kind, SCANNING_SEQUENCES) for kind in elements.texts(0x00180020)),
        acquisition_type=_coded(elements.text(0x00180023), ACQUISITION_TYPES),
        echo_time_ms=elements.number(0x00180081),
        repetition_time_ms=elements.number(0x00180080),
        flip_angle_deg=elements.number(0x00181314),
        echo_number=elements.number(0x00180086),
        b_value=_b_value(elements),
        temporal_position=elements.number(0x00200100),
        trigger_time_ms=elements.number(0x00181060),
        acquisition_number=elements.number(0x00200012),
        acquisition_time_s=elements.seconds(0x00080022, 0x00080032),
        content_time_s=elements.seconds(0x00080023, 0x00080033),
        series_time_s=elements.seconds(0x00080021, 0x00080031),
        imaging_frequency_mhz=elements.number(0x00180084),
        field_strength_t=elements.number(0x00180087),
        ge_series_plane=elements.private(0x0019, "GEMS_ACQU_01", 0x17),
    )


def _fault(code: str, found: str) -> CatalogueError:
    return CatalogueError(expected="a readable single-frame MR image", found=found, code=code)


def _geometry(elements: Elements) -> tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...]]:
    position, orientation = elements.numbers(0x00200032, 3), elements.numbers(0x00200037, 6)
    spacing = elements.numbers(0x00280030, 2)
    if position is None or orientation is None or spacing is None or min(spacing) <= 0:
        raise _fault("E_NOGEOM", "an image lacks a usable position, orientation or pixel spacing")
    a, b, c, d, e, f = orientation
    lengths, product = (a * a + b * b + c * c, d * d + e * e + f * f), a * d + b * e + c * f
    if max(abs(lengths[0] - 1), abs(lengths[1] - 1), abs(product)) > COSINE_TOLERANCE:
        raise _fault("E_NOGEOM", "an image has an orientation that is not two perpendicular unit vectors")
    return position, orientation, spacing


def _pixel_layout(elements: Elements) -> tuple[int, int, int, int]:
    """Rows, columns, bits allocated, bits stored."""
    rows, columns, allocated = map(elements.integer, (0x00280010, 0x00280011, 0x00280100))
    stored = elements.integer(0x00280101) or allocated
    if not (0 < rows <= MAX_SIDE and 0 < columns <= MAX_SIDE):
        raise _fault("E_LIMIT", f"an image has {rows} x {columns} pixels; 1 to {MAX_SIDE} are allowed")
    if allocated not in (8, 16, 32) or not 0 < stored <= allocated:
        raise _fault("E_PIXELS", "an image is not stored as 8, 16 or 32 bit integers")
    if (elements.integer(0x00280102) or stored - 1) != stored - 1:
        raise _fault("E_PIXELS", "an image does not keep its values in the lowest bits")
    if elements.text(0x00280004) not in ("", "MONOCHROME2"):
        raise _fault("E_PIXELS", "an image is inverted or coloured, so that its values are no signal")
    return rows, columns, allocated, stored


@lru_cache
def _is_compressed(transfer_syntax: str) -> bool:
    return UID(transfer_syntax).is_encapsulated


def _pixel_offset(element: bytes, start: int, size: int, encoding: tuple[bool, bool], expected: int | None) -> int:
    """Find native pixels from the bytes at which reading stopped; the element's own header has 8 or 12 of them."""
    implicit, little = encoding
    order: Literal["little", "big"] = "little" if little else "big"
    group, number = int.from_bytes(element[:2], order), int.from_bytes(element[2:4], order)
    if (group, number) != (0x7FE0, 0x0010):
        raise _fault("E_PIXELS", "an image holds no integer pixels")
    offset = start + (8 if implicit else 12)
    length = int.from_bytes(element[4:8] if implicit else element[8:12], order)
    if expected is not None and length == UNDEFINED_LENGTH:
        raise _fault("E_PIXELS", "an image has compressed pixels but says that they are not")
    held = min(length, size - offset)
    if expected is not None and held < expected:
        raise _fault("E_TRUNCATED", f"a file holds {held} of the {expected} bytes of its pixels")
    return offset


def _coded(text: str, known: tuple[str, ...]) -> str:
    """A code of the standard as it is; any other text is not passed on, for it could say anything."""
    return text if text in known or not text else "other"


def _component(elements: Elements) -> str:
    """Complex component: the standard's attribute, GE's private one, or the third and later values of ImageType."""
    named = elements.text(0x00089208).lower()
    if named:
        return _coded(named, tuple(COMPONENTS.values()))
    code = elements.private(0x0043, "GEMS_PARM_01", 0x2F)
    if code is not None and int(code) in GE_COMPONENTS:
        return GE_COMPONENTS[int(code)]
    return next((COMPONENTS[kind] for kind in elements.texts(0x00080008)[2:] if kind in COMPONENTS), "magnitude")


def _b_value(elements: Elements) -> float | None:
    value = elements.number(0x00189087)
    if value is not None:
        return value
    found = (elements.private(*place) for place in PRIVATE_B_VALUES)
    return next((value % GE_B_VALUE_OFFSET for value in found if value is not None), None)
