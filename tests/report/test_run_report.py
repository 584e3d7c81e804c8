"""The report as a reader meets it: parsed HTML, not the functions behind it."""

import base64
import json
import re

import pandas as pd
import pytest

from mpmri_monai.evaluation import calibrate
from mpmri_monai.report import write_report
from mpmri_monai.report.style import RESEARCH_ONLY
from mpmri_monai.report.wording import with_interval
from mpmri_monai.sequences import TASKS
from report.page import Page

TASK = TASKS["hcc_grade"]
SECTIONS = ["purpose", "answer", "cohort", "metrics", "figures", "lesions", "calibration", "missing", "audit"]
SECTIONS += ["made", "limits"]


def plain(text):
    return text.replace("\u00a0", " ")


@pytest.fixture(scope="module")
def finished(tmp_path_factory, build, store):
    run = tmp_path_factory.mktemp("report") / "run"
    build.run(run, store)
    return write_report(run, store, build.manifest(store, "truth.csv"), TASK, "T2-OUT-S4")


@pytest.fixture(scope="module")
def page(finished):
    return Page(finished.read_text(encoding="utf-8"))


def test_every_section_is_there_in_order(page):
    assert [name for name in page.ids if name in SECTIONS] == SECTIONS


def test_nothing_is_fetched_from_elsewhere(page):
    assert {tag for tag, _ in page.tags}.isdisjoint({"script", "link", "iframe", "object"})
    for _, values in page.tags:
        assert "href" not in values
        assert values.get("src", "data:image/png;base64,").startswith("data:image/png;base64,")
    assert "http" not in page.text


def test_no_folder_of_the_machine_is_told(finished, page):
    without_images = re.sub(r"base64,[A-Za-z0-9+/=]+", "", finished.read_text(encoding="utf-8"))
    for told in ("/home", "somebody", "secret place", str(finished.parent)):
        assert told not in without_images
    assert "--manifest …/M.json" in page.text


def test_values_are_those_of_the_metrics_file(finished, page):
    metrics = json.loads((finished.parent / "metrics.json").read_text())
    for level in metrics["levels"].values():
        for entry in level["metrics"].values():
            assert plain(with_interval(entry)) in page.text
        assert f"n = {level['n']}, {level['patients']} patients" in page.text
        assert level["rule"] in page.text
    for entry in (
        metrics["baseline"]["levels"]["lesion"]["metrics"],
        metrics["ceiling"]["fusion"],
        metrics["ceiling"]["all"],
    ):
        assert plain(with_interval(entry["accuracy"])) in page.text


def test_a_synthetic_cohort_is_called_so(page):
    assert "synthetic" in page.ids and "Synthetic data." in page.text and "The data are synthetic." in page.text


def test_research_use_only_is_said_and_the_limits_are_named(page):
    assert page.text.count(RESEARCH_ONLY) >= 3
    assert "They leave out how much the result would change if trained again" in page.text
    assert "The unit is the patient." in page.text


def test_every_image_has_words_and_lies_in_the_figures_folder_too(finished, page):
    assert len(page.images) >= 9
    files = {path.read_bytes() for path in (finished.parent / "figures").glob("*.png")}
    for image in page.images:
        assert len(image["alt"]) > 40
        assert base64.b64decode(image["src"].split(",")[1]) in files


def test_how_it_was_made_is_told(finished, page, store):
    for told in ("python -m monai.bundle run training", "monai 1.6.1", "a" * 64, store.digest(), "T2-OUT-S4", "cpu"):
        assert told in page.text


def test_the_same_run_gives_the_same_bytes(finished, store, build):
    before = finished.read_bytes()
    write_report(finished.parent, store, build.manifest(store, "truth.csv"), TASK, ("T2", "OUT", "S4"))
    assert finished.read_bytes() == before


def test_an_absent_class_no_validation_no_baseline_no_ceiling(tmp_path, build, without_well):
    store = build.store(patients=18)
    build.run(tmp_path, store, baseline=False, ceiling=False, validation=False, predictions=without_well)
    page = Page(write_report(tmp_path, store, build.manifest(store), TASK, "T2-OUT-S4").read_text())
    assert "not defined: no lesion of class well" in page.text
    assert "No patients were set aside for validation." in page.text
    assert "synthetic" not in page.ids and "synthetic" not in page.text.lower()
    assert "not computed" in page.text and "No ceiling is known" in page.text
    assert "nan" not in page.text.lower().split() and "None" not in page.text


