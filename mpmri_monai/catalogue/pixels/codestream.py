"""What stands before the image in a compressed stream: its size, read before a decoder allocates for it; comments."""

from __future__ import annotations

from collections.abc import Iterator

JPEG_COMMENTS = frozenset({0xFE, *range(0xE1, 0xEE)} - {0xE8})
"""Comments, and what programs add (EXIF among it); APP0, APP8 and APP14 tell decoders about sizes and colours."""
JPEG_SCAN, JPEG2000_COMMENT, JPEG2000_TILE = 0xDA, 0x64, 0x90
"""Markers: where the image begins (SOS, SOT), and a comment, whose text lies behind two bytes that tell its kind."""
JPEG2000_START = b"\xff\x4f\xff\x51"
"""Start of a code stream (SOC) and of its size segment (SIZ); ITU-T T.800, A.4.1 and A.5.1."""
JPEG_START = b"\xff\xd8"
JPEG_FRAMES = frozenset({*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC})
"""Second bytes of the markers that begin a frame: SOF0 to SOF15 of ITU-T T.81, B.1.1.3, and SOF55 of JPEG-LS."""
JP2_START = b"\0\0\0\x0cjP  \r\n\x87\n"
"""Start of a JPEG 2000 file, which holds its code stream in a box; ITU-T T.800, I.5.1. DICOM has the bare stream."""
JP2_CODE_STREAM = b"jp2c"


def size_in(stream: bytes) -> tuple[int, int, int] | None:
    """Return rows, columns and colours by a JPEG, JPEG-LS or JPEG 2000 stream; None for any other or a damaged one.

    The size is looked for where a decoder reads it: another stream in a comment or a box says nothing.
    """
    if stream.startswith(JP2_START):
        stream = _code_stream(stream)
    if stream.startswith(JPEG2000_START) and len(stream) >= 42:
        # SOC, SIZ, Lsiz, Rsiz, Xsiz, Ysiz, XOsiz, YOsiz, 4 of tiles, Csiz
        right, bottom, left, top = (int.from_bytes(stream[at : at + 4]) for at in (8, 12, 16, 20))
        return bottom - top, right - left, int.from_bytes(stream[40:42])
    return _jpeg_size(stream) if stream.startswith(JPEG_START) else None


def _code_stream(file: bytes) -> bytes:
    """Return the content of the first box with a code stream; nothing when there is none."""
    at = 0
    while at + 8 <= len(file):
        length, start = int.from_bytes(file[at : at + 4]), at + 8
        if length == 1:  # the length follows in eight bytes
            length, start = int.from_bytes(file[at + 8 : at + 16]), at + 16
        if file[at + 4 : at + 8] == JP2_CODE_STREAM:
            return file[start:]
        if at + length < start:  # nothing, or a box that is shorter than its own head
            break
        at += length
    return b""


def _jpeg_size(stream: bytes) -> tuple[int, int, int] | None:
    at = len(JPEG_START)
    while at + 10 <= len(stream) and stream[at] == 0xFF:
        marker = stream[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
        elif marker in JPEG_FRAMES:  # length, precision, rows, columns, colours
            rows, columns = int.from_bytes(stream[at + 5 : at + 7]), int.from_bytes(stream[at + 7 : at + 9])
            return rows, columns, stream[at + 9]
        else:
            at += 2 + int.from_bytes(stream[at + 2 : at + 4])
    return None


def comments_in(stream: bytes) -> Iterator[slice]:
    """Yield where text lies before the image of a JPEG, JPEG-LS or JPEG 2000 stream; decoders pass over it."""
    if stream.startswith(JPEG2000_START):
        markers, behind, image = frozenset({JPEG2000_COMMENT}), 6, JPEG2000_TILE
    elif stream.startswith(JPEG_START):
        markers, behind, image = JPEG_COMMENTS, 4, JPEG_SCAN
    else:
        return
    at = 2
    while at + 4 <= len(stream) and stream[at] == 0xFF and stream[at + 1] != image:
        if stream[at + 1] == 0xFF:  # fill byte
            at += 1
            continue
        end = at + 2 + int.from_bytes(stream[at + 2 : at + 4])
        if stream[at + 1] in markers:
            yield slice(at + behind, min(end, len(stream)))
        at = end
