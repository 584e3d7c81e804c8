import zlib
from io import BytesIO

import numpy as np
import pydicom
import pytest
from pydicom import Dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

from mpmri_monai.catalogue.headers import elements
from mpmri_monai.catalogue.headers.header import FileHeader, ObjectHeader, Unreadable
from mpmri_monai.catalogue.headers.reading import read_headers
from mpmri_monai.catalogue.pixels.stored import stored_pixels
from mpmri_monai.errors import CatalogueError


def read_header(path):
    """Header of a file that holds at most one image."""
    found = read_headers(path)
    return found[0] if isinstance(found, tuple) and len(found) == 1 else found


def saved(dataset, path, syntax=ExplicitVRLittleEndian):
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.save_as(path, enforce_file_format=True)
    return path


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian])
@pytest.mark.parametrize(("kind", "signed"), [("u2", 0), ("i2", 1), ("u1", 0)])
def test_native_pixels_are_read_from_their_offset_as_pydicom_reads_them(make, tmp_path, syntax, kind, signed):
    dataset = make.image(1, 3)
    values = np.arange(dataset.Rows * dataset.Columns).reshape(dataset.Rows, dataset.Columns) - 60 * signed
    bits = 8 * np.dtype(kind).itemsize
    dataset.BitsAllocated = dataset.BitsStored = bits
    dataset.HighBit, dataset.PixelRepresentation = bits - 1, signed
    order = ">" if syntax == ExplicitVRBigEndian else "<"
    dataset.PixelData = values.astype(order + kind).tobytes()
    dataset["PixelData"].VR = "OB" if kind == "u1" else "OW"
    path = saved(dataset, tmp_path / "one", syntax)
    header = read_header(path)
    assert isinstance(header, FileHeader) and (header.pixel_offset is None) == (syntax == ExplicitVRBigEndian)
    found = stored_pixels(header)
    np.testing.assert_array_equal(found, pydicom.dcmread(path).pixel_array)
    np.testing.assert_array_equal(found, values)


def test_values_are_those_that_pydicom_reads(make, tmp_path):
    dataset = make.image(
        7, 2, EchoTime=2.3, RescaleSlope=2.5, RescaleIntercept=-3.0, AcquisitionTime="101530.25", TriggerTime=12.5
    )
    for syntax in (ExplicitVRLittleEndian, ImplicitVRLittleEndian):
        header = read_header(saved(dataset, tmp_path / "one", syntax))
        assert isinstance(header, FileHeader)
        assert header.position == tuple(dataset.ImagePositionPatient)
        assert header.orientation == tuple(dataset.ImageOrientationPatient)
        assert header.pixel_spacing == tuple(dataset.PixelSpacing)
        assert (header.rows, header.columns) == (dataset.Rows, dataset.Columns)
        assert (header.echo_time_ms, header.slope, header.intercept) == (2.3, 2.5, -3.0)
        assert header.acquisition_time_s == 10 * 3600 + 15 * 60 + 30.25
        assert (header.series_number, header.trigger_time_ms) == (7, 12.5)
        assert header.instance == dataset.SOPInstanceUID


def test_unused_bits_are_cleared_and_signs_extended(make, tmp_path):
    dataset = make.image(1, 0, BitsStored=12, HighBit=11, PixelRepresentation=1)
    values = np.arange(-60, 60, dtype=np.int16).reshape(12, 10)
    dataset.PixelData = (values.astype(np.uint16) & 0x0FFF | 0x5000).tobytes()
    found = stored_pixels(read_header(saved(dataset, tmp_path / "one")))
    np.testing.assert_array_equal(found, values)


def test_compressed_pixels_are_decoded(make, tmp_path):
    dataset = make.image(1, 4)
    expected = dataset.pixel_array.copy()
    dataset.compress(RLELossless, generate_instance_uid=False)
    header = read_header(saved(dataset, tmp_path / "one", RLELossless))
    assert isinstance(header, FileHeader) and header.pixel_offset is None
    np.testing.assert_array_equal(stored_pixels(header), expected)


