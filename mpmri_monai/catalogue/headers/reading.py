"""Headers of one file: DICOM or not, images or another object, and whether it can be read at all."""

from __future__ import annotations

import io
import os
from pathlib import Path

from mpmri_monai.catalogue.headers.classic import identity, image_header
from mpmri_monai.catalogue.headers.elements import Elements, HeaderError, parse
from mpmri_monai.catalogue.headers.frames import frame_headers
from mpmri_monai.catalogue.headers.header import FileHeader, ObjectHeader, Unreadable
from mpmri_monai.catalogue.headers.layout import fault, pixel_layout
from mpmri_monai.catalogue.headers.references import image_references
from mpmri_monai.errors import CatalogueError

MAX_FILE_BYTES = 512 * 2**20
"""Larger files are refused before they are parsed (bytes)."""
PREAMBLE_BYTES = 128
"""What a DICOM file begins with; nearly always zeros (bytes)."""

MR_IMAGE = "1.2.840.10008.5.1.4.1.1.4"
OBJECT_KINDS = (
    ("1.2.840.10008.5.1.4.1.1.481.3", "RTSTRUCT"),
    ("1.2.840.10008.5.1.4.1.1.66.4", "SEG"),
    ("1.2.840.10008.5.1.4.1.1.66.7", "SEG"),
    ("1.2.840.10008.5.1.4.1.1.66", "RAW"),
    ("1.2.840.10008.5.1.4.1.1.88.59", "KO"),
    ("1.2.840.10008.5.1.4.1.1.88.", "SR"),
    ("1.2.840.10008.5.1.4.1.1.11.", "PR"),
    ("1.2.840.10008.5.1.4.1.1.7", "SC"),
    ("1.2.840.10008.1.3.10", "DICOMDIR"),
)
"""Kinds of objects by the beginning of their SOP class UID; the first match counts."""
ENHANCED = ("1.2.840.10008.5.1.4.1.1.4.1", "1.2.840.10008.5.1.4.1.1.4.4")
"""Enhanced MR and Legacy Converted Enhanced MR."""

Headers = tuple[FileHeader, ...] | ObjectHeader | Unreadable | None


def read_headers(path: Path) -> Headers:
    """Read the headers of the images in one file, without their pixels.

    Returns:
        One FileHeader for each MR image of the file, ObjectHeader for any other DICOM object, Unreadable for a DICOM
        file that is damaged or beyond the limits, None for a file that is not DICOM.
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
            return _headers(path, Elements(parsed[0]), file, size, parsed[1])
        file.seek(0)
        if not file.read(PREAMBLE_BYTES).strip(b"\0"):  # what a broken copy leaves of a DICOM file
            return Unreadable("", "", "", None, "E_TRUNCATED", "a file holds zeros in place of a header")
        return None


def _headers(path: Path, elements: Elements, file: io.FileIO, size: int, end: int) -> Headers:
    try:
        return _images_or_object(path, elements, file, size, end)
    except CatalogueError as error:
        code, found = error.code or "E_HEADER", error.found
    except Exception:  # pydicom raises whatever damaged values lead to: struct, lookup, arithmetic, recursion errors
        code, found = "E_HEADER", "a file has header values that cannot be read"
    try:
        return Unreadable(*identity(elements), code, found, elements.texts(0x00080008))
    except Exception:  # the damaged value may be one of these
        return Unreadable("", "", "", None, code, found)


def _images_or_object(
    path: Path, elements: Elements, file: io.FileIO, size: int, end: int
) -> tuple[FileHeader, ...] | ObjectHeader:
    meta = Elements(elements.dataset.file_meta)
    if elements.cut_short or meta.cut_short:
        raise fault("E_TRUNCATED", "a file ends inside its header")
    sop_class = elements.text(0x00080016) or meta.text(0x00020002)
    if not sop_class:
        raise fault("E_HEADER", "a DICOM file does not say what it holds")
    if sop_class in ENHANCED:
        return frame_headers(path, elements, pixel_layout(elements, file, size, end))
    if sop_class != MR_IMAGE:
        kind = next((name for start, name in OBJECT_KINDS if sop_class.startswith(start)), "OTHER")
        return _object_header(path, elements, kind)
    if _several(elements):
        return _object_header(path, elements, "MULTI")
    return (image_header(path, elements, pixel_layout(elements, file, size, end)),)


def _several(elements: Elements) -> bool:
    """Whether an image has colours or several frames."""
    return (elements.integer(0x00280002) or 1) > 1 or (elements.number(0x00280008) or 1) > 1


def _object_header(path: Path, elements: Elements, kind: str) -> ObjectHeader:
    referenced = image_references(elements.dataset) if kind in ("SEG", "RTSTRUCT") else frozenset()
    return ObjectHeader(path, *identity(elements), elements.text(0x00080018), kind, referenced)
