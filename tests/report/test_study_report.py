"""The report of a study as a reader meets it: parsed HTML."""

import copy

import numpy as np
import pytest

from mpmri_monai.report.study_report import write_study_report
from mpmri_monai.report.study_report_pictures import LesionPictures
from mpmri_monai.report.style import RESEARCH_ONLY
from report.page import Page

WHY = "uncertain: the highest probability, 0.44, is below 0.64"
HOSTILE = "<script>alert('x')</script>\"><img src=x onerror=alert(1)> $\\frac{$"


def lesion(**changes):
    return {
        "id": "L1",
        "probabilities": {"well": 0.11, "moderately": 0.81, "poorly": 0.08},
        "predicted": "moderately",
        "abstained_because": None,
        "conformal_set": ["moderately"],
        "explained": "moderately",
        "agreement": 0.9,
        "variants": 90,
        "importance": {"T2": -0.21, "OUT": 0.03},
        "present": {"T2": True, "OUT": True},
        "position_mm": [79.9, 5.1, 3.8],
        "extent_mm": 24.1,
        "slices": 5,
        "tsic": {"S0": 1.0, "S3": 1.66},
        "warnings": [],
        "range_warnings": [],
    } | changes


def result(*lesions, **study):
    return {
        "schema": "mpmri-monai/result/1",
        "research_use_only": True,
        "bundle": {"name": "hcc_grade", "version": "0.2.0", "weights_sha256": "a" * 64},
        "study": {"code": "study-12345678", "sequences": {"T2": "v1", "OUT": "v2"}, "lesions_from": "mask"} | study,
        "averaging": False,
        "calibration": {"temperature": 0.58, "conformal_sets": {"kind": "conformal_by_class", "coverage": 0.9}},
        "lesions": list(lesions),
        "software": {"mpmri_monai": "0.2.0", "packages": {"torch": "2.9.0"}},
    }


REFERENCE = {
    "task": "hcc_grade",
    "classes": ["well", "moderately", "poorly"],
    "trained_on": {"synthetic": True, "patients": 272},
    "results": {"lesion": {"accuracy": {"value": 0.87, "low": 0.79, "high": 0.92}}},
    "tsic": {"well": {"S0": 1.0, "S3": 1.7}, "poorly": {"S0": 1.0, "S3": 1.6}},
    "present": {"T2": 1.0, "OUT": 0.9},
}


def pictures():
    image = np.random.default_rng(0).random((2, 16, 16), dtype=np.float32)
    mask = np.zeros((16, 16), bool)
    mask[4:12, 4:12] = True
    present = {"T2": True, "OUT": True}
    return LesionPictures(("T2", "OUT"), image, mask, present, grad_cam=image[0], occlusion=image[1] - 0.5)


def page(folder, answer, shown=None, reference=None):
    path = write_study_report(folder, answer, shown or {}, reference)
    return Page(path.read_text(encoding="utf-8"))


def test_page_one_has_what_a_radiologist_asks_first_and_the_rest_has_the_details(tmp_path):
    found = page(tmp_path, result(lesion()), {"L1": pictures()}, REFERENCE)
    for told in ("Lesion L1, 24 mm", "moderately", "0.81", "about 81 of 100", "only moderately remains", "81 of 90"):
        assert told in found.one
    for told in ("Nothing: T2 and OUT were seen.", "87\u00a0% of its lesion answers", RESEARCH_ONLY):
        assert told.replace("\u00a0", " ") in found.one.replace("\u00a0", " ")
    assert found.ids[0] == "page-one" and found.ids.index("lesion-1") < found.ids.index("detail-1")
    for told in ("Grad-CAM", "−0.21", "Time–signal intensity curve", "a" * 64, "v2", "79.9, 5.1, 3.8", "torch 2.9.0"):
        assert told in found.rest
    assert len(found.images) == 4 and all(len(image["alt"]) > 30 for image in found.images)


def test_an_answer_that_was_withheld_names_no_class_on_page_one(tmp_path):
    withheld = lesion(
        predicted=None,
        abstained_because=WHY,
        probabilities={"well": 0.3, "moderately": 0.44, "poorly": 0.26},
        warnings=["OUT is missing"],
    )
    found = page(tmp_path, result(withheld), {"L1": pictures()})
    assert "No answer" in found.one and WHY in found.one and "OUT is missing" in found.one
    assert not any(name in found.one for name in ("well", "moderately", "poorly"))
    assert "They are not an answer: it was withheld." in found.rest and "0.440" in found.rest


