import json
from pathlib import Path

import pytest

from mpmri_monai.errors import ConfigError
from mpmri_monai.experiments.arguments import context_of
from mpmri_monai.experiments.collect import collected
from mpmri_monai.experiments.estimate import job_of
from mpmri_monai.experiments.plan import Run
from mpmri_monai.experiments.question import Question

BUNDLE = Path(__file__).resolve().parents[2] / "bundles" / "hcc_grade"
PLAN = {"stages": [{"count": 1, "seconds": None, "runs": []}]}


class Undefined:
    name = "undefined"

    def collect(self, context):
        return {"title": "t", "headline": [], "figures": [{"data": {"x": (float("nan"), 1.0, float("inf"))}}]}


def _content(manifest, out, left_out=None):
    return collected(Undefined(), context_of([BUNDLE], manifest, out), PLAN, left_out or {})


def test_numbers_that_are_not_defined_are_null(tiny_cohort, tmp_path):
    content = _content(tiny_cohort, tmp_path)
    assert content["figures"][0]["data"]["x"] == [None, 1.0, None]
    assert content["plan"]["seconds"] is None


def test_lesions_without_a_grade_are_counted(tiny_cohort, tmp_path):
    manifest = json.loads(tiny_cohort.read_text())
    before = {row[0]: row[1] for row in _content(tiny_cohort, tmp_path)["cohort"]["flow"]}
    assert not any(name.startswith("lesions without") for name in before)
    manifest["studies"][0]["lesions"][0]["labels"] = {}
    changed = tiny_cohort.with_name("unlabelled.json")
    changed.write_text(json.dumps(manifest))
    cohort = _content(changed, tmp_path)["cohort"]
    assert cohort["flow"][-1] == ["lesions without a grade, not counted in hcc_grade", 1]
    assert sum(row[2] for row in cohort["classes"]["rows"]) == before["lesions"] - 1


def test_nothing_in_the_record_names_a_folder(tiny_cohort, tmp_path):
    text = json.dumps(_content(tiny_cohort, tmp_path / "out", {"S1": f"cannot read {tiny_cohort}"}), ensure_ascii=False)
    assert str(tmp_path) not in text and str(tiny_cohort.parent) not in text and "…/manifest.json" in text


def _organs(tiny_cohort):
    """The cohort with other labels: every lesion is a piece of one of three organs."""
    organs = {"well": "spleen", "moderately": "liver", "poorly": "kidney"}
    manifest = json.loads(tiny_cohort.read_text())
    manifest["classes"] = {"organ": list(organs.values())}
    for study in manifest["studies"]:
        for lesion in study["lesions"]:
            lesion["labels"] = {"organ": organs[lesion["labels"]["grade"]]}
    path = tiny_cohort.with_name("organs.json")
    path.write_text(json.dumps(manifest))
    return path


def test_what_is_asked_instead_of_the_bundle_s_question_is_counted_and_in_the_command(tiny_cohort, tmp_path):
    context = context_of([BUNDLE], _organs(tiny_cohort), tmp_path, task="organ", fusion="T2")
    content = collected(Undefined(), context, PLAN, {})
    assert [row[0] for row in content["cohort"]["classes"]["rows"]] == ["spleen", "liver", "kidney"]
    assert "--task organ --fusion T2" in content["commands"][0]
    assert "--task" not in _content(tiny_cohort, tmp_path)["commands"][0]


def test_the_question_and_every_run_are_what_was_asked(tiny_cohort, tmp_path):
    context = context_of([BUNDLE], _organs(tiny_cohort), tmp_path, task="organ", fusion="T2")
    question = Question.of(context)
    assert (question.task.classes, question.fusion) == (("spleen", "liver", "kidney"), "T2")
    assert question.truth is None  # a phantom's truth is about grades
    options = job_of(Run("r", "c", BUNDLE, {"max_epochs": 2}), context, "").options
    assert (options["task"], options["fusion"], options["max_epochs"]) == ("organ", "T2", 2)
    assert job_of(Run("r", "c", BUNDLE, {"fusion": "OUT"}), context, "").options["fusion"] == "OUT"


def test_a_label_that_the_cohort_lacks_is_no_question(tiny_cohort, tmp_path):
    with pytest.raises(ConfigError, match="among hcc_grade, hcc_vs_bg, brain, grade; found 'organ'"):
        _ = Question.of(context_of([BUNDLE], tiny_cohort, tmp_path, task="organ")).task


def _whole_studies(tiny_cohort):
    """The cohort without lesions: studies are healthy or not as a whole, but for the first, which is unknown."""
    manifest = json.loads(tiny_cohort.read_text())
    manifest["classes"] = {"brain": ["healthy", "unhealthy"]}
    for number, study in enumerate(manifest["studies"]):
        study["labels"] = {"brain": manifest["classes"]["brain"][number % 2]} if number else {}
        study["lesions"] = []
    path = tiny_cohort.with_name("studies.json")
    path.write_text(json.dumps(manifest))
    return path


def test_studies_that_are_labelled_as_a_whole_are_counted(tiny_cohort, tmp_path):
    context = context_of([BUNDLE], _whole_studies(tiny_cohort), tmp_path, task="brain")
    cohort = collected(Undefined(), context, PLAN, {})["cohort"]
    assert cohort["classes"] == {
        "header": ["class", "patients", "studies"],
        "rows": [["healthy", 4, 4], ["unhealthy", 4, 4]],
    }


def test_a_bundle_without_a_task_asks_nothing(tiny_cohort, tmp_path):
    encoder = tmp_path / "encoder"
    (encoder / "configs").mkdir(parents=True)
    (encoder / "configs" / "train.json").write_text('{"fusion": "T2", "samples": {}}')
    content = collected(Undefined(), context_of([encoder, BUNDLE], tiny_cohort, tmp_path), PLAN, {})
    assert [row[0] for row in content["cohort"]["classes"]["rows"]] == ["well", "moderately", "poorly"]
    asked = context_of([encoder, BUNDLE], tiny_cohort, tmp_path, task="hcc_vs_bg", fusion="OUT")
    options = job_of(Run("r", "c", encoder, {}), asked, "").options
    assert options["fusion"] == "OUT" and "task" not in options
