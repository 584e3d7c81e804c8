"""Fetching and sending against a stand-in: what comes, what is refused, and that nobody is named."""

import errno
import logging
import stat
from pathlib import Path

import pydicom
import pytest

from mpmri_monai.catalogue import scan
from mpmri_monai.errors import ConfigError, OutputError
from mpmri_monai.inference import pacs as module
from mpmri_monai.inference.pacs import Caps, fetch, parse_query, send
from mpmri_monai.inference.pacs_connection import Address, PacsError

ACCESSION = {"AccessionNumber": "ACC-4711"}


def refused(errors, code, *arguments, **options):
    """The message of the PacsError with this code that a fetch ends with."""
    with pytest.raises(PacsError) as caught:
        fetch(*arguments, **options)
    assert caught.value.code == code
    assert not any(value in str(caught.value) for value in errors.forbidden)
    return str(caught.value)


def test_a_study_comes_whole_under_names_that_say_nothing(pacs, files, tmp_path):
    folder = fetch(pacs.address, ACCESSION, tmp_path / "study")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    paths = sorted(folder.iterdir())
    found = {image.SOPInstanceUID: image for image in map(pydicom.dcmread, paths)}
    assert found == {image.SOPInstanceUID: image for image in map(pydicom.dcmread, files)}
    assert all(pydicom.dcmread(path).preamble == b"\0" * 128 for path in paths)
    assert all(len(path.stem) == 32 and not set(path.stem) - set("0123456789abcdef") for path in paths)
    assert len(scan(folder, "none").volumes) == 4


@pytest.mark.parametrize("name", ["StudyInstanceUID", "PatientID", "AccessionNumber"])
def test_each_key_finds_it(pacs, study, name, tmp_path):
    assert fetch(pacs.address, {name: str(study[0][name].value)}, tmp_path / "study").is_dir()


def test_no_match_and_several_and_a_study_without_mr(pacs, study, errors, tmp_path):
    refused(errors, "E_PACS_NONE", pacs.address, {"AccessionNumber": "another"}, tmp_path / "study")
    study[-2].StudyInstanceUID = "2.25.987654321"
    message = refused(errors, "E_PACS_SEVERAL", pacs.address, ACCESSION, tmp_path / "study")
    assert "found 2" in message
    del study[:-1]
    assert "without" in refused(errors, "E_PACS_NONE", pacs.address, ACCESSION, tmp_path / "study")
    assert not (tmp_path / "study").exists()


def test_a_pacs_that_ignores_the_key_does_not_give_away_another_patient(pacs, errors, tmp_path):
    """Some answer every search with everything when they do not know a key."""
    pacs.echoed = {"PatientID": "SOMEBODY-ELSE"}
    refused(errors, "E_PACS_NONE", pacs.address, {"PatientID": "PID-0815"}, tmp_path / "study")


def test_a_pacs_that_ignores_the_study_does_not_give_away_series_of_another_patient(pacs, study, tmp_path):
    for image in (one for one in study if one.SeriesInstanceUID == study[-2].SeriesInstanceUID):
        image.StudyInstanceUID, image.AccessionNumber = "2.25.987654321", "another"
    pacs.echoed = {"Modality": "MR"}
    folder = fetch(pacs.address, ACCESSION, tmp_path / "study")
    assert {str(pydicom.dcmread(path).StudyInstanceUID) for path in folder.iterdir()} == {
        str(study[0].StudyInstanceUID)
    }


@pytest.mark.parametrize("name", ["StudyInstanceUID", "SeriesInstanceUID"])
def test_a_match_that_names_nothing_is_not_asked_for(pacs, errors, tmp_path, name):
    """An empty UID in the next question would ask for whatever there is, of every patient."""
    pacs.echoed = {name: ""}
    refused(errors, "E_PACS_NONE", pacs.address, ACCESSION, tmp_path / "study")


@pytest.mark.parametrize(
    ("address", "options", "code", "words"),
    [
        ("127.0.0.1:{port}/OTHER", {}, "E_PACS_REFUSED", "not called OTHER"),
        ("127.0.0.1:{port}/STANDIN", {"own_title": "NOBODY"}, "E_PACS_REFUSED", "does not know the title"),
        ("127.0.0.1:1/STANDIN", {}, "E_PACS_CONNECT", "no answer"),
        ("pacs.invalid:104/STANDIN", {}, "E_PACS_CONNECT", "no host of this name"),
        ("a..b:104/STANDIN", {}, "E_PACS_CONNECT", "no host of this name"),
    ],
)
def test_an_association_that_is_refused_says_why(pacs, errors, tmp_path, address, options, code, words):
    message = refused(errors, code, address.format(port=pacs.port), ACCESSION, tmp_path / "study", **options)
    assert words in message


