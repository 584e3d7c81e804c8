"""Who is trained on and scored: the same samples for every method, every class on both sides, no person twice."""

import json
import logging
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from mpmri_monai.bundle import CohortData, default_cohort, manifest_of
from mpmri_monai.cohort import write_splits
from mpmri_monai.cohort.splits import COLUMNS
from mpmri_monai.errors import LeakageError, ManifestError, SplitError
from mpmri_monai.sequences import GRADES

PATIENTS = 9


@pytest.fixture
def manifest(tmp_path):
    studies = [
        {
            "patient": f"P{i}",
            "study": f"P{i}-1",
            "site": "A",
            "images": {"T2": f"P{i}.nii.gz"},
            "lesions": [{"id": "L1", "region": {"mask": "m.nii.gz", "value": 1}, "labels": {"grade": GRADES[i % 3]}}],
        }
        for i in range(PATIENTS)
    ]
    content = {"schema": "mpmri-monai/manifest/1", "name": "c", "sequences": ["T2", "OUT"], "studies": studies}
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps(content | {"classes": {"grade": list(GRADES)}}))
    return path


@pytest.mark.parametrize("classes", [{}, {"organ": ["liver", "spleen"]}, {"grade": ["low", "high"]}])
def test_a_cohort_labelled_for_another_question_is_refused(manifest, classes):
    content = json.loads(manifest.read_text())
    for study in content["studies"]:
        study["lesions"][0]["labels"] = {}
    manifest.write_text(json.dumps(content | {"classes": classes}))
    with pytest.raises(ManifestError, match="which the task hcc_grade asks for"):
        CohortData(manifest, "hcc_grade", "T2", {}, {})


def table(absent=()):
    """One sample a patient; those in ``absent`` show OUT alone."""
    return pd.DataFrame(
        {
            "patient": [f"P{i}" for i in range(PATIENTS)],
            "study": [f"P{i}-1" for i in range(PATIENTS)],
            "site": "A",
            "lesion": "L1",
            "sample": "L1-00",
            "kind": "lesion",
            "extent_mm": 20.0,
            "label_grade": [GRADES[i % 3] for i in range(PATIENTS)],
            "present_T2": [i not in absent for i in range(PATIENTS)],
            "present_OUT": True,
        }
    )


@pytest.fixture
def make(manifest, monkeypatch):
    def build(rows=None, failed=None, **split):
        images = lambda indices, names: np.zeros((len(indices), len(names), 52, 52), np.float32)  # noqa: E731
        store = SimpleNamespace(table=table() if rows is None else rows, failed=failed or {}, images=images)
        monkeypatch.setattr("mpmri_monai.bundle.cohort_data.prepare", lambda *_, **__: store)
        options = {"file": "", "folds": 0, "test": 0.4, "val": 0, "repeats": 1, "repeat": 0, "fold": 0} | split
        return CohortData(manifest, "hcc_grade", "T2", {}, options)

    return build


def test_every_method_sees_the_samples_that_the_network_sees(make, caplog):
    trained = next(int(name[1:]) for name, role in make().roles.items() if role == "train")
    cohort = make(table(absent=(trained,)))
    seen = pd.concat([cohort.samples(role).table for role in ("train", "val", "test")])
    assert set(seen.index) == set(cohort.usable.index) == set(range(PATIENTS)) - {trained}
    assert "show no sequence of the fusion" in caplog.text
    assert set(cohort.splits["patient"]) == {f"P{i}" for i in range(PATIENTS)}  # the same for every fusion


def test_a_class_that_the_fusion_does_not_show_is_refused(make):
    with pytest.raises(SplitError, match="none of class well"):
        make(table(absent=(0, 3, 6))).samples("train")


def splits_of(tmp_path, roles):
    rows = [("patient", name, "", "", 0, 0, "", role) for name, role in roles.items()]
    write_splits(tmp_path / "s.csv", pd.DataFrame(rows, columns=list(COLUMNS)))
    return str(tmp_path / "s.csv")


@pytest.mark.parametrize(("role", "lacking"), [("train", "test"), ("test", "train")])
def test_a_splits_file_without_a_class_is_refused_before_training(make, tmp_path, role, lacking):
    roles = {f"P{i}": role if i % 3 == 0 or i < 3 else lacking for i in range(PATIENTS)}
    with pytest.raises(SplitError, match=f"every class in {lacking}.*none of class well"):
        make(file=splits_of(tmp_path, roles)).samples("train")


def test_patients_whom_a_splits_file_leaves_out_are_counted(make, tmp_path, caplog):
    roles = {f"P{i}": "train" if i < 3 else "test" for i in range(PATIENTS - 1)}
    make(file=splits_of(tmp_path, roles)).samples("train")
    assert "1 patients have no role" in caplog.text


def test_studies_that_could_not_be_sampled_are_named(make, caplog):
    with caplog.at_level(logging.WARNING):
        _ = make(failed={"P8-1": "a missing slice"}).rows
    assert "study P8-1 is left out: a missing slice" in caplog.text


def test_one_image_under_two_patients_is_refused(make, manifest):
    content = json.loads(manifest.read_text())
    content["studies"][1]["images"]["T2"] = content["studies"][0]["images"]["T2"]
    manifest.write_text(json.dumps(content))
    with pytest.raises(LeakageError, match="P0, P1"):
        make()


def test_the_default_cohort_is_made_when_its_manifest_is_asked_for_and_not_before(tmp_path, monkeypatch):
    made = []
    monkeypatch.setenv("MPMRI_CACHE", str(tmp_path))
    monkeypatch.setattr("mpmri_monai.phantom.write_cohort", lambda folder, preset: made.append((folder, preset)))
    folder = default_cohort()
    assert manifest_of(str(tmp_path / "own")) == str(tmp_path / "own" / "manifest.json")
    assert made == []
    assert manifest_of(folder) == f"{folder}/manifest.json"
    assert made == [(Path(folder), "quick")]
