"""DICOM files made to harm a reader: each is refused or read within bounds of memory, and never ends in a traceback."""

import struct
import tracemalloc
import zlib

import numpy as np
import pydicom
import pytest
from pydicom.encaps import encapsulate
from pydicom.uid import DeflatedExplicitVRLittleEndian, JPEG2000Lossless, RLELossless

from mpmri_monai.catalogue import scan
from mpmri_monai.catalogue.containers import study_files as containers
from mpmri_monai.catalogue.headers.header import FileHeader, ObjectHeader, Unreadable
from mpmri_monai.catalogue.headers.reading import read_headers
from mpmri_monai.catalogue.pixels.stored import stored_pixels
from mpmri_monai.errors import CatalogueError

MANY_BYTES = 20 * 2**20
"""More than this is too much for reading one small file (bytes)."""
PIXELS = struct.pack("<HH2s", 0x7FE0, 0x0010, b"OW")
SEQUENCE = (0x0040, 0x0275)
"""A public sequence that no part of the catalogue asks for."""


@pytest.fixture
def image_file(make, tmp_path):
    """Write one image."""

    def write(syntax=None, **tags):
        dataset = make.image(6, 0, **tags)
        if syntax is not None:
            dataset.file_meta.TransferSyntaxUID = syntax
        if "PixelData" in tags:
            dataset.PixelData = tags["PixelData"]
            dataset["PixelData"].VR = "OB"
        dataset.save_as(tmp_path / "image", enforce_file_format=True)
        return tmp_path / "image"

    return write


@pytest.fixture
def within_bounds():
    """Fail when more memory is taken than a small file may take."""
    tracemalloc.start()
    yield
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < MANY_BYTES


def put_before_pixels(path, extra):
    content = path.read_bytes()
    at = content.index(PIXELS)
    path.write_bytes(content[:at] + extra + content[at:])


def nested(depth, undefined):
    """A sequence in a sequence in a sequence."""
    inner = b""
    for _ in range(depth):
        if undefined:
            item = struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF) + inner + struct.pack("<HHI", 0xFFFE, 0xE00D, 0)
            content, length = item + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0), 0xFFFFFFFF
        else:
            content = struct.pack("<HHI", 0xFFFE, 0xE000, len(inner)) + inner
            length = len(content)
        inner = struct.pack("<HH2sHI", *SEQUENCE, b"SQ", 0, length) + content
    return inner


@pytest.mark.usefixtures("within_bounds")
@pytest.mark.parametrize("depth", [400, 5000])
@pytest.mark.parametrize("undefined", [True, False])
@pytest.mark.parametrize("kind", ["image", "1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.4.1"])
def test_nested_sequences(image_file, depth, undefined, kind):
    path = image_file(**({} if kind == "image" else {"SOPClassUID": kind}))
    put_before_pixels(path, nested(depth, undefined))
    found = read_headers(path)
    assert isinstance(found, (Unreadable, ObjectHeader, tuple))
    if isinstance(found, Unreadable):
        assert found.code == "E_HEADER"


def tiny(group, count):
    """Private elements without a value."""
    places = ((group + 2 * (number >> 12), 0x1000 + (number & 0xFFF)) for number in range(count))
    return b"".join(struct.pack("<HH2sH", *place, b"LO", 0) for place in places)


BEHIND = tiny(0x7FE1, 100_000)
ITEM = struct.pack("<HHI", 0xFFFE, 0xE000, 0)
MANY_ITEMS = struct.pack("<HH2sHI", *SEQUENCE, b"SQ", 0, 0xFFFFFFFF) + 250_000 * ITEM


@pytest.mark.usefixtures("within_bounds")
@pytest.mark.parametrize("extra", [tiny(0x0041, 20_000), MANY_ITEMS], ids=["elements", "items"])
def test_more_elements_or_items_than_a_header_has(image_file, extra):
    path = image_file()
    put_before_pixels(path, extra)
    found = read_headers(path)
    assert isinstance(found, Unreadable) and "a header has more than" in found.message


def test_what_lies_behind_compressed_pixels_is_not_read(image_file, within_bounds):
    """Where no limit holds: half a gigabyte of empty elements would be some 20 of memory."""
    stream = struct.pack("<16I", 2, 64, 66, *([0] * 13)) + b"\x89\x01" * 2  # 120 bytes of ones are one run each
    path = image_file(RLELossless, PixelData=encapsulate([stream]))
    with path.open("ab") as file:
        file.write(BEHIND)
    (header,) = read_headers(path)
    np.testing.assert_array_equal(stored_pixels(header), np.full((12, 10), 0x0101))


@pytest.mark.usefixtures("within_bounds")
def test_deflated_bomb(image_file):
    path = image_file(DeflatedExplicitVRLittleEndian)
    bomb = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    pieces = [bomb.compress(bytes(2**20)) for _ in range(100)]
    path.write_bytes(path.read_bytes()[:400] + b"".join(pieces) + bomb.flush())
    found = read_headers(path)
    assert isinstance(found, Unreadable) and "deflated" in found.message


