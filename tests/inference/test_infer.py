"""A study in, an answer out: equal to the bundle's own command, in whatever form study and lesion are given."""

import json
import shutil
from dataclasses import replace

import nibabel
import pandas as pd
import pydicom
import pytest
import torch
from monai.bundle import ConfigWorkflow

from mpmri_monai.errors import CatalogueError, ConfigError, MaskError, OutputError, WeightsError
from mpmri_monai.inference import AnswerWriter, infer
from mpmri_monai.inference.question import Question
from mpmri_monai.training.search import Candidate

SAME = 1e-4
"""Of probabilities: NIfTI stores the signal as float32 where DICOM stores whole numbers and a slope."""


@pytest.fixture
def answer(reader, tmp_path, monkeypatch):
    """answer(question) is the content of its result.json, and where it lies; nothing is explained, to save time."""
    monkeypatch.setattr(AnswerWriter, "_explanation", lambda *arguments: None)

    def ask(question, **options):
        answered = reader.answer(question, tmp_path, **options)
        return json.loads((answered.folder / "result.json").read_text()), answered.folder

    return ask


def probabilities(result):
    return [lesion["probabilities"] for lesion in result["lesions"]]


def test_it_equals_the_bundle_s_own_command_byte_for_byte(reader, bundle, dicom, question, tmp_path):
    folder = reader.answer(question, tmp_path).folder
    workflow = ConfigWorkflow(
        str(bundle / "configs/inference.json"),
        workflow_type="infer",
        logging_file=False,
        study=str(dicom.dicom),
        lesion_mask=str(dicom.lesion_mask),
        output_dir=str(tmp_path / "own"),
        device="cpu",
        threads=1,
    )
    workflow.initialize()
    workflow.run()
    for name in ("result.json", "predictions.csv", "report.html", "picture.png"):
        assert (tmp_path / "own" / name).read_bytes() == (folder / name).read_bytes(), name
    _says_what_it_rests_on(folder)


def _says_what_it_rests_on(folder):
    result = json.loads((folder / "result.json").read_text())
    (lesion,) = result["lesions"]
    assert folder.name == result["study"]["code"]
    assert result["study"]["lesions_from"] == "mask"
    assert 0 <= lesion["agreement"] <= 1
    assert set(lesion["importance"]) == {"T2", "OUT", "S4"}
    assert lesion["tsic"]["S0"] == 1
    assert lesion["explained"] == max(lesion["probabilities"], key=lesion["probabilities"].get)
    assert "Research use only" in (folder / "report.html").read_text()


def test_an_archive_gives_the_same_answer_as_its_folder(answer, question, archive):
    whole, _ = answer(question)
    packed, _ = answer(replace(question, study=str(archive)))
    assert packed == whole


def test_nifti_by_folder_or_by_file_gives_the_same_probabilities(answer, question, nifti):
    whole, _ = answer(question)
    folder, _ = answer(replace(question, study=str(nifti)))
    by_file, _ = answer(replace(question, study="", nifti={path.name[:-7]: path for path in nifti.iterdir()}))
    assert folder["study"]["code"] != whole["study"]["code"]
    assert probabilities(folder)[0] == pytest.approx(probabilities(whole)[0], abs=SAME)
    assert by_file["lesions"] == folder["lesions"]
    assert by_file["study"] == folder["study"]
    assert by_file["study"]["phase_times_s"] == {}


def test_a_cube_around_a_point_is_a_lesion(answer, question, place):
    given = replace(question, lesion_mask="", at=(place.center_mm,), size_mm=place.size_mm)
    result, _ = answer(given)
    (lesion,) = result["lesions"]
    assert (lesion["id"], result["study"]["lesions_from"]) == ("L1", "box")
    assert lesion["extent_mm"] == pytest.approx(place.size_mm, rel=0.1)  # slices are turned against the body's axes
    assert lesion["position_mm"] == pytest.approx(place.center_mm, abs=3.5)  # half a slice of the reference