def test_calibration_and_audit_are_shown_and_a_leak_is_told_first(tmp_path, store, build):
    build.run(tmp_path, store)
    found = json.loads((tmp_path / "metrics.json").read_text())
    found["calibration"] = calibrate(
        pd.read_csv(tmp_path / "predictions.csv", keep_default_na=False), TASK, bootstraps=20
    )
    (tmp_path / "metrics.json").write_text(json.dumps(found))
    audit = [
        {"check": "patients across roles", "outcome": "passed", "found": "24 patients, each in one role"},
        {"check": "same images under two names", "outcome": "LEAK", "found": "E_LEAK_IMAGES: 1 of 24 studies"},
    ]
    page = Page(write_report(tmp_path, store, build.manifest(store), TASK, "T2-OUT-S4", audit).read_text())
    assert page.ids.index("leaks") < page.ids.index("answer") and "Do not rely on these numbers." in page.text
    assert "E_LEAK_IMAGES: 1 of 24 studies" in page.text and "24 patients, each in one role" in page.text
    assert "expected calibration error" in page.text.lower() and "20 % least certain to you" in plain(page.text)
    assert any("Reliability" in tag for tag in page.words)


def test_without_calibration_and_audit_the_report_says_so(page):
    assert "Not computed." in page.text and "No audit was recorded." in page.text and "leaks" not in page.ids


def test_intervals_of_few_patients_are_not_left_without_a_word(page):
    assert "in the smallest class" in page.text or "The smallest class has" in page.text


def test_how_intervals_and_pooled_numbers_are_made_is_told(finished, page):
    metrics = json.loads((finished.parent / "metrics.json").read_text())
    assert metrics["intervals"]["method"] in page.text
    assert all(way in page.text for way in metrics["levels"]["lesion"]["pooling"].values())


def test_absent_sequences_background_and_training_record(tmp_path, build):
    store = build.store(patients=12)
    store.table.loc[store.table["study"] == "P000-1", "present_OUT"] = False
    keep = (store.table["kind"] == "lesion").to_numpy()
    store.table, store._images, store._masks = (
        store.table[keep].reset_index(drop=True),
        store._images[keep],
        store._masks[keep],
    )
    store.failed = {"P099-1": "E_MISSING: expected S3; found none in /mnt/pacs/x"}
    build.run(tmp_path, store, validation=False)
    for name in ("history.csv", "config.json", "environment.json"):
        (tmp_path / name).unlink()
    page = Page(write_report(tmp_path, store, build.manifest(store), TASK, "T2-S0").read_text())
    assert "The fusion T2-S0" not in page.text and "None of them is used by the fusion T2-S0." in page.text
    assert "1 of 12" in page.text and "own plain-phase signal" in page.text
    assert "No learning curves" in page.text and "not recorded" in page.text
    assert "P099-1: E_MISSING: expected S3; found none in …/x" in page.text


def test_sample_splits_are_called_so_and_recorded_text_is_never_markup(tmp_path, store, build):
    build.run(tmp_path, store)
    (tmp_path / "environment.json").write_text(json.dumps({"device": "<script>alert(1)</script>"}))
    lines = (tmp_path / "splits.csv").read_text().replace("patient,P", "sample,P")
    (tmp_path / "splits.csv").write_text(lines)
    html = write_report(tmp_path, store, build.manifest(store), TASK, "T2-OUT-S4").read_text()
    page = Page(html)
    assert "not-disjoint" in page.ids and "Not patient-disjoint." in page.text
    assert "<script>" not in html and "&lt;script&gt;" in html


def with_certainty(run):
    """Add what calibration says of these predictions to the run's metrics."""
    found = json.loads((run / "metrics.json").read_text())
    predictions = pd.read_csv(run / "predictions.csv", keep_default_na=False)
    found["calibration"] = calibrate(predictions, TASK, bootstraps=20)
    (run / "metrics.json").write_text(json.dumps(found))


def test_whole_studies_in_3d_are_reported_under_their_own_name(tmp_path, build):
    store = build.grid_store(kind="study")
    build.run(tmp_path, store, baseline=False, ceiling=False)
    with_certainty(tmp_path)
    page = Page(write_report(tmp_path, store, build.manifest(store), TASK, "T2-OUT-S4").read_text(encoding="utf-8"))
    text = plain(page.text)
    told = text.split("How to read the intervals")[0]
    assert "esion" not in told and "the network reached a study-level accuracy of" in told
    assert "Leave the 20 % least certain to you: the rest is right in" in told
    assert "study (n = " in text and "slice (n = " not in text and "one 3D crop of a study" in text
    assert "A study is answered as a whole" in text and "outlined beforehand" not in text
    assert {path.name for path in (tmp_path / "figures").glob("planes_*")} == {
        f"planes_{name}.png" for name in TASK.classes
    }
