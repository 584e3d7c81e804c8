"""The shipped bundle validated on the patients of another hospital."""

import json

import pytest

from mpmri_monai.bundle.adopt import contents
from mpmri_monai.cohort import load_manifest, save_manifest
from mpmri_monai.errors import ConfigError, LeakageError, OutputError
from mpmri_monai.evaluation import read_predictions
from mpmri_monai.inference.validate import Choices, _recalibration_sentence, validate

CHOICES = Choices(other_people=True, bootstraps=100, device="cpu")


def test_a_share_to_recalibrate_on_is_one():
    with pytest.raises(ConfigError, match="share"):
        Choices(recalibrate=1.0)


@pytest.mark.slow
def test_numbers_verdict_and_pages(shipped, hospital, with_cache, tmp_path):
    before = contents(shipped)
    content = validate(shipped, hospital, tmp_path / "v", CHOICES)
    assert {path.name for path in (tmp_path / "v").iterdir()} == {
        "predictions.csv", "lesions.csv", "metrics.json", "report.html",
    }  # fmt: skip
    assert json.loads((tmp_path / "v/metrics.json").read_text()) == content
    lesions = read_predictions(tmp_path / "v/lesions.csv")
    assert content["metrics"]["levels"]["lesion"]["n"] == len(lesions)
    right = lesions[["p_well", "p_moderately", "p_poorly"]].to_numpy().argmax(axis=1)
    accuracy = (lesions["label"].map({"well": 0, "moderately": 1, "poorly": 2}) == right).mean()
    assert content["metrics"]["levels"]["lesion"]["metrics"]["accuracy"]["value"] == pytest.approx(accuracy)
    page = (tmp_path / "v/report.html").read_text()
    assert content["verdict"]["advice"] in page
    assert "Research use only" in page
    assert contents(shipped) == before
    with pytest.raises(OutputError):
        validate(shipped, hospital, tmp_path / "v", CHOICES)


@pytest.mark.slow
def test_patients_of_the_training_are_refused_unless_they_are_other_people(shipped, hospital, with_cache, tmp_path):
    with pytest.raises(LeakageError) as error:
        validate(shipped, hospital, tmp_path / "v", Choices(bootstraps=100))
    assert error.value.code == "E_LEAK"
    assert not (tmp_path / "v").exists()


@pytest.mark.slow
def test_a_recalibration_is_fitted_on_some_and_judged_on_others(shipped, hospital, with_cache, tmp_path):
    found = validate(shipped, hospital, tmp_path / "v", Choices(0.5, True, bootstraps=100))["recalibration"]
    assert found["fitted_on"] + found["judged_on"] == 15
    version = tmp_path / "v" / "hcc_grade"
    better = found["why_not"] is None and found["measures"]["nll"]["change"]["value"] < 0
    assert version.exists() == better == (found["version"] is not None)  # so few patients may not be enough


@pytest.mark.slow
def test_codes_of_new_patients_are_checked(shipped, hospital, with_cache, tmp_path):
    manifest = load_manifest(hospital)
    renamed = [one.model_copy(update={"patient": f"new{one.patient}"}) for one in manifest.studies]
    path = hospital.with_name("renamed.json")
    save_manifest(manifest.model_copy(update={"studies": tuple(renamed), "truth": None}), path)
    content = validate(shipped, path, tmp_path / "v", Choices(bootstraps=100))
    assert content["cohort"]["unseen"] == "checked by their codes"


@pytest.mark.slow
def test_patients_of_one_class_are_validated_though_nothing_can_be_calibrated(shipped, hospital, with_cache, tmp_path):
    manifest = load_manifest(hospital)
    alike = [one for one in manifest.studies if {lesion.labels["grade"] for lesion in one.lesions} == {"poorly"}]
    path = hospital.with_name("alike.json")
    save_manifest(manifest.model_copy(update={"studies": tuple(alike), "truth": None}), path)
    content = validate(shipped, path, tmp_path / "v", Choices(0.5, True, bootstraps=100))
    assert content["verdict"]["decision"] == "cannot tell"
    assert "none of class well, moderately" in content["recalibration"]["why_not"]
    assert "Not fitted" in (tmp_path / "v/report.html").read_text()


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ({"why_not": "too few calibration patients"}, "Not calibrated again: too few"),
        ({"why_not": None, "version": "0.3.0", "change": -0.1}, "changes by -0.100. Version 0.3.0"),
        ({"why_not": None, "version": None, "change": 0.2}, "changes by +0.200. No version"),
    ],
)
def test_what_came_of_a_recalibration_is_said(found, said):
    numbers = {"fitted_on": 9, "judged_on": 8, "temperature": {"after": 1.5}}
    measures = {"nll": {"change": {"value": found.get("change")}}}
    assert said in _recalibration_sentence({**numbers, "measures": measures, **found})
