"""Stored pixels of one image: straight from the file where they are native, through pydicom where compressed."""

from __future__ import annotations

import numpy as np
from pydicom.pixels import get_decoder, pixel_array
from pydicom.uid import UID

from mpmri_monai.catalogue.header import FileHeader
from mpmri_monai.errors import CatalogueError


def stored_pixels(header: FileHeader, out: np.ndarray | None = None) -> np.ndarray:
    """Read the stored values (row, column) of one image, before rescaling.

    Args:
        header: of the file.
        out: C-contiguous array of the stored type to read into.

    Raises:
        CatalogueError: the file changed, ends early, or its compression cannot be decoded. It names the file.
    """
    target = np.empty((header.rows, header.columns), header.dtype) if out is None else out
    if header.pixel_offset is None:
        target[...] = _decoded(header)
        return target
    try:
        with header.path.open("rb", buffering=0) as file:
            file.seek(header.pixel_offset)
            read = file.readinto(target.view(np.uint8).data)
    except OSError as error:
        raise _unreadable(header, "a file that cannot be opened") from error
    if read != header.pixel_bytes:
        raise _unreadable(header, f"{read} of {header.pixel_bytes} bytes of pixels")
    unused = header.bits_allocated - header.bits_stored
    if unused:  # bits above the stored ones may hold anything (PS3.5, 8.1.1); shifting back extends the sign
        np.left_shift(target, unused, out=target)
        np.right_shift(target, unused, out=target)
    return target


def _decoded(header: FileHeader) -> np.ndarray:
    syntax = UID(header.transfer_syntax)
    try:
        available = get_decoder(syntax).is_available
    except NotImplementedError:  # pydicom's word for a transfer syntax that it does not know
        available = False
    if not available:
        raise CatalogueError(
            expected="a compression that the installed decoders know",
            found=syntax.name if syntax.is_transfer_syntax else "an unknown one",
            where=header.path.name,
            fix="export the study without compression, or as JPEG 2000, JPEG-LS, JPEG lossless or RLE",
            code="E_CODEC",
        )
    try:
        pixels = pixel_array(header.path)
    except Exception as error:  # decoders raise whatever damaged streams lead to
        raise _unreadable(header, "compressed pixels that cannot be decoded") from error
    if pixels.shape != (header.rows, header.columns):
        raise _unreadable(header, f"{' x '.join(map(str, pixels.shape))} pixels")
    return pixels


def _unreadable(header: FileHeader, found: str) -> CatalogueError:
    return CatalogueError(
        expected=f"an image of {header.rows} x {header.columns} pixels",
        found=found,
        where=f"series {header.series_number}, file {header.path.name}",
        fix="copy or export the file again",
        code="E_TRUNCATED",
    )
