"""`mpmri infer` as a person types it."""

import json
import shutil

import pytest
from typer.testing import CliRunner

from mpmri_monai.cli import app
from mpmri_monai.errors import BundleError, ConfigError, OutputError
from mpmri_monai.inference import AnswerWriter, infer


@pytest.fixture
def typed(bundle, trusted, monkeypatch):
    """typed(*options, bundle=…) is the finished command."""
    monkeypatch.setattr(infer, "THREADS", 1)
    monkeypatch.setattr(AnswerWriter, "_explanation", lambda *arguments: None)

    def run(*options, bundle=bundle):
        given = ["infer", "--bundle", str(bundle), "--device", "cpu", *map(str, options)]
        return CliRunner().invoke(app, given)

    return run


def test_a_dry_run_shows_the_series_and_what_is_missing_and_writes_nothing(typed, dicom, nifti, tmp_path):
    out = tmp_path / "out"
    good = typed("-i", dicom.dicom, "--mask", dicom.lesion_mask, "-o", out, "--dry-run")
    assert good.exit_code == 0
    assert "cannot do without T2 OUT S4" in good.stdout
    assert "Would be answered: 1 lesion(s) by mask" in good.stdout
    early = typed("-i", dicom.dicom, "--dry-run")
    assert early.exit_code == 0
    assert "once --mask" in early.stdout
    bad = typed("--nifti", f"T2={nifti / 'T2.nii.gz'}", "--mask", dicom.lesion_mask, "--dry-run")
    assert bad.exit_code == 1
    assert "Would be refused" in bad.stdout
    assert not out.exists()


def test_a_dry_run_says_what_the_detector_lacks(typed, nifti):
    files = [part for name in ("T2", "OUT", "S4") for part in ("--nifti", f"{name}={nifti / name}.nii.gz")]
    lacking = typed(*files, "--find", "--dry-run")
    assert lacking.exit_code == 1
    assert "found no volume for S0, S2" in lacking.stdout
    allowed = typed(*files, "--find", "--dry-run", "--allow-missing")
    assert allowed.exit_code == 0
    assert "The detector would look without S0 S2." in allowed.stdout


def test_options_that_mean_nothing_alone_are_refused(typed, dicom, tmp_path):
    given = ("-i", dicom.dicom, "--mask", dicom.lesion_mask, "-o", tmp_path / "out")
    assert "--from-pacs" in str(typed(*given, "--query", "PatientID=1").exception)
    assert "--find" in str(typed(*given, "--detector", tmp_path).exception)
    assert "--to-pacs" in str(typed(*given, "--own-title", "READER").exception)


def test_a_place_that_takes_no_answers_is_named_before_any_is_made(typed, dicom, tmp_path):
    (tmp_path / "file").write_text("mine")
    result = typed("-i", dicom.dicom, "--mask", dicom.lesion_mask, "-o", tmp_path / "file")
    assert isinstance(result.exception, OutputError)
    assert "Study 1" not in result.stdout


def test_one_bad_study_of_two_ends_with_status_1_and_a_repeat_answers_none_anew(typed, dicom, tmp_path):
    options = ("-i", dicom.dicom, tmp_path / "nowhere", "--at", "0,0,0", "--size", "20", "-o", tmp_path / "out")
    assert isinstance(typed(*options).exception, ConfigError)  # a point is a place in one study
    options = ("-i", dicom.dicom, "-i", tmp_path / "nowhere", "-o", tmp_path / "out")
    masks = ("--mask", dicom.lesion_mask, "--mask", dicom.lesion_mask)
    first, again = typed(*options, *masks), typed(*options, *masks)
    assert (first.exit_code, again.exit_code) == (1, 1)
    assert "1 of 2 studies answered" in first.stdout
    assert "Seconds: headers" in first.stdout
    assert "answered before" in again.stdout
    states = [study["state"] for study in json.loads((tmp_path / "out/batch.json").read_text())["studies"]]
    assert states == ["done", "failed"]


def test_a_packed_bundle_answers_as_its_folder(typed, bundle, dicom, tmp_path):
    archive = shutil.make_archive(str(tmp_path / "packed"), "zip", bundle.parent, bundle.name)
    options = ("-i", dicom.dicom, "--mask", dicom.lesion_mask, "-o")
    assert typed(*options, tmp_path / "a").exit_code == 0
    assert typed(*options, tmp_path / "b", bundle=archive).exit_code == 0
    one, other = (next((tmp_path / name).glob("*/result.json")).read_bytes() for name in "ab")
    assert one == other


def test_an_unsafe_bundle_is_refused_before_anything_is_read(typed, monkeypatch, tmp_path):
    def refuse(folder, accepted=()):
        raise BundleError(expected="a safe bundle", found=f"something else, accepted {accepted}", code="E_UNSAFE")

    monkeypatch.setattr("mpmri_monai.inference.infer_command.refuse_unsafe", refuse)
    result = typed("-i", tmp_path / "nowhere", "-o", tmp_path / "out", "--accept-risk", "E_CALL")
    assert isinstance(result.exception, BundleError)
    assert "('E_CALL',)" in str(result.exception)
    assert not (tmp_path / "out").exists()


def test_without_a_detector_beside_the_bundle_one_has_to_be_named(typed, bundle, dicom, tmp_path):
    alone = tmp_path / "alone"
    shutil.copytree(bundle, alone)
    result = typed("-i", dicom.dicom, "--find", "-o", tmp_path / "out", bundle=alone)
    assert isinstance(result.exception, BundleError)
    assert "--detector" in str(result.exception)


def test_a_study_comes_from_a_pacs_and_its_answer_goes_there(typed, dicom, tmp_path, monkeypatch):
    from mpmri_monai.inference import pacs

    def fetch(address, query, folder, own_title):
        assert (address, query, own_title) == ("127.0.0.1:104/PACS", {"AccessionNumber": "7"}, "READER")
        return shutil.copytree(dicom.dicom, folder)

    sent = []
    monkeypatch.setattr(pacs, "fetch", fetch)
    monkeypatch.setattr(pacs, "send", lambda address, files, own_title: sent.extend([own_title, *files]) or len(files))
    monkeypatch.setenv("MPMRI_CACHE", str(tmp_path / "cache"))
    address = ("127.0.0.1:104/PACS",)
    options = ("--from-pacs", *address, "--query", "AccessionNumber=7", "--to-pacs", *address, "--own-title", "READER")
    assert typed(*options, "--mask", dicom.lesion_mask, "-o", tmp_path / "out").exit_code == 0
    assert sent[0] == "READER"
    assert {"answer.dcm", "regions-1.dcm"} <= {path.name for path in sent[1:]}
    assert {path.name for path in (tmp_path / "cache").rglob("*") if path.is_file()} <= {"lock"}


def test_answers_need_a_folder(typed, dicom):
    result = typed("-i", dicom.dicom, "--mask", dicom.lesion_mask)
    assert isinstance(result.exception, ConfigError)
    assert "-o" in str(result.exception)
