"""Compressed pixels: pydicom's own files in every syntax, and clear errors where a decoder or the size is wrong."""

import struct
from importlib import resources
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.encaps import encapsulate
from pydicom.uid import JPEG2000Lossless, JPEGExtended12Bit, JPEGLosslessSV1, JPEGLSLossless

from mpmri_monai.catalogue.headers.reading import read_headers
from mpmri_monai.catalogue.pixels import stored as pixels
from mpmri_monai.catalogue.pixels.codestream import size_in
from mpmri_monai.catalogue.pixels.stored import stored_pixels, stored_stack
from mpmri_monai.errors import CatalogueError

SHIPPED = resources.files("pydicom") / "data" / "test_files"


def header_of(path):
    (header,) = read_headers(Path(str(path)))
    return header


@pytest.mark.parametrize("name", ["RLE", "bigendian", "expb", "implicit", "jp2klossless", "jpeg_ls_lossless", "padded"])
def test_one_image_in_every_syntax_that_pydicom_ships(name):
    native = stored_pixels(header_of(SHIPPED / "MR_small.dcm"))
    assert np.array_equal(stored_pixels(header_of(SHIPPED / f"MR_small_{name}.dcm")), native)
    assert native.dtype == np.int16 and native.any()


def compressed(make, path, syntax=JPEG2000Lossless, rows=64, columns=48):
    dataset = make.image(1, 0, Rows=rows, Columns=columns)
    dataset.PixelData = np.random.default_rng(0).integers(0, 4096, (rows, columns)).astype(np.uint16).tobytes()
    dataset.compress(syntax)
    dataset.save_as(path, enforce_file_format=True)
    return path


@pytest.mark.parametrize(
    ("syntax", "wheel"),
    [
        (JPEG2000Lossless, "pylibjpeg-openjpeg"),
        (JPEGLSLossless, "pyjpegls"),
        (JPEGLosslessSV1, "python-gdcm"),
        (JPEGExtended12Bit, "python-gdcm"),
    ],
)
def test_a_missing_decoder_is_named(make, tmp_path, monkeypatch, syntax, wheel):
    dataset = pydicom.dcmread(compressed(make, tmp_path / "one"))
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.save_as(tmp_path / "one", enforce_file_format=True)

    class Absent:
        is_available = False

    monkeypatch.setattr(pixels, "get_decoder", lambda _: Absent)
    with pytest.raises(CatalogueError) as error:
        stored_pixels(header_of(tmp_path / "one"))
    assert error.value.code == "E_CODEC" and f"pip install {wheel}" in str(error.value)


def test_the_size_in_a_stream_counts_before_it_is_decoded(make, tmp_path):
    for syntax in (JPEG2000Lossless, JPEGLSLossless):
        dataset = pydicom.dcmread(compressed(make, tmp_path / "small", syntax))
        stream = next(pydicom.encaps.generate_frames(dataset.PixelData, number_of_frames=1))
        assert size_in(stream) == (dataset.Rows, dataset.Columns, 1)
        dataset.PixelData = pydicom.dcmread(compressed(make, tmp_path / "big", syntax, 300, 200)).PixelData
        dataset.save_as(tmp_path / "bomb")
        with pytest.raises(CatalogueError) as error:
            stored_pixels(header_of(tmp_path / "bomb"))
        assert "300 x 200" in error.value.found


@pytest.mark.parametrize(
    "stream", [b"", b"\xff\xd8", b"\xff\xd8\xff\xc0", b"\xff\x4f\xff\x51", bytes(64), b"\xff" * 99]
)
def test_streams_without_a_size(stream):
    assert size_in(stream) is None


def in_a_file(stream):
    """A JPEG 2000 stream in a box of a file of its own, behind a box that holds a stream of another size."""
    boxes = [(b"xml ", SMALL), (b"jp2c", stream)]
    packed = (struct.pack(">I", 8 + len(content)) + kind + content for kind, content in boxes)
    return b"\0\0\0\x0cjP  \r\n\x87\n" + b"".join(packed)


SMALL = b"\xff\x4f\xff\x51" + struct.pack(">HH8IH", 41, 0, 48, 64, 0, 0, 48, 64, 0, 0, 1) + b"\x0f\x01\x01"
"""Start of a JPEG 2000 stream of 64 x 48 pixels."""
LARGE = SMALL.replace(struct.pack(">II", 48, 64), struct.pack(">II", 60000, 60000))
LARGE_JPEG = b"\xff\xd8\xff\xfe" + struct.pack(">H", 2 + len(SMALL)) + SMALL + b"\xff\xc3\0\x0b\x10\xea\x60\xea\x60\x01"


@pytest.mark.parametrize(
    "stream", [LARGE, in_a_file(LARGE), LARGE_JPEG, b"\xff\xd8garbage" + LARGE_JPEG[2:]], ids=range(4)
)
def test_no_other_stream_hides_the_size_of_one(make, tmp_path, stream):
    dataset = pydicom.dcmread(compressed(make, tmp_path / "one"))
    dataset.PixelData = encapsulate([stream])
    dataset.save_as(tmp_path / "one")
    with pytest.raises(CatalogueError, match=r"60000 x 60000 x 1|does not say its size"):
        stored_pixels(header_of(tmp_path / "one"))


def test_a_stream_that_ends_early_is_refused(make, tmp_path):
    dataset = pydicom.dcmread(compressed(make, tmp_path / "one"))
    stream = next(pydicom.encaps.generate_frames(dataset.PixelData, number_of_frames=1))
    dataset.PixelData = encapsulate([stream[:60]])
    dataset.save_as(tmp_path / "one")
    with pytest.raises(CatalogueError) as error:
        stored_pixels(header_of(tmp_path / "one"))
    assert error.value.code == "E_TRUNCATED"


def test_images_of_several_types_make_one_stack(make, tmp_path):
    values = np.arange(120).reshape(12, 10) - 60
    paths = []
    for bits, signed, kind in ((8, 0, "u1"), (16, 1, "i2")):
        dataset = make.image(1, 0, BitsAllocated=bits, BitsStored=bits, HighBit=bits - 1, PixelRepresentation=signed)
        dataset.PixelData = (values + 60 * (not signed)).astype(kind).tobytes()
        paths.append(tmp_path / kind)
        dataset.save_as(paths[-1], enforce_file_format=True)
    stack = stored_stack([header_of(path) for path in paths])
    assert stack.dtype == np.int16
    assert np.array_equal(stack, np.stack([values + 60, values]))
