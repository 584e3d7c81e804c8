"""Private attributes as each vendor writes them, in every transfer syntax that hides their representation."""

import pydicom
import pytest
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from mpmri_monai.catalogue.headers.reading import read_headers

GE = (0x0019, "GEMS_ACQU_01")
PHILIPS_MR = (0x2005, "Philips MR Imaging DD 001")
UIH = (0x0065, "Image Private Header")


def header_of(make, path, *private, syntax=ExplicitVRLittleEndian, **tags):
    """Header of an image with private elements given as group, creator, element, VR, value."""
    dataset = make.image(1, 0, **tags)
    for group, creator, element, vr, value in private:
        dataset.private_block(group, creator, create=True).add_new(element, vr, value)
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.save_as(path, enforce_file_format=True)
    (header,) = read_headers(path)
    return header


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian])
@pytest.mark.parametrize(
    ("element", "field", "value"),
    [
        ((*GE, 0xA2, "SL", 18953), "vendor_time", 18953),
        ((*GE, 0x7E, "SS", 3), "declared_echoes", 3),
        ((0x0021, "GEMS_RELA_01", 0x4F, "SS", 34), "declared_slices", 34),
        ((0x0043, "GEMS_PARM_01", 0x39, "IS", [1000000800, 8, 0, 0]), "b_value", 800),
        ((0x0043, "GEMS_PARM_01", 0x2F, "SS", 3), "component", "imaginary"),
        ((0x0019, "SIEMENS MR HEADER", 0x0C, "IS", 50), "b_value", 50),
        ((0x0019, "SIEMENS MR HEADER", 0x0A, "US", 36), "mosaic", True),
        (("0x2001", "Philips Imaging DD 001", 0x18, "SL", 30), "declared_slices", 30),
        (("0x2001", "Philips Imaging DD 001", 0x03, "FL", 600.0), "b_value", 600),
        ((*PHILIPS_MR, 0xA0, "FL", 42.5), "vendor_time", 42.5),
    ],
)
def test_private_attributes(make, tmp_path, syntax, element, field, value):
    group = int(element[0], 16) if isinstance(element[0], str) else element[0]
    header = header_of(make, tmp_path / "one", (group, *element[1:]), syntax=syntax)
    assert getattr(header, field) == value


@pytest.mark.parametrize(
    ("element", "field", "value"),
    [
        ((*UIH, 0x2C, "US", 4), "vendor_time", 4),
        ((*UIH, 0x09, "FD", 800.0), "b_value", 800),
        ((*UIH, 0x50, "DS", "36"), "mosaic", True),
    ],
)
def test_attributes_of_uih(make, tmp_path, element, field, value):
    assert getattr(header_of(make, tmp_path / "one", element), field) == value


def test_a_block_belongs_to_its_creator_wherever_it_lies(make, tmp_path):
    foreign = header_of(make, tmp_path / "foreign", (0x0019, "SOMEBODY", 0xA2, "SL", 7))
    assert foreign.vendor_time is None
    second = header_of(make, tmp_path / "second", (0x0019, "SOMEBODY", 0xA2, "SL", 7), (*GE, 0xA2, "SL", 9))
    assert second.vendor_time == 9
    dataset = make.image(1, 0)  # the first block was removed, as de-identification does
    dataset.add_new(0x00190011, "LO", GE[1])
    dataset.add_new(0x001911A2, "SL", 5)
    dataset.save_as(tmp_path / "left", enforce_file_format=True)
    assert read_headers(tmp_path / "left")[0].vendor_time == 5


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("GE MEDICAL SYSTEMS", "GE"),
        ("SIEMENS", "SIEMENS"),
        ("Siemens Healthineers", "SIEMENS"),
        ("Philips Medical Systems", "PHILIPS"),
        ("TOSHIBA_MEC", "CANON"),
        ("CANON_MEC", "CANON"),
        ("UIH", "UIH"),
        ("Secret Hospital Workshop", "other"),
        ("", ""),
    ],
)
def test_manufacturers_are_codes(make, tmp_path, name, code):
    assert header_of(make, tmp_path / "one", Manufacturer=name).manufacturer == code


def test_philips_signals_are_scaled_to_floating_point_and_maps_are_not(make, tmp_path):
    rescale = {"RescaleSlope": 2.0, "RescaleIntercept": -10.0}
    scale = (*PHILIPS_MR, 0x0E, "FL", 0.25)
    signal = header_of(make, tmp_path / "signal", scale, **rescale)
    stored = 100
    expected = (stored * 2.0 - 10.0) / (2.0 * 0.25)  # FP = (SV RS + RI) / (RS SS)
    assert signal.scaling == "Philips" and stored * signal.slope + signal.intercept == expected
    for image_type in (["DERIVED", "PRIMARY", "ADC", "ADC"], ["ORIGINAL", "PRIMARY", "B0 MAP", "B0"]):
        header = header_of(make, tmp_path / "map", scale, ImageType=image_type, **rescale)
        assert (header.scaling, header.slope, header.intercept) == ("rescale", 2.0, -10.0)
    without = header_of(make, tmp_path / "without", **rescale)
    assert (without.scaling, without.slope) == ("rescale", 2.0)


def test_elements_copied_as_unknown_are_read_by_the_dictionary(make, tmp_path):
    dataset = make.image(1, 0)
    block = dataset.private_block(*GE, create=True)
    block.add_new(0xA2, "UN", (77).to_bytes(4, "little"))
    dataset.save_as(tmp_path / "one", enforce_file_format=True)
    assert pydicom.dcmread(tmp_path / "one").get_item((0x0019, 0x10A2)).VR == "UN"
    assert read_headers(tmp_path / "one")[0].vendor_time == 77
