"""The MCTL comparison with real trainings, small ones: autoencoders, what starts from them, and the rest."""

import json
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest

from mpmri_monai.bundle.provenance import count_seen, seen_by
from mpmri_monai.cohort import read_splits
from mpmri_monai.experiments.arguments import context_of
from mpmri_monai.experiments.commands import experiment_command
from mpmri_monai.experiments.mctl_tables_arms import ARMS

BUNDLES = [Path(__file__).resolve().parents[2] / "bundles" / name for name in ("mctl_autoencoder", "mctl_brain")]
CLASSES = ("healthy", "unhealthy")
SMALL = ["folds=2", "epochs=1", "pretraining_epochs=1", "copies=1", "patches=32", "layers=1", "filters=4", "dense=4"]
pytestmark = pytest.mark.slow


def _heads(folder, letter, labelled):
    """Return the manifest of twelve studies; where they are labelled, every other one has a bright core."""
    folder.mkdir()
    studies = []
    for number in range(12):
        rng = np.random.default_rng([number, labelled])
        voxels = rng.uniform(50, 100, (40, 40, 8)).astype(np.float32)
        voxels[17:23, 17:23, 3:5] += 100 * (number % 2)
        nibabel.save(nibabel.Nifti1Image(voxels, np.diag([1.0, 1, 6, 1])), folder / f"{number}.nii.gz")
        name = f"{letter}{number}"
        labels = {"brain": CLASSES[number % 2]} if labelled else {}
        studies.append({"patient": name, "study": f"{name}-1", "site": "A", "images": {"T2": f"{number}.nii.gz"}})
        studies[-1] |= {"labels": labels, "lesions": []}
    content = {"schema": "mpmri-monai/manifest/1", "name": f"heads-{letter}", "sequences": ["T2"], "studies": studies}
    content["classes"] = {"brain": list(CLASSES)} if labelled else {}
    (folder / "manifest.json").write_text(json.dumps(content))
    return folder / "manifest.json"


@pytest.fixture
def given(tmp_path, tiny_cache, monkeypatch):
    monkeypatch.setenv("MPMRI_CACHE", str(tiny_cache))
    manifest = _heads(tmp_path / "heads", "B", labelled=True)
    return lambda *options: context_of(BUNDLES, manifest, tmp_path / "out", workers=1, options=[*SMALL, *options])


def _done(context):
    """Do the experiment; return its content, in which nothing failed or leaked."""
    assert experiment_command("mctl-tables", context) == 0
    content = json.loads((context.out / "experiment.json").read_text())
    assert content["failures"] == [] and {row["outcome"] for row in content["audit"]} == {"passed"}
    (table,) = (table for table in content["tables"] if table["key"] == "comparison")
    assert [row[0] for row in table["rows"]] == [arm.title for arm in ARMS]
    assert "not all folds finished" not in {row[1] for row in table["rows"]}
    return content


def test_an_autoencoder_of_each_fold_sees_its_training_patients_alone(given):
    context = given()
    assert _done(context)["plan"]["runs"] == 2 * (1 + len(ARMS))
    for fold in (0, 1):
        run = context.out / "runs" / "mctl-transferred" / f"repeat0-fold{fold}"
        pretrained = json.loads((run / "config.json").read_text())["pretrained"]
        splits = read_splits(run / "splits.csv")
        roles = splits[splits["outer"] == fold].groupby("role")["patient"].agg(list)
        seen = {role: count_seen(seen_by(pretrained), patients) for role, patients in roles.items()}
        assert seen == {"train": len(roles["train"]), "val": 0, "test": 0}


def test_one_autoencoder_of_another_cohort_and_a_folder_that_moved(given, tmp_path):
    source = _heads(tmp_path / "others", "S", labelled=False)
    context = given(f"source={source}")
    assert _done(context)["plan"]["runs"] == 1 + 2 * len(ARMS)
    written = {path: path.stat().st_mtime_ns for path in context.out.rglob("predictions.csv")}
    moved = replace(context, out=tmp_path / "elsewhere")
    context.out.rename(moved.out)
    assert experiment_command("mctl-tables", moved) == 0
    assert {
        context.out / path.relative_to(moved.out): path.stat().st_mtime_ns
        for path in moved.out.rglob("predictions.csv")
    } == written