@pytest.mark.usefixtures("within_bounds")
@pytest.mark.parametrize(
    ("tags", "code"),
    [
        ({"Rows": 65535, "Columns": 65535}, "E_LIMIT"),
        ({"Rows": 4096, "Columns": 4096}, "E_TRUNCATED"),
        ({"BitsAllocated": 32, "BitsStored": 32, "HighBit": 31}, "E_TRUNCATED"),
    ],
)
def test_more_pixels_than_the_file_holds(image_file, tags, code):
    path = image_file()
    dataset = pydicom.dcmread(path)
    for name, value in tags.items():
        setattr(dataset, name, value)
    dataset.save_as(path)
    found = read_headers(path)
    assert isinstance(found, Unreadable) and found.code == code


@pytest.mark.usefixtures("within_bounds")
@pytest.mark.parametrize("sop_class", ["1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.4.1"])
@pytest.mark.parametrize("frames", [10**9, 4000, -3])
def test_more_frames_than_the_file_holds(image_file, sop_class, frames):
    found = read_headers(image_file(NumberOfFrames=frames, SOPClassUID=sop_class))
    assert not isinstance(found, tuple) or len(found) == 1


@pytest.mark.usefixtures("within_bounds")
def test_a_length_that_lies(image_file):
    """Pixels that say they have 4 GB are as many as the matrix needs; a text that says so ends the file early."""
    path = image_file()
    content = bytearray(path.read_bytes())
    at = content.index(PIXELS)
    content[at + 8 : at + 12] = struct.pack("<I", 0xFFFFFFFE)
    path.write_bytes(content)
    (header,) = read_headers(path)
    np.testing.assert_array_equal(stored_pixels(header).ravel(), np.arange(120) + 60)
    put_before_pixels(image_file(), struct.pack("<HH2sHI", 0x0040, 0x4000, b"UT", 0, 0xFFFFFF00))
    found = read_headers(path)
    assert isinstance(found, Unreadable) and found.code == "E_TRUNCATED"


@pytest.mark.usefixtures("within_bounds")
@pytest.mark.parametrize("size", [200, 2**20])
def test_run_lengths_that_grow_beyond_the_image(image_file, size, monkeypatch):
    """A run of 128 bytes takes two: 2 MiB would be 128 MiB."""
    monkeypatch.setenv("RUST_BACKTRACE", "0")
    segment = b"\x81\x00" * size
    starts = struct.pack("<16I", 2, 64, 64 + len(segment), *([0] * 13))
    path = image_file(RLELossless, PixelData=encapsulate([starts + 2 * segment]))
    (header,) = read_headers(path)
    with pytest.raises(CatalogueError, match="E_TRUNCATED"):
        stored_pixels(header)


def jpeg2000_header(rows, columns, components):
    """Start and size segment of a code stream (ITU-T T.800, A.5.1)."""
    size = struct.pack(">H8IH", 0, columns, rows, 0, 0, columns, rows, 0, 0, components)
    return b"\xff\x4f\xff\x51" + struct.pack(">H", 38 + 3 * components) + size + b"\x0f\x01\x01" * components


@pytest.mark.parametrize(("rows", "columns", "components"), [(60000, 60000, 1), (12, 10, 16384), (12, 10, 3)])
def test_a_code_stream_larger_than_the_image(image_file, rows, columns, components):
    stream = jpeg2000_header(rows, columns, components) + bytes(100)
    (header,) = read_headers(image_file(JPEG2000Lossless, PixelData=encapsulate([stream])))
    with pytest.raises(CatalogueError, match=f"E_TRUNCATED.*{rows} x {columns} x {components} pixels"):
        stored_pixels(header)


def test_a_study_beyond_the_limit(make, tmp_path, monkeypatch):
    monkeypatch.setattr(containers, "MAX_STUDY_BYTES", 1000)
    with pytest.raises(CatalogueError, match="E_LIMIT"):
        scan(make.write(tmp_path / "study", make.t2()))


@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
def test_names_in_headers_lead_nowhere(make, tmp_path):
    images = make.t2()
    for index, dataset in enumerate(images):
        dataset.SeriesDescription = dataset.ProtocolName = "../../../evil"
        dataset.PatientID, dataset.SOPInstanceUID = "/etc/passwd", f"../../{index}"
    before = set(tmp_path.rglob("*"))
    catalogue = scan(make.write(tmp_path / "study", images))
    assert list(catalogue.roles) == ["T2"]
    written = set(tmp_path.rglob("*")) - before - {header.path for v in catalogue.volumes for header in v.files}
    assert written == {tmp_path / "study"}


def test_what_lies_in_the_preamble_is_not_looked_at(image_file):
    path = image_file()
    content = bytearray(path.read_bytes())
    content[:64] = b"MZ" + bytes(58) + struct.pack("<I", 128)  # a Windows program (CVE-2019-11687)
    path.write_bytes(content)
    (header,) = read_headers(path)
    assert isinstance(header, FileHeader)