def test_broken_compressed_stream_and_unknown_compression_are_clear_errors(make, tmp_path):
    dataset = make.image(1, 4)
    dataset.compress(RLELossless, generate_instance_uid=False)
    path = saved(dataset, tmp_path / "one", RLELossless)
    path.write_bytes(path.read_bytes()[:-60])
    with pytest.raises(CatalogueError, match=r"series 1, image 5.*cannot be decoded"):
        stored_pixels(read_header(path))
    path = saved(dataset, tmp_path / "two", "1.2.840.10008.1.2.4.100")
    with pytest.raises(CatalogueError, match=r"E_CODEC.*MPEG2"):
        stored_pixels(read_header(path))


def test_file_that_shrinks_after_the_scan_is_named(make, tmp_path):
    path = saved(make.image(1, 0), tmp_path / "one")
    header = read_header(path)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(CatalogueError, match=r"E_TRUNCATED: series 1, image 1.*230 of 240 bytes"):
        stored_pixels(header)
    path.unlink()
    with pytest.raises(CatalogueError, match="cannot be opened"):
        stored_pixels(header)


def test_file_without_preamble_is_read(make, tmp_path):
    dataset = make.image(1, 0)
    buffer = BytesIO()
    del dataset.file_meta
    pydicom.dcmwrite(buffer, dataset, implicit_vr=True, little_endian=True)
    path = tmp_path / "one"
    path.write_bytes(buffer.getvalue())
    header = read_header(path)
    assert isinstance(header, FileHeader)
    np.testing.assert_array_equal(stored_pixels(header), np.frombuffer(dataset.PixelData, "<u2").reshape(12, 10))


def test_header_longer_than_the_first_bytes_is_read_whole(make, tmp_path):
    dataset = make.image(1, 0)
    dataset.add_new(0x00091001, "OB", bytes(2 * elements.FIRST_BYTES))
    header = read_header(saved(dataset, tmp_path / "one"))
    assert isinstance(header, FileHeader)
    assert header.pixel_offset > 2 * elements.FIRST_BYTES
    assert stored_pixels(header)[0, 1] == 11


def test_header_beyond_the_limit_is_refused(make, tmp_path, monkeypatch):
    monkeypatch.setattr(elements, "MAX_HEADER_BYTES", 3 * elements.FIRST_BYTES)
    dataset = make.image(1, 0)
    dataset.add_new(0x00091001, "OB", bytes(4 * elements.FIRST_BYTES))
    found = read_header(saved(dataset, tmp_path / "one"))
    assert isinstance(found, Unreadable) and found.code == "E_HEADER"


def test_deflated_file_is_refused_without_inflating_it(make, tmp_path):
    path = saved(make.image(1, 0), tmp_path / "one", DeflatedExplicitVRLittleEndian)
    bomb = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    head = path.read_bytes()[:400]
    path.write_bytes(head + bomb.compress(bytes(50 * 2**20)) + bomb.flush())
    found = read_header(path)
    assert isinstance(found, Unreadable) and "deflated" in found.message


@pytest.mark.parametrize(
    ("tags", "code"),
    [
        ({"Rows": 60000}, "E_LIMIT"),
        ({"Columns": 0}, "E_LIMIT"),
        ({"BitsAllocated": 12}, "E_PIXELS"),
        ({"ImagePositionPatient": None}, "E_NOGEOM"),
        ({"ImageOrientationPatient": [1, 0, 0, 1, 0, 0]}, "E_NOGEOM"),
        ({"PixelSpacing": [0, 1]}, "E_NOGEOM"),
        ({"RescaleSlope": -1.0}, "E_RESCALE"),
        ({"PixelData": b"12"}, "E_TRUNCATED"),
        ({"Rows": 6}, "E_PIXELS"),
        ({"PhotometricInterpretation": "MONOCHROME1"}, "E_PIXELS"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "E_PIXELS"),
        ({"BitsStored": 12, "HighBit": 15}, "E_PIXELS"),
    ],
)
def test_unusable_image_is_refused_by_name(make, tmp_path, tags, code):
    dataset = make.image(6, 0)
    for name, value in tags.items():
        setattr(dataset, name, value)
    found = read_header(saved(dataset, tmp_path / "one"))
    assert isinstance(found, Unreadable)
    assert (found.code, found.series_number) == (code, 6)
    assert "SECRET" not in repr(found) and "2.25." not in repr(found)


