"""Which patients an autoencoder is trained on and validated with, and which it never sees."""

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from mpmri_monai.bundle import PatchData
from mpmri_monai.cohort import write_splits
from mpmri_monai.cohort.splits import COLUMNS
from mpmri_monai.errors import ConfigError, SplitError
from mpmri_monai.training.dataset import NO_LABEL

PATIENTS = 10
GRID = {"grid": {"slices": 2, "pixels": 9, "patches": 20}}


@pytest.fixture
def make(tmp_path, monkeypatch):
    """make(seed=…, absent=…, **split) is the data of ten patients without lesions or labels, two patches each."""
    names = [f"P{i}" for i in range(PATIENTS)]
    studies = [
        {"patient": name, "study": f"{name}-1", "site": "A", "images": {"T2": f"{name}.nii.gz"}} for name in names
    ]
    content = {"schema": "mpmri-monai/manifest/1", "name": "c", "sequences": ["T2"], "classes": {}, "studies": studies}
    (tmp_path / "manifest.json").write_text(json.dumps(content))
    rows = [{"patient": name, "study": f"{name}-1", "sample": f"patch-{k}"} for name in names for k in range(2)]
    table = pd.DataFrame(rows).assign(site="A", lesion="patch", kind="patch", extent_mm=9.0)

    def build(seed=0, absent=(), settings=GRID, **split):
        shown = table.assign(present_T2=~table["patient"].isin(absent))
        images = lambda rows, names: np.zeros((len(rows), len(names), 2, 9, 9), "f")  # noqa: E731
        store = SimpleNamespace(table=shown, failed={}, images=images, voxels={})
        monkeypatch.setattr("mpmri_monai.bundle.stored_cohort.prepare", lambda *_, **__: store)
        return PatchData(tmp_path / "manifest.json", "T2", settings, {"val": 0.2} | split, seed)

    return build


def roles(data):
    return data.splits.set_index("patient")["role"].to_dict()


def test_every_patient_trains_or_validates_and_the_seed_says_who(make):
    found = roles(make())
    assert sorted(found) == [f"P{i}" for i in range(PATIENTS)]
    assert sorted(found.values()) == ["train"] * 8 + ["val"] * 2
    assert found == roles(make())
    assert len({tuple(sorted(roles(make(seed=seed)).items())) for seed in range(5)}) > 1


def test_patches_follow_their_patients_and_have_no_label(make):
    data = make()
    parts = {role: data.samples(role) for role in ("train", "val")}
    for role, part in parts.items():
        assert {roles(data)[name] for name in part.table["patient"]} == {role}
        assert (part.label == NO_LABEL).all()
    assert len(parts["train"].table) + len(parts["val"].table) == 2 * PATIENTS


@pytest.mark.parametrize(("val", "validate"), [(0, 0), (0.01, 1), (0.5, 5)])
def test_the_share_of_validation(make, val, validate):
    assert list(roles(make(val=val)).values()).count("val") == validate


def test_of_a_classifiers_splits_only_those_who_train_there_are_used(make, tmp_path):
    fits = [(fold, i, "test" if i % 2 == fold else "val" if i < 4 else "train") for fold in (0, 1) for i in range(10)]
    table = [("patient", f"P{i}", "", "", 0, fold, "", role) for fold, i, role in fits]
    write_splits(tmp_path / "splits.csv", pd.DataFrame(table, columns=list(COLUMNS)))
    given = {"file": str(tmp_path / "splits.csv"), "val": 0.34}
    assert set(roles(make(fold=0, **given))) == {"P5", "P7", "P9"}
    assert set(roles(make(fold=1, **given))) == {"P4", "P6", "P8"}
    with pytest.raises(SplitError):
        _ = make(fold=2, **given).splits


def test_patients_without_the_sequence_have_no_part(make, caplog):
    assert "P3" not in roles(make(absent=("P3",)))
    assert "show no sequence of the fusion" in caplog.text


def test_nobody_to_train_on_is_refused(make):
    with pytest.raises(SplitError, match="--split#val 0"):
        _ = make(absent=[f"P{i}" for i in range(1, PATIENTS)]).splits
    assert list(roles(make(absent=[f"P{i}" for i in range(1, PATIENTS)], val=0)).values()) == ["train"]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"settings": {}}, "samples#grid#patches"),
        ({"settings": {"grid": {"slices": 2}}}, "samples#grid#patches"),
        ({"folds": 5}, "file, repeat, fold, val"),
        ({"val": 1}, "below 1"),
        ({"val": -0.1}, "0 or more"),
    ],
)
def test_what_means_nothing_is_refused(make, wrong, message):
    with pytest.raises(ConfigError, match=message):
        make(**wrong)
