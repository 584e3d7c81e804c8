"""The experiments on grid samples with real trainings, small ones: every run is one that the bundles can train."""

import json
from pathlib import Path

import nibabel
import numpy as np
import pytest

from mpmri_monai.experiments.arguments import context_of
from mpmri_monai.experiments.commands import experiment_command

BUNDLES = Path(__file__).resolve().parents[2] / "bundles"
BRAIN, LIVER = BUNDLES / "mctl_brain", BUNDLES / "hcc_grade"
CLASSES = ("healthy", "unhealthy")
pytestmark = pytest.mark.slow


@pytest.fixture
def heads(tmp_path):
    """Manifest of eight studies, labelled as a whole; every other one has a bright core."""
    studies = []
    for number in range(8):
        voxels = np.random.default_rng(number).uniform(50, 100, (40, 40, 8)).astype(np.float32)
        voxels[17:23, 17:23, 3:5] += 100 * (number % 2)
        nibabel.save(nibabel.Nifti1Image(voxels, np.diag([1.0, 1, 6, 1])), tmp_path / f"{number}.nii.gz")
        studies.append(
            {"patient": f"B{number}", "study": f"B{number}-1", "site": "A", "images": {"T2": f"{number}.nii.gz"}}
            | {"labels": {"brain": CLASSES[number % 2]}, "lesions": []}
        )
    content = {"schema": "mpmri-monai/manifest/1", "name": "heads", "sequences": ["T2"]}
    content |= {"classes": {"brain": list(CLASSES)}, "studies": studies}
    (tmp_path / "manifest.json").write_text(json.dumps(content))
    return tmp_path / "manifest.json"


def _done(name, context):
    """Do the experiment; return its content, in which nothing failed or leaked."""
    assert experiment_command(name, context) == 0
    content = json.loads((context.out / "experiment.json").read_text())
    assert content["failures"] == []
    assert {row["outcome"] for row in content["audit"]} == {"passed"}
    return content


def test_sizes_are_chosen(heads, tmp_path, tiny_cache, monkeypatch):
    monkeypatch.setenv("MPMRI_CACHE", str(tiny_cache))
    options = ["layers=1", "filters=4,8", "dense=4", "folds=2", "inner_folds=2", "epochs=1", "copies=2"]
    content = _done("grid", context_of([BRAIN], heads, tmp_path / "out", workers=1, options=options))
    assert content["plan"]["runs"] == 2 * 2 * 2 + 2 * 2


def test_every_patient_is_left_out(heads, tmp_path, tiny_cache, monkeypatch):
    monkeypatch.setenv("MPMRI_CACHE", str(tiny_cache))
    options = ["epochs=1", "copies=2"]
    content = _done(
        "leave-one-out", context_of([BRAIN], heads, tmp_path / "out", repeats=1, workers=1, options=options)
    )
    assert content["plan"]["runs"] == 8
    assert ["studies in the manifest", 8] in content["cohort"]["flow"]


def test_every_shape_is_trained(tiny_cohort, tmp_path, tiny_cache, monkeypatch):
    monkeypatch.setenv("MPMRI_CACHE", str(tiny_cache))
    options = ["epochs=1", "copies=1", "views=1", "folds=2"]
    content = _done("shapes", context_of([LIVER, BRAIN], tiny_cohort, tmp_path / "out", workers=1, options=options))
    (table,) = (table for table in content["tables"] if table["key"] == "shapes")
    assert "not all folds finished" not in {row[1] for row in table["rows"]} and len(table["rows"]) == 8
