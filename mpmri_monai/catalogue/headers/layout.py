"""How the pixels of a file are stored and where they lie, checked against the file's size before anything is read."""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from pydicom.uid import UID

from mpmri_monai.catalogue.headers.elements import Elements
from mpmri_monai.errors import CatalogueError

PADDED_ROWS = 2
"""Bytes behind the pixels that fill so many rows or more are no padding, but rows that the header does not count."""
MAX_SIDE = 4096
"""Largest number of rows or columns (pixels)."""
MAX_FRAMES = 5000
"""Most frames in one file (count)."""
UNDEFINED_LENGTH = 0xFFFFFFFF
NATIVE = {
    (True, True): "1.2.840.10008.1.2",
    (False, True): "1.2.840.10008.1.2.1",
    (False, False): "1.2.840.10008.1.2.2",
}
"""Transfer syntax by (implicit, little-endian) for files that do not name theirs."""


@dataclass(frozen=True, slots=True)
class PixelLayout:
    """Size, type and place of the pixels of one file."""

    frames: int
    rows: int
    columns: int
    bits_allocated: int
    bits_stored: int
    pixel_representation: int
    transfer_syntax: str
    offset: int | None
    """Byte offset of the first frame; None when the pixels are compressed or big-endian."""


def fault(code: str, found: str) -> CatalogueError:
    """Why a file's image cannot be used."""
    return CatalogueError(expected="a readable MR image", found=found, code=code)


def pixel_layout(elements: Elements, file: io.FileIO, size: int, end: int) -> PixelLayout:
    """Find the pixels of a file.

    Args:
        elements: of the file.
        file: open for reading.
        size: of the file (bytes).
        end: offset at which reading the header stopped, where the pixels' own element begins.

    Raises:
        CatalogueError: pixels beyond the limits, of another type than integers, or missing in part.
    """
    if end + 12 > size:
        raise fault("E_TRUNCATED", "a file ends before its pixels")
    frames = int(elements.number(0x00280008) or 1)
    if not 0 < frames <= MAX_FRAMES:
        raise fault("E_LIMIT", f"a file holds {frames} frames; 1 to {MAX_FRAMES} are allowed")
    rows, columns, allocated, stored = _matrix(elements)
    implicit, little = map(bool, elements.dataset.original_encoding)
    transfer_syntax = Elements(elements.dataset.file_meta).text(0x00020010) or NATIVE[implicit, little]
    expected = None if _is_compressed(transfer_syntax) else frames * rows * columns * allocated // 8
    file.seek(end)
    offset, length = _pixel_offset(file.read(12), end, size, (implicit, little), expected)
    surplus = 0 if expected is None else (length - expected) / (columns * allocated // 8)
    if surplus >= PADDED_ROWS and surplus.is_integer():
        raise fault("E_PIXELS", f"a file holds {surplus:g} rows of pixels more than it declares")
    native = offset if expected is not None and little else None
    return PixelLayout(frames, rows, columns, allocated, stored, elements.integer(0x00280103), transfer_syntax, native)


def _matrix(elements: Elements) -> tuple[int, int, int, int]:
    """Rows, columns, bits allocated, bits stored."""
    rows, columns, allocated = map(elements.integer, (0x00280010, 0x00280011, 0x00280100))
    stored = elements.integer(0x00280101) or allocated
    if not (0 < rows <= MAX_SIDE and 0 < columns <= MAX_SIDE):
        raise fault("E_LIMIT", f"an image has {rows} x {columns} pixels; 1 to {MAX_SIDE} are allowed")
    if allocated not in (8, 16, 32) or not 0 < stored <= allocated:
        raise fault("E_PIXELS", "an image is not stored as 8, 16 or 32 bit integers")
    if (elements.integer(0x00280102) or stored - 1) != stored - 1:
        raise fault("E_PIXELS", "an image does not keep its values in the lowest bits")
    if elements.text(0x00280004) not in ("", "MONOCHROME2"):
        raise fault("E_PIXELS", "an image is inverted or coloured, so that its values are no signal")
    return rows, columns, allocated, stored


@lru_cache
def _is_compressed(transfer_syntax: str) -> bool:
    return UID(transfer_syntax).is_encapsulated


def _pixel_offset(
    element: bytes, start: int, size: int, encoding: tuple[bool, bool], expected: int | None
) -> tuple[int, int]:
    """Find native pixels from the bytes at which reading stopped; the element's own header has 8 or 12 of them.

    Returns:
        Offset and declared length of the pixels (bytes).
    """
    implicit, little = encoding
    order: Literal["little", "big"] = "little" if little else "big"
    group, number = int.from_bytes(element[:2], order), int.from_bytes(element[2:4], order)
    if (group, number) != (0x7FE0, 0x0010):
        raise fault("E_PIXELS", "an image holds no integer pixels")
    offset = start + (8 if implicit else 12)
    length = int.from_bytes(element[4:8] if implicit else element[8:12], order)
    if expected is not None and length == UNDEFINED_LENGTH:
        raise fault("E_PIXELS", "an image has compressed pixels but says that they are not")
    held = min(length, size - offset)
    if expected is not None and held < expected:
        raise fault("E_TRUNCATED", f"a file holds {held} of the {expected} bytes of its pixels")
    return offset, length
