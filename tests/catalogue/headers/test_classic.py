"""What a single-frame header says beyond geometry and pixels."""

import pytest
from pydicom.dataset import Dataset

from mpmri_monai.catalogue.headers.reading import read_headers


def header_of(make, path, **tags):
    make.image(1, 0, **tags).save_as(path, enforce_file_format=True)
    (header,) = read_headers(path)
    return header


@pytest.mark.parametrize(
    ("agent", "given"), [("Gadoxetate", True), ("", False), ("NO", False), ("none", False), ("N", False)]
)
def test_contrast_agent_by_text(make, tmp_path, agent, given):
    assert header_of(make, tmp_path / "one", ContrastBolusAgent=agent).contrast_agent is given


def test_contrast_agent_by_sequence(make, tmp_path):
    assert header_of(make, tmp_path / "one", ContrastBolusAgentSequence=[Dataset()]).contrast_agent
    assert not header_of(make, tmp_path / "two", ContrastBolusAgentSequence=[]).contrast_agent


@pytest.mark.parametrize(
    ("day", "acquired", "start", "delay_s"),
    [
        ("20240102", "101630", "101600", 30),
        ("20240102", "101630", "101700.5", -30.5),
        ("20240102", "000010", "235950", 20),  # contrast was given before midnight
        ("20240102", "235950", "000010", -20),
        ("", "000010", "235950", 20),
    ],
)
def test_contrast_start_is_on_the_clock_of_the_acquisition(make, tmp_path, day, acquired, start, delay_s):
    tags = {"AcquisitionDate": day, "AcquisitionTime": acquired, "ContrastBolusStartTime": start}
    header = header_of(make, tmp_path / "one", **tags)
    assert header.acquisition_time_s - header.contrast_start_s == pytest.approx(delay_s, abs=1e-4)
    printed = repr(header).replace(str(header.path), "")
    assert start not in printed and "contrast_start" not in printed


def test_acquisition_date_and_time_in_one(make, tmp_path):
    one = header_of(make, tmp_path / "one", AcquisitionDateTime="20240102101530.5")
    two = header_of(make, tmp_path / "two", AcquisitionDate="20240102", AcquisitionTime="101530.5")
    assert one.acquisition_time_s == two.acquisition_time_s


@pytest.mark.parametrize(
    ("character_set", "text"),
    [
        ("ISO_IR 192", "肝臓 dynamic"),
        ("GB18030", "肝脏动态"),
        ("ISO_IR 100", "Leber früh"),
        (["", "ISO 2022 IR 87"], "肝臓"),
    ],
)
def test_texts_are_decoded_and_never_printed(make, tmp_path, character_set, text):
    header = header_of(make, tmp_path / "one", SpecificCharacterSet=character_set, SeriesDescription=text)
    assert header.texts == (text,) and text not in repr(header)


def test_texts_in_their_order(make, tmp_path):
    header = header_of(make, tmp_path / "one", SeriesDescription="a", ProtocolName="b", SequenceName="c")
    assert header.texts == ("a", "b", "c")


def test_sequence_types_of_classic_and_enhanced_attributes_together(make, tmp_path):
    tags = {"ScanningSequence": ["SE", "IR"], "EchoPulseSequence": "SPIN", "EchoPlanarPulseSequence": "YES"}
    header = header_of(make, tmp_path / "one", InversionTime=150, **tags)
    assert header.scanning_sequence == ("SE", "IR", "EP") and header.inversion_time_ms == 150
    assert header_of(make, tmp_path / "two", InversionTime=0).inversion_time_ms is None