def test_a_part_of_a_study_is_never_left_behind(pacs, errors, tmp_path):
    pacs.lost = 2
    assert "22 of 24" in refused(errors, "E_PACS_PART", pacs.address, ACCESSION, tmp_path / "study")
    pacs.lost, pacs.failing = 0, 3
    assert "3 that the PACS could not send" in refused(
        errors, "E_PACS_PART", pacs.address, ACCESSION, tmp_path / "study"
    )
    pacs.failing, pacs.dies = 0, True
    refused(errors, "E_PACS_ANSWER", pacs.address, ACCESSION, tmp_path / "study")
    pacs.find_status = 0xA700
    assert "A700" in refused(errors, "E_PACS_ANSWER", pacs.address, ACCESSION, tmp_path / "study")
    assert [path.name for path in tmp_path.iterdir()] == []


def test_caps_on_count_and_bytes(pacs, errors, tmp_path, monkeypatch):
    arguments = (pacs.address, ACCESSION, tmp_path / "study")
    refused(errors, "E_LIMIT", *arguments, caps=Caps(files=7))
    refused(errors, "E_LIMIT", *arguments, caps=Caps(size=10_000))
    monkeypatch.setattr(module, "_series", lambda association, study, caps: {"2.25.7010": None})
    refused(errors, "E_LIMIT", *arguments, caps=Caps(files=7))  # a PACS that does not say how much there is
    assert not (tmp_path / "study").exists()


def test_a_full_disk_is_said_and_leaves_nothing(pacs, tmp_path, monkeypatch):
    def full(path, content):
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OutputError, match="full disk"):
        fetch(pacs.address, ACCESSION, tmp_path / "study")
    assert [path.name for path in tmp_path.iterdir()] == []


def test_a_folder_that_is_there_is_not_touched(pacs, tmp_path):
    (tmp_path / "study").mkdir()
    with pytest.raises(OutputError):
        fetch(pacs.address, ACCESSION, tmp_path / "study")
    assert list((tmp_path / "study").iterdir()) == []


def test_objects_are_sent_as_they_are(pacs, files):
    assert send(pacs.address, files) == len(files)
    sent = [content for content, _ in pacs.stored]
    assert [path.read_bytes()[-200:] for path in files] == [content[-200:] for content in sent]
    assert {title for _, title in pacs.stored} == {"MPMRI"}


def test_what_a_pacs_does_not_take_is_named_by_its_kind(pacs, files, errors):
    image = pydicom.dcmread(files[0])
    image.SOPClassUID = image.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.66.4"
    image.save_as(files[0])
    with pytest.raises(PacsError, match="Segmentation Storage") as caught:
        send(pacs.address, files)
    assert caught.value.code == "E_PACS_REFUSED" and not pacs.stored
    files[0].write_bytes(b"no DICOM")
    with pytest.raises(ConfigError):
        send(pacs.address, files)
    pacs.store_status = 0xA700
    with pytest.raises(PacsError, match="object 1 of 2") as caught:
        send(pacs.address, files[1:3])
    assert not any(value in str(caught.value) for value in errors.forbidden)


def test_nothing_is_logged_or_printed(pacs, files, errors, tmp_path, caplog, capfd):
    with caplog.at_level(logging.DEBUG):
        fetch(pacs.address, ACCESSION, tmp_path / "study")
        send(pacs.address, files)
    captured = capfd.readouterr()
    assert not any(value in caplog.text + captured.out + captured.err for value in errors.forbidden)


@pytest.mark.parametrize(
    "text",
    ["", "host", "host:104", "host:0/A", "host:70000/A", "host:104/" + "A" * 17, "a b:1/A", "h:1/É", "h:1/A\x07"],
)
def test_addresses_that_are_none(text):
    with pytest.raises(ConfigError, match="HOST:PORT/AET"):
        Address.parse(text)


def test_addresses():
    assert Address.parse(":4242/ORTHANC") == Address("127.0.0.1", 4242, "ORTHANC")
    assert Address.parse("pacs.example.org:104/MAIN_PACS") == Address("pacs.example.org", 104, "MAIN_PACS")
    assert Address.parse("[::1]:104/A").host == "::1"
    assert "example" not in repr(Address.parse("pacs.example.org:104/MAIN_PACS"))


@pytest.mark.parametrize(
    "texts",
    [
        [],
        ["StudyDate=20240102"],
        ["PatientID="],
        ["PatientID=*"],
        ["PatientName=A"],
        ["PatientID"],
        ["PatientID=A"] * 2,
    ],
)
def test_queries_that_do_not_name_a_study(texts):
    with pytest.raises(ConfigError, match="E_PACS_QUERY"):
        parse_query(texts)


@pytest.mark.parametrize(
    "query",
    [{"StudyInstanceUID": "abc"}, {"PatientID": "x" * 100}, {"PatientID": "É"}, {**ACCESSION, "StudyDate": "today"}],
)
def test_values_that_no_study_has_end_in_words(pacs, errors, tmp_path, query):
    with pytest.raises((PacsError, ConfigError)):
        fetch(pacs.address, query, tmp_path / "study")


def test_a_query_as_it_is_typed():
    assert parse_query(["PatientID=A=1", "StudyDate=20240101-20240131"]) == {
        "PatientID": "A=1",
        "StudyDate": "20240101-20240131",
    }
