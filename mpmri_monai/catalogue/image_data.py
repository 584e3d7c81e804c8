"""The pixels of a file, for a copy that holds the image and nothing that may travel with it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from pydicom import DataElement, Dataset
from pydicom.dataelem import RawDataElement

from mpmri_monai.catalogue.allowlist import tag_of
from mpmri_monai.catalogue.elements import Elements
from mpmri_monai.catalogue.layout import UNDEFINED_LENGTH

PIXEL_DATA = tag_of("PixelData")
OFFSET_TABLES = (tag_of("ExtendedOffsetTable"), tag_of("ExtendedOffsetTableLengths"))
"""Where compressed frames begin, and how long they are."""
OFFSET_BYTES = 8


def image_data(source: Dataset, elements: Elements) -> dict[int, DataElement | RawDataElement]:
    """Return the elements that hold the pixels of a file.

    Compressed pixels stay as they are. Of native ones stays what the image is made of: bytes behind the last pixel are
    left out, and bits above the stored ones, where older files keep overlays with burned-in names (PS3.5, 8.1.1), are
    zeros or repeat the sign.

    Args:
        source: data set of the whole file.
        elements: of ``source``.
    """
    pixels = source.get_item(PIXEL_DATA) if PIXEL_DATA in source else None
    if not isinstance(pixels, RawDataElement) or pixels.value is None:
        return {}
    if pixels.length == UNDEFINED_LENGTH:
        return {PIXEL_DATA: pixels, **dict(_offset_tables(source, int(elements.number(0x00280008) or 1)))}
    value = _native(pixels.value, elements, "<" if pixels.is_little_endian else ">")
    return {PIXEL_DATA: pixels._replace(value=value, length=len(value))}


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
    value = value[: (bits + 7) // 8]
    if allocated in (8, 16, 32) and 0 < stored < allocated:
        kind, unused = "i" if elements.integer(0x00280103) else "u", allocated - stored
        dtype = np.dtype(f"{order}{kind}{allocated // 8}")
        value = ((np.frombuffer(value, dtype) << unused) >> unused).astype(dtype).tobytes()
    return value + bytes(len(value) % 2)