def test_a_point_outside_the_images_is_refused(answer, question):
    with pytest.raises(MaskError):
        answer(replace(question, lesion_mask="", at=((900.0, 0.0, 0.0),), size_mm=20.0))


@pytest.mark.parametrize(
    "change",
    [
        {"lesion_mask": ""},
        {"find": True},
        {"at": ((0, 0, 0),), "size_mm": 9.0},
        {"lesion_mask": "", "at": ((0, 0, 0),)},
        {"lesion_mask": "", "at": ((0, 0, 0),), "size_mm": float("inf")},
        {"lesion_mask": "", "at": ((0, 0, 0),), "size_mm": float("nan")},
        {"size_mm": -9.0},
    ],
)
def test_lesions_are_given_in_exactly_one_way(answer, question, change):
    with pytest.raises(ConfigError, match=r"lesions|--at"):
        answer(replace(question, **change))


IDENTITY = {"name": "detector", "version": "1", "weights_sha256": "d" * 64, "reference_sha256": "e" * 64}


class Detector:
    """Stands for a detector's bundle; what it finds is given."""

    def __init__(self, monkeypatch, *candidates):
        self.identity = IDENTITY
        found = type("Found", (), {"candidates": candidates})
        findings = type("Findings", (), {"found": found, "notes": ("the body was searched",)})
        monkeypatch.setattr(infer, "find_lesions", lambda *arguments: findings)


def test_what_a_detector_finds_is_answered_with_its_score(answer, reader, question, place, monkeypatch):
    likely, unlikely = (Candidate(place.center_mm, place.size_mm, score) for score in (0.9, 0.2))
    object.__setattr__(reader, "detector", Detector(monkeypatch, likely, unlikely))
    result, _ = answer(replace(question, lesion_mask="", find=True))
    (lesion,) = result["lesions"]
    assert (lesion["id"], lesion["score"]) == ("C1", 0.9)
    assert result["study"]["lesions_from"] == "found"
    assert result["study"]["searched_by"] == IDENTITY
    assert result["study"]["notes"] == [infer.OF_CANDIDATES, "the body was searched"]


def test_nothing_found_is_an_answer_too(answer, reader, question, monkeypatch):
    object.__setattr__(reader, "detector", Detector(monkeypatch))
    result, folder = answer(replace(question, lesion_mask="", find=True))
    assert result["lesions"] == []
    assert (folder / "report.html").is_file()
    assert not (folder / "predictions.csv").exists()


def test_a_sequence_that_is_needed_and_missing_is_refused_unless_allowed(answer, question, nifti, tmp_path):
    lacking = tmp_path / "lacking"
    shutil.copytree(nifti, lacking)
    (lacking / "S4.nii.gz").unlink()
    asked = replace(question, study=str(lacking))
    with pytest.raises(CatalogueError, match="S4"):
        answer(asked)
    result, _ = answer(replace(asked, allow_missing=True))
    assert result["study"]["missing"] == ["S4"]
    assert result["lesions"][0]["present"]["S4"] is False
    assert "S4 is missing" in result["lesions"][0]["warnings"][0]
    assert "S4 is missing, which training never saw" in result["lesions"][0]["abstained_because"]


def test_a_sequence_that_the_bundle_can_do_without_needs_no_permission(model, question, nifti, tmp_path, monkeypatch):
    lacking = tmp_path / "lacking"
    shutil.copytree(nifti, lacking)
    (lacking / "OUT.nii.gz").unlink()
    asked = replace(question, study=str(lacking))
    monkeypatch.setattr(model, "reference", model.reference | {"required": ["T2", "S4"]})
    assert "OUT" not in asked.described(model).roles
    monkeypatch.setattr(model, "reference", model.reference | {"required": ["OUT"]})
    with pytest.raises(CatalogueError, match="OUT"):
        asked.described(model)


