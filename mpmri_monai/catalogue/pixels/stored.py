"""Stored pixels of images: straight from their file where they are native, through a decoder where compressed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import BinaryIO

import numpy as np
from pydicom.encaps import generate_frames
from pydicom.pixels import get_decoder, iter_pixels
from pydicom.uid import UID, JPEG2000TransferSyntaxes, JPEGLSTransferSyntaxes, JPEGTransferSyntaxes, RLELossless

from mpmri_monai.catalogue.headers.elements import read_with_pixels
from mpmri_monai.catalogue.headers.header import FileHeader
from mpmri_monai.catalogue.pixels.codestream import size_in
from mpmri_monai.catalogue.quiet import without_warnings
from mpmri_monai.errors import CatalogueError

WHEELS = (
    (JPEG2000TransferSyntaxes, "pylibjpeg-openjpeg"),
    (JPEGLSTransferSyntaxes, "pyjpegls"),
    (JPEGTransferSyntaxes, "python-gdcm"),
)
"""Packages that decode each family of transfer syntaxes; pydicom itself decodes RLE."""

LARGEST_STREAM = 2
"""Compression of noise makes it a little longer, but never by this factor; run lengths may hold 64 times as much."""
STREAM_HEADER_BYTES = 64 * 2**10
"""Tables and comments of a compressed image are no longer (bytes)."""
RUST_PANIC = "pyo3_runtime"
"""Module of what the decoder of run lengths raises on damaged ones, which is no Exception."""


def stored_pixels(header: FileHeader, out: np.ndarray | None = None) -> np.ndarray:
    """Read the stored values (row, column) of one image, before rescaling.

    Args:
        header: of the image.
        out: C-contiguous array of the stored type to read into.

    Raises:
        CatalogueError: the file changed, ends early, or its compression cannot be decoded. It names series and image.
    """
    target = np.empty((header.rows, header.columns), header.dtype) if out is None else out
    _read_file([header], [target])
    return target


def stored_stack(headers: Sequence[FileHeader]) -> np.ndarray:
    """Read the stored values (slice, row, column) of images of one size; each file is opened once.

    Raises:
        CatalogueError: as ``stored_pixels``.
    """
    dtype = np.result_type(*{header.dtype for header in headers})
    stored = np.empty((len(headers), headers[0].rows, headers[0].columns), dtype)
    by_file: dict[object, list[int]] = {}
    for index, header in enumerate(headers):
        by_file.setdefault(header.path, []).append(index)
    for indices in by_file.values():
        indices.sort(key=lambda index: headers[index].frame or 0)
        _read_file([headers[index] for index in indices], [stored[index] for index in indices])
    return stored


def _read_file(headers: Sequence[FileHeader], planes: Sequence[np.ndarray]) -> None:
    """Read images of one file, in the order of its frames, into arrays."""
    first = headers[0]
    try:
        with first.path.open("rb", buffering=0) as file:
            if first.pixel_offset is None:
                _decode(headers, file, planes)
                return
            for header, plane in zip(headers, planes, strict=True):
                if plane.dtype == header.dtype:
                    _read_native(header, file, plane)
                else:
                    _read_native(header, file, own := np.empty(plane.shape, header.dtype))
                    plane[...] = own
    except OSError as error:
        raise _unreadable(first, "a file that cannot be opened") from error


def _read_native(header: FileHeader, file: BinaryIO, target: np.ndarray) -> None:
    file.seek(header.pixel_offset or 0)
    read = file.readinto(target.view(np.uint8).data)  # type: ignore[attr-defined]
    if read != header.pixel_bytes:
        raise _unreadable(header, f"{read} of {header.pixel_bytes} bytes of pixels")
    unused = header.bits_allocated - header.bits_stored
    if unused:  # bits above the stored ones may hold anything (PS3.5, 8.1.1); shifting back extends the sign
        np.left_shift(target, unused, out=target)
        np.right_shift(target, unused, out=target)


def _decode(headers: Sequence[FileHeader], file: BinaryIO, planes: Sequence[np.ndarray]) -> None:
    """Decode images of one file, which is parsed once."""
    first = headers[0]
    _require_decoder(first)
    frames = [header.frame or 0 for header in headers]
    try:
        with without_warnings():
            dataset = read_with_pixels(file)
            count = int(dataset.get("NumberOfFrames") or 1)
            if UID(first.transfer_syntax).is_encapsulated:
                _check_sizes(first, generate_frames(dataset.PixelData, number_of_frames=count))
            decoded = iter_pixels(dataset, indices=None if len(frames) == count else frames)
            for header, plane, pixels in zip(headers, planes, decoded, strict=True):
                if pixels.shape != (header.rows, header.columns):
                    raise _unreadable(header, f"{' x '.join(map(str, pixels.shape))} pixels")
                plane[...] = pixels
    except CatalogueError:
        raise
    except BaseException as error:  # decoders raise whatever damaged streams lead to
        if not isinstance(error, Exception) and type(error).__module__ != RUST_PANIC:
            raise
        raise _unreadable(first, "compressed pixels that cannot be decoded") from error


def _check_sizes(header: FileHeader, streams: Iterator[bytes]) -> None:
    """Refuse streams of another size than the header's before a decoder makes room for them."""
    for stream in streams:
        size = size_in(stream)
        if size is None and header.transfer_syntax != RLELossless:
            raise _unreadable(header, "a compressed image that does not say its size")
        if size is not None and size != (header.rows, header.columns, 1):
            raise _unreadable(header, f"a compressed image of {' x '.join(map(str, size))} pixels")
        if len(stream) > LARGEST_STREAM * header.pixel_bytes + STREAM_HEADER_BYTES:
            raise _unreadable(header, "a compressed image that is longer than it would be without compression")


def _require_decoder(header: FileHeader) -> None:
    syntax = UID(header.transfer_syntax)
    try:
        available = get_decoder(syntax).is_available
    except NotImplementedError:  # pydicom's word for a transfer syntax that it does not know
        available = False
    if available:
        return
    wheel = next((wheel for syntaxes, wheel in WHEELS if syntax in syntaxes), None)
    convert = "export the study without compression, or as JPEG 2000, JPEG-LS, JPEG lossless or RLE"
    raise CatalogueError(
        expected="a compression that the installed decoders know",
        found=syntax.name if syntax.is_transfer_syntax else "an unknown one",
        where=_image(header),
        fix=convert if wheel is None else f"install its decoder with `pip install {wheel}`",
        code="E_CODEC",
    )


def _image(header: FileHeader) -> str:
    """Which image it is, without the name of its file, which may be the patient's."""
    return f"series {header.series_number}, image {header.instance_number}"


def _unreadable(header: FileHeader, found: str) -> CatalogueError:
    return CatalogueError(
        expected=f"an image of {header.rows} x {header.columns} pixels",
        found=found,
        where=_image(header),
        fix="copy or export the file again",
        code="E_TRUNCATED",
    )
