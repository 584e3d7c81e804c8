"""The pixels of a file, for a copy that holds the image and nothing that may travel with it."""

from __future__ import annotations

import numpy as np
from pydicom import DataElement, Dataset
from pydicom.dataelem import RawDataElement
from pydicom.encaps import encapsulate, generate_frames

from mpmri_monai.catalogue.headers.elements import Elements
from mpmri_monai.catalogue.headers.layout import UNDEFINED_LENGTH
from mpmri_monai.catalogue.pixels.codestream import without_text
from mpmri_monai.catalogue.sharing.allowlist import tag_of

PIXEL_DATA = tag_of("PixelData")


def image_data(source: Dataset, elements: Elements) -> dict[int, DataElement | RawDataElement]:
    """Return the elements that hold the pixels of a file.

    Only what the image is made of stays. Of compressed pixels comments become blanks, and what lies around, between or
    behind the images is left out. Of native ones bytes behind the last pixel are left out, and bits above the stored
    ones, where older files keep overlays with burned-in names (PS3.5, 8.1.1), are zeros or repeat the sign.

    Args:
        source: data set of the whole file.
        elements: of ``source``.

    Raises:
        ValueError: compressed pixels that are damaged, or compressed in a way that is not known.
    """
    pixels = source.get_item(PIXEL_DATA) if PIXEL_DATA in source else None
    if not isinstance(pixels, RawDataElement) or pixels.value is None:
        return {}
    if pixels.length == UNDEFINED_LENGTH:
        return {PIXEL_DATA: pixels._replace(value=_without_text(pixels.value, elements))}
    value = _native(pixels.value, elements, "<" if pixels.is_little_endian else ">")
    return {PIXEL_DATA: pixels._replace(value=value, length=len(value))}


def _without_text(value: bytes, elements: Elements) -> bytes:
    """Compressed images one after the other, each in a fragment of its own, and nothing between or behind them."""
    rows, columns = map(elements.integer, (0x00280010, 0x00280011))
    frames = generate_frames(value, number_of_frames=int(elements.number(0x00280008) or 1))
    return encapsulate([without_text(frame, rows * columns) for frame in frames])


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