def test_images_that_are_scaled_far_beyond_training_get_no_class(answer, question, nifti, tmp_path):
    scaled = tmp_path / "scaled"
    scaled.mkdir()
    for path in nifti.iterdir():
        image = nibabel.load(path)
        nibabel.save(nibabel.Nifti1Image(image.get_fdata(dtype="float32") * 50, image.affine), scaled / path.name)
    result, folder = answer(replace(question, study=str(scaled)))
    (lesion,) = result["lesions"]
    assert lesion["predicted"] is None
    assert "the signal of T2 in the lesion" in lesion["abstained_because"]
    about = [warning for warning in lesion["range_warnings"] if warning.startswith("the signal of ")]
    assert len(about) == 3
    assert lesion["abstained_because"].split("; ")[0] in (folder / "report.html").read_text()


def test_dicom_objects_belong_to_the_patient_s_study_and_name_nobody_elsewhere(answer, dicom, question):
    result, folder = answer(question, dicom_out=True)
    source = pydicom.dcmread(next(path for path in dicom.dicom.iterdir()), stop_before_pixels=True)
    objects = [pydicom.dcmread(path) for path in (folder / "dicom").glob("*.dcm")]
    assert {"SEG", "SR"} <= {item.Modality for item in objects}
    assert {item.StudyInstanceUID for item in objects} == {source.StudyInstanceUID}
    for path in (path for path in folder.iterdir() if path.suffix != ".png" and path.is_file()):
        text = path.read_text()
        for secret in (source.StudyInstanceUID, source.SeriesInstanceUID, str(source.PatientName), source.PatientID):
            assert str(secret) not in text, path.name
    assert len(pd.read_csv(folder / "predictions.csv")) == result["lesions"][0]["slices"]


def test_a_study_in_nifti_has_no_dicom_objects_and_is_told_so_before_it_is_asked(answer, question, nifti, tmp_path):
    with pytest.raises(CatalogueError, match="leave out --dicom-out"):
        answer(replace(question, study=str(nifti)), dicom_out=True)
    assert not list(tmp_path.rglob("result.json"))


def test_a_newer_answer_takes_the_objects_of_the_older_one_away(answer, question):
    """They name the patient, and a PACS would be sent what the result beside them does not say."""
    _, folder = answer(question, dicom_out=True)
    (folder / "dicom/notes.txt").write_text("not ours")
    answer(question)
    assert [path.name for path in (folder / "dicom").iterdir()] == ["notes.txt"]


def test_a_network_that_says_nothing_is_no_answer(reader, question, tmp_path):
    last = list(reader.network.parameters())[-1]
    kept = last.detach().clone()
    with torch.no_grad():
        last.fill_(float("nan"))
    try:
        with pytest.raises(WeightsError, match="not finite"):
            reader.answer(question, tmp_path)
    finally:
        with torch.no_grad():
            last.copy_(kept)
    assert not list(tmp_path.rglob("result.json"))


def test_the_one_mask_among_the_images_serves_and_of_none_there_is_no_lesion(answer, model, question, dicom, tmp_path):
    _, folder = answer(question, dicom_out=True)
    together = tmp_path / "together"
    shutil.copytree(dicom.dicom, together)
    shutil.copy(folder / "dicom/regions-1.dcm", together / "seg")
    asked = replace(question, study=str(together), lesion_mask="", mask_in_study=True)
    (lesion,) = asked.described(model).study.lesions
    assert lesion.region.segment == 1
    with pytest.raises(MaskError, match="found 0"):
        replace(asked, study=str(dicom.dicom)).described(model)


def test_an_answer_is_not_written_into_another_study_s_folder(reader, question, tmp_path):
    folder = tmp_path / question.described(reader.model).study.study
    folder.mkdir()
    (folder / "result.json").write_text(json.dumps({"study": {"code": "study-other"}}))
    with pytest.raises(OutputError, match="another study"):
        reader.answer(question, tmp_path)


def test_a_question_shows_no_path():
    secret = "DOE_JANE_1970"
    question = Question(study=f"/x/{secret}/dicom", lesion_mask=f"{secret}.nii", liver=secret)
    assert secret not in repr(question)
    assert secret not in question.without_paths(f"nothing at /x/{secret}/dicom and {secret}.nii")