def test_of_several_lesions_an_overview_comes_first(tmp_path):
    answer = result(lesion(), lesion(id="L2", predicted=None, abstained_because=WHY))
    found = page(tmp_path, answer)
    assert found.ids.index("overview") < found.ids.index("lesion-1") < found.ids.index("lesion-2")
    assert "no answer" in found.one and found.one.count(WHY) == 2
    assert "overview" not in page(tmp_path, result(lesion())).ids


def test_nothing_is_fetched_nothing_runs_and_every_text_is_escaped(tmp_path):
    answer = result(
        lesion(
            id=HOSTILE,
            predicted=HOSTILE,
            explained=HOSTILE,
            probabilities={HOSTILE: 0.9, "b": 0.1},
            conformal_set=[HOSTILE, "b"],
            warnings=[HOSTILE],
            importance={HOSTILE: -0.1},
            present={HOSTILE: True},
            score=0.5,
        ),
        lesion(id="L2", predicted=None, abstained_because=HOSTILE),
        notes=[HOSTILE],
        code=HOSTILE,
    )
    answer["bundle"]["name"] = answer["software"]["torch"] = HOSTILE
    shown = LesionPictures((HOSTILE,), pictures().image[:1], None, {HOSTILE: True}, occlusion=np.ones((16, 16)))
    reference = copy.deepcopy(REFERENCE) | {"task": HOSTILE, "classes": [HOSTILE, "b"], "tsic": {HOSTILE: {"S0": 1.0}}}
    found = page(tmp_path, answer, {HOSTILE: shown}, reference)
    assert {tag for tag, _ in found.tags}.isdisjoint({"script", "link", "iframe", "object", "form", "base"})
    assert all(image["src"].startswith("data:image/png;base64,") for image in found.images)
    names = {name for _, values in found.tags for name in values}
    assert "href" not in names and not any(name.startswith("on") for name in names)
    assert "alert('x')" in found.text


def test_the_same_answer_gives_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        write_study_report(tmp_path / name, result(lesion()), {"L1": pictures()}, REFERENCE)
    assert (tmp_path / "a/report.html").read_bytes() == (tmp_path / "b/report.html").read_bytes()


def test_training_on_synthetic_data_is_said_first(tmp_path):
    found = page(tmp_path, result(lesion()), reference=REFERENCE)
    assert found.ids.index("synthetic") < found.ids.index("lesion-1")
    assert "synthetic" not in page(tmp_path, result(lesion())).ids


@pytest.mark.parametrize(
    ("source", "told", "untold"),
    [("mask", "the outline that was given", "box"), ("found", "around what software found", "outline that was given")],
)
def test_the_line_in_the_picture_is_called_what_it_is(tmp_path, source, told, untold):
    found = page(tmp_path, result(lesion(), lesions_from=source), {"L1": pictures()})
    assert told in found.one and untold not in found.one


def test_a_whole_study_is_no_lesion(tmp_path):
    found = page(tmp_path, result(lesion(id="whole"), lesions_from="whole study"), {"whole": pictures()})
    assert "The whole study" in found.one and "Lesion whole" not in found.text and "outline" not in found.rest


def test_how_lesions_were_found_is_said_before_any_answer(tmp_path):
    note = "There is no liver mask: the whole body was searched."
    detector = {"name": "finder", "version": "3", "weights_sha256": "ab" * 32}
    found = page(tmp_path, result(lesion(score=0.9), lesions_from="found", notes=[note], searched_by=detector))
    assert "finder 3, weights abababababab" in found.rest
    assert 0 < found.one.index(note) < found.one.index("Lesion L1")
    assert "not outlined by a person" in found.one and "of 100 such" not in found.one


def test_a_study_without_lesions_says_so(tmp_path):
    found = page(tmp_path, result(lesions_from="found"), reference=REFERENCE)
    assert "no-lesions" in found.ids and "None was given, and none was found." in found.one


def test_an_answer_of_before_calibration_and_explanations_is_told_too(tmp_path):
    bare = {key: lesion()[key] for key in ("id", "probabilities", "predicted", "present", "extent_mm", "warnings")}
    answer = result(bare)
    del answer["calibration"], answer["averaging"], answer["study"]["lesions_from"]
    found = page(tmp_path, answer)
    assert "not calibrated" in found.one and "Steadiness" not in found.one
