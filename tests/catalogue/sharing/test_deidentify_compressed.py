"""Text that travels in compressed pixels: as a comment, around the stream or behind it."""

import struct

import numpy as np
import pydicom
import pytest
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless, RLELossless

from mpmri_monai.catalogue.pixels.codestream import without_text

VALUES = np.random.default_rng(0).integers(0, 4096, (64, 48)).astype(np.uint16)


def compressed(image, syntax):
    """Return the stream of the image, which now holds `VALUES`."""
    image.Rows, image.Columns, image.PixelData = *VALUES.shape, VALUES.tobytes()
    image.compress(syntax, generate_instance_uid=False)
    return next(generate_frames(image.PixelData, number_of_frames=1))


@pytest.mark.parametrize(
    ("syntax", "comment"),
    [(JPEGLSLossless, b"\xff\xfe\0\x0fWang Xiaodong"), (JPEG2000Lossless, b"\xff\x64\0\x11\0\x01Wang Xiaodong")],
)
def test_comments_in_compressed_pixels_become_blanks(copied, make, syntax, comment):
    images = make.t2()
    for image in images:
        stream = compressed(image, syntax)
        at = 2 if syntax is JPEGLSLossless else 4 + int.from_bytes(stream[4:6])
        image.PixelData = encapsulate([stream[:at] + comment + stream[at:]])
    study, out, _ = copied(images)
    assert all(b"Wang Xiaodong" in path.read_bytes() for path in study.iterdir())
    for path in out.iterdir():
        assert b"Wang" not in path.read_bytes() and b" " * 13 in path.read_bytes()
        np.testing.assert_array_equal(pydicom.dcmread(path).pixel_array, VALUES)


def boxed(stream):
    """A JPEG 2000 file: the stream in a box, behind one that says what the patient is called."""
    colour = box(b"colr", struct.pack(">BBBI", 1, 0, 0, 17))
    header = box(b"jp2h", box(b"ihdr", struct.pack(">IIHBBBB", 64, 48, 1, 15, 7, 0, 0)) + colour)
    about = box(b"ftyp", b"jp2 \0\0\0\0jp2 ") + header + box(b"xml ", b"Wang Xiaodong")
    return b"\0\0\0\x0cjP  \r\n\x87\n" + about + box(b"jp2c", stream)


def box(kind, content):
    return struct.pack(">I", 8 + len(content)) + kind + content


def inside_a_tile(stream):
    """A comment in the header of the first tile, where no decoder minds that the tile's length leaves it out."""
    at = stream.index(b"\xff\x93")
    return stream[:at] + b"\xff\x64\0\x11\0\x01Wang Xiaodong" + stream[at:]


@pytest.mark.parametrize(
    ("syntax", "add"),
    [
        *((syntax, "behind") for syntax in (JPEGLSLossless, JPEG2000Lossless, RLELossless)),
        *((syntax, "fragment") for syntax in (JPEGLSLossless, JPEG2000Lossless, RLELossless)),
        (JPEG2000Lossless, "box"),
    ],
)
def test_nothing_travels_beside_compressed_pixels(copied, make, syntax, add):
    images = make.t2()
    for image in images:
        stream = compressed(image, syntax)
        if add == "fragment":
            image.PixelData += b"\xfe\xff\0\xe0" + struct.pack("<I", 14) + b"Wang Xiaodong "
        else:
            image.PixelData = encapsulate([boxed(stream) if add == "box" else stream + b"Wang Xiaodong"])
    study, out, _ = copied(images)
    assert all(b"Wang Xiaodong" in path.read_bytes() for path in study.iterdir())
    for path in out.iterdir():
        assert b"Wang" not in path.read_bytes()
        np.testing.assert_array_equal(pydicom.dcmread(path).pixel_array, VALUES)


def test_a_comment_between_the_parts_of_an_image_becomes_blanks(make):
    stream = inside_a_tile(compressed(make.t2()[0], JPEG2000Lossless))
    assert b"Wang" not in without_text(stream, VALUES.size)


@pytest.mark.parametrize("stream", [b"", b"Wang Xiaodong" * 9, b"\xff\xd8Wang Xiaodong"])
def test_what_is_no_known_stream_is_not_copied(stream):
    with pytest.raises(ValueError, match=r"kind|header|marker"):
        without_text(stream, 64)