def test_colour_and_multi_frame_images_are_objects(make, tmp_path):
    for tags in ({"SamplesPerPixel": 3}, {"NumberOfFrames": 4}):
        found = read_header(saved(make.image(1, 0, **tags), tmp_path / "one"))
        assert isinstance(found, ObjectHeader) and found.kind == "MULTI"


def test_text_and_random_bytes_are_not_dicom(tmp_path):
    path = tmp_path / "one"
    for content in (b"plain text " * 50, np.random.default_rng(0).bytes(5000)):
        path.write_bytes(content)
        assert read_header(path) is None


@pytest.mark.filterwarnings("ignore")
def test_a_file_cut_anywhere_is_never_passed_over(make, tmp_path):
    """What is left must not be taken for a file that is not DICOM, or for a DICOM object other than an image."""
    whole = saved(make.image(1, 0), tmp_path / "one").read_bytes()
    path = tmp_path / "cut"
    for kept in range(len(whole)):
        path.write_bytes(whole[:kept])
        assert isinstance(read_header(path), Unreadable), kept
    path.write_bytes(bytes(len(whole)))
    assert isinstance(read_header(path), Unreadable), "zeros of the right length, as a broken copy leaves them"


@pytest.mark.filterwarnings("ignore")
def test_any_damage_gives_a_header_a_refusal_or_nothing(make, tmp_path):
    whole = saved(make.image(1, 0, EchoTime=2.0), tmp_path / "one").read_bytes()
    generator = np.random.default_rng(1)
    path = tmp_path / "damaged"
    for _ in range(200):
        content = bytearray(whole)
        for place in generator.integers(132, len(whole) - 240, size=3):
            content[place] = generator.integers(256)
        path.write_bytes(content)
        read_header(path)  # must not raise


def spoilt(dataset, path, old, new):
    """Write a file with other bytes in one place, which pydicom would not write."""
    content = saved(dataset, path).read_bytes()
    assert content.count(old) == 1
    path.write_bytes(content.replace(old, new))
    return path


@pytest.mark.filterwarnings("ignore")
def test_a_series_number_too_short_for_its_kind_is_damage(make, tmp_path):
    image = make.image(1, 0, SeriesNumber=7, EchoTime=2.0)
    path = spoilt(image, tmp_path / "one", b"\x20\0\x11\0IS", b"\x20\0\x11\0FD")
    assert read_header(path).code == "E_HEADER"


@pytest.mark.filterwarnings("ignore")
def test_a_character_set_that_names_another_kind_of_codec_is_damage(make, tmp_path):
    image = make.image(1, 0, SpecificCharacterSet="ISO_IR 100", SeriesDescription="J\xe9r\x1bme")
    path = spoilt(image, tmp_path / "one", b"ISO_IR 100", b"zlib      ")
    assert read_header(path).code == "E_HEADER"


@pytest.mark.filterwarnings("ignore")
def test_a_segmentation_of_an_endless_frame_number_is_damage(make, tmp_path):
    image = make.image(1, 0, SOPClassUID="1.2.840.10008.5.1.4.1.1.66.4")
    source = Dataset()
    source.ReferencedSOPInstanceUID, source.ReferencedFrameNumber = "2.25.1", 7777
    image.SourceImageSequence = [source]
    path = spoilt(image, tmp_path / "one", b"7777", b"inf ")
    assert read_header(path).code == "E_HEADER"
