"""The pixels of a file, for a copy that holds the image and nothing that may travel with it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from pydicom import DataElement, Dataset
from pydicom.dataelem import RawDataElement

from mpmri_monai.catalogue.headers.elements import Elements
from mpmri_monai.catalogue.headers.layout import UNDEFINED_LENGTH
from mpmri_monai.catalogue.pixels.codestream import comments_in
from mpmri_monai.catalogue.sharing.allowlist import tag_of

PIXEL_DATA = tag_of("PixelData")
OFFSET_TABLES = (tag_of("ExtendedOffsetTable"), tag_of("ExtendedOffsetTableLengths"))
"""Where compressed frames begin, and how long they are."""
OFFSET_BYTES = 8
ITEM = b"\xfe\xff\x00\xe0"
"""A fragment of compressed pixels begins with this and its length in four bytes."""


def image_data(source: Dataset, elements: Elements) -> dict[int, DataElement | RawDataElement]:
    """Return the elements that hold the pixels of a file.

    Of compressed pixels stays everything but the text of comments. Of native ones stays what the image is made of:
    bytes behind the last pixel are left out, and bits above the stored ones, where older files keep overlays with
    burned-in names (PS3.5, 8.1.1), are zeros or repeat the sign.

    Args:
        source: data set of the whole file.
        elements: of ``source``.
    """
    pixels = source.get_item(PIXEL_DATA) if PIXEL_DATA in source else None
    if not isinstance(pixels, RawDataElement) or pixels.value is None:
        return {}
    if pixels.length == UNDEFINED_LENGTH:
        without = pixels._replace(value=_without_comments(pixels.value))
        return {PIXEL_DATA: without, **dict(_offset_tables(source, int(elements.number(0x00280008) or 1)))}
    value = _native(pixels.value, elements, "<" if pixels.is_little_endian else ">")
    return {PIXEL_DATA: pixels._replace(value=value, length=len(value))}


def _without_comments(value: bytes) -> bytes:
    """Put blanks in place of comments; a fragment that goes on with a frame has none."""
    content, at = bytearray(value), 0
    while at + len(ITEM) + 4 <= len(value) and value.startswith(ITEM, at):
        start = at + len(ITEM) + 4
        at = start + int.from_bytes(value[start - 4 : start], "little")
        for place in comments_in(value[start:at]):
            length = max(0, place.stop - place.start)
            content[start + place.start : start + place.start + length] = b" " * length
    return bytes(content)


def _offset_tables(source: Dataset, frames: int) -> Iterator[tuple[int, RawDataElement]]:
    for tag in OFFSET_TABLES:
        table = source.get_item(tag) if tag in source else None
        if isinstance(table, RawDataElement) and len(table.value or b"") == OFFSET_BYTES * frames:
            yield tag, table


def _native(value: bytes, elements: Elements, order: str) -> bytes:
    """Pixels without what lies behind or above them."""
    rows, columns, colours, allocated, stored = map(
        elements.integer, (0x00280010, 0x00280011, 0x00280002, 0x00280100, 0x00280101)
    )
    bits = int(elements.number(0x00280008) or 1) * rows * columns * max(1, colours) * allocated
    value = value[: 2 * ((bits + 15) // 16)]  # as many words as hold the image
    if allocated in (8, 16, 32) and 0 < stored < allocated:
        kind, unused = "i" if elements.integer(0x00280103) else "u", allocated - stored
        dtype = np.dtype(f"{order}{kind}{allocated // 8}")
        value = ((np.frombuffer(value, dtype) << unused) >> unused).astype(dtype).tobytes()
    return value + bytes(len(value) % 2)
