"""What a compressed stream holds beside the image: its size, read before a decoder allocates for it; text."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass

JPEG_COMMENTS = frozenset({0xFE, *range(0xE1, 0xEE)} - {0xE8})
"""Comments, and what programs add (EXIF among it); APP0, APP8 and APP14 tell decoders about sizes and colours."""
END = 0xD9
"""Second byte of the marker that ends an image (EOI, EOC)."""
RUNS_HEADER_BYTES = 64
"""Number and beginnings of the segments of run lengths (PS3.5, G.5)."""
JPEG2000_START = b"\xff\x4f\xff\x51"
"""Start of a code stream (SOC) and of its size segment (SIZ); ITU-T T.800, A.4.1 and A.5.1."""
JPEG_START = b"\xff\xd8"
JPEG_FRAMES = frozenset({*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC})
"""Second bytes of the markers that begin a frame: SOF0 to SOF15 of ITU-T T.81, B.1.1.3, and SOF55 of JPEG-LS."""
JP2_START = b"\0\0\0\x0cjP  \r\n\x87\n"
"""Start of a JPEG 2000 file, which holds its code stream in a box; ITU-T T.800, I.5.1. DICOM has the bare stream."""
JP2_CODE_STREAM = b"jp2c"


@dataclass(frozen=True)
class _Form:
    """How the segments of a stream are told apart."""

    comments: frozenset[int]
    text_at: int
    """Bytes from the marker of a comment to its text; in JPEG 2000 two of them tell its kind."""
    data: int
    """Marker behind which image data follow (SOS, SOD)."""
    next: re.Pattern[bytes]
    """First marker behind image data, which never hold it themselves."""


JPEG = _Form(JPEG_COMMENTS, 4, 0xDA, re.compile(rb"\xff[\x80-\xcf\xd8-\xfe]"))
JPEG2000 = _Form(frozenset({0x64}), 6, 0x93, re.compile(rb"\xff[\x90\xd9]"))


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


def without_text(stream: bytes, pixels: int) -> bytes:
    """Return one compressed image without what may hold text beside it; decoders give the same values.

    Comments become blanks. The boxes around a JPEG 2000 stream, what lies behind the end of an image, and what lies
    between run lengths are left out.

    Args:
        stream: of one image.
        pixels: rows times columns, which each segment of run lengths holds.

    Raises:
        ValueError: a stream of another kind, or a damaged one.
    """
    if stream.startswith(JP2_START):
        stream = _code_stream(stream)
    if stream.startswith(JPEG2000_START):
        return _blanked(stream, JPEG2000)
    return _blanked(stream, JPEG) if stream.startswith(JPEG_START) else _runs(stream, pixels)


def _blanked(stream: bytes, form: _Form) -> bytes:
    """Put blanks in place of comments, also of those between the parts of an image, and end with the image."""
    content, at = bytearray(stream), 2
    while at + 4 <= len(stream):
        marker = stream[at + 1]
        if stream[at] != 0xFF:
            raise ValueError("no marker where one belongs")
        if marker == 0xFF:  # fill byte
            at += 1
            continue
        if marker == END:
            return bytes(content[: at + 2])
        end = at + 2 + int.from_bytes(stream[at + 2 : at + 4])
        if marker in form.comments:
            length = max(0, min(end, len(stream)) - at - form.text_at)
            content[at + form.text_at : at + form.text_at + length] = b" " * length
        if marker == form.data:
            following = form.next.search(stream, end if form is JPEG else at + 2)
            end = following.start() if following else len(stream)
        at = end
    return bytes(content)


def _runs(stream: bytes, pixels: int) -> bytes:
    """Put the segments of run lengths together again, each no longer than its pixels (PS3.5, G.3 to G.5)."""
    if len(stream) < RUNS_HEADER_BYTES:
        raise ValueError("run lengths without a header")
    count, *starts = struct.unpack_from("<16I", stream)
    if not 1 <= count <= len(starts) or starts[0] != RUNS_HEADER_BYTES:
        raise ValueError("a stream of another kind")
    content, own = b"", []
    for start in starts[:count]:
        at, left = start, pixels
        while left > 0 and at < len(stream):
            run = stream[at]
            at += run + 2 if run < 128 else 1 + (run > 128)
            left -= run + 1 if run < 128 else (257 - run) * (run > 128)
        segment = stream[start:at]
        own.append(RUNS_HEADER_BYTES + len(content))
        content += segment + bytes(len(segment) % 2)
    return struct.pack("<16I", count, *own, *[0] * (len(starts) - count)) + content
