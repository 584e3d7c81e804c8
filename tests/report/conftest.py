"""A finished run in a folder, with a store and a manifest to match, small and made from a known rule."""

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from mpmri_monai.cohort import Manifest, holdout, patient_table, write_splits
from mpmri_monai.evaluation import evaluate, write_predictions
from mpmri_monai.report import style
from mpmri_monai.sequences import GRADES, SEQUENCES, TASKS

TASK = TASKS["hcc_grade"]
FUSION = ("T2", "OUT", "S4")
STORED = 52


class FakeStore:
    """The part of a samples store that a report reads."""

    def __init__(self, table, images, masks):
        self.table, self._images, self._masks = table, images, masks
        self.failed = {}
        self.settings = SimpleNamespace(pixels=32)

    def images(self, rows, sequences):
        return self._images[rows][:, [SEQUENCES.index(name) for name in sequences]]

    def masks(self, rows):
        return self._masks[rows]

    def digest(self):
        return "5" * 64


def make_store(patients=24, slices=3, seed=0):
    """Return a store with one lesion a patient, grades in turn, and one background region a study.

    Signals are known: liver S0 is the patient's gain, and a lesion of grade g has S_k = gain × (1 + 0.1 g + 0.05 k).
    """
    rng = np.random.default_rng(seed)
    rows, images, masks = [], [], []
    grid = np.hypot(*(np.mgrid[:STORED, :STORED] - (STORED - 1) / 2))
    for number in range(patients):
        grade, gain = number % 3, 100.0 * (1 + number)
        for kind, lesion, count in (("lesion", f"P{number:03d}-L1", slices), ("background", "BG-1", 1)):
            radius = 9 + rng.uniform(0, 6)
            for index in range(count):
                mask = grid < radius * (0.8 + 0.2 * (index == count // 2))
                images.append(_image(rng, mask if kind == "lesion" else mask & False, grade))
                masks.append(mask)
                rows.append(_row(number, kind, lesion, index, grade, gain, radius))
    return FakeStore(pd.DataFrame(rows), np.array(images), np.array(masks))


def _image(rng, mask, grade):
    base = 0.35 + 0.08 * rng.standard_normal((len(SEQUENCES), STORED, STORED))
    shift = np.linspace(-0.2, 0.35, len(SEQUENCES))[:, None, None] * (1 + 0.4 * grade)
    return np.clip(base + mask * shift, 0, 1).astype(np.float32)


def _row(number, kind, lesion, index, grade, gain, radius):
    patient = f"P{number:03d}"
    row = {
        "patient": patient,
        "study": f"{patient}-1",
        "site": "A",
        "lesion": lesion,
        "sample": f"{lesion}-{index:02d}",
    }
    row |= {
        "kind": kind,
        "extent_mm": 2 * radius,
        "label_grade": GRADES[grade] if kind == "lesion" else "",
        "flags": "",
    }
    for position, name in enumerate(SEQUENCES):
        phase = position - 3
        signal = gain * (1 + 0.05 * phase + (0.1 * grade if kind == "lesion" else 0))
        row |= {f"present_{name}": True, f"signal_{name}": signal}
    return row


def make_manifest(store, truth=None):
    studies = [
        {"patient": row.patient, "study": row.study, "site": row.site, "images": {}}
        for row in store.table.drop_duplicates("study").itertuples()
    ]
    return Manifest.model_validate(
        {
            "schema": "mpmri-monai/manifest/1",
            "name": "small",
            "sequences": SEQUENCES,
            "classes": {"grade": GRADES},
            "studies": studies,
            "truth": truth,
        }
    )


def make_predictions(store, splits, seed=1):
    """Return predictions for test and validation patients: right more often than not."""
    rng = np.random.default_rng(seed)
    roles = dict(zip(splits["patient"], splits["role"], strict=True))
    rows = []
    for row in store.table[store.table["kind"] == "lesion"].itertuples():
        if roles[row.patient] == "train":
            continue
        scores = rng.normal(0, 1.0, 3) + 1.3 * np.eye(3)[GRADES.index(row.label_grade)]
        shares = np.exp(scores) / np.exp(scores).sum()
        found = {
            "task": TASK.name,
            "patient": row.patient,
            "study": row.study,
            "lesion": row.lesion,
            "sample": row.sample,
        }
        found |= {"site": row.site, "repeat": 0, "outer": 0, "inner": "", "role": roles[row.patient]}
        found |= {"label": row.label_grade} | {f"p_{name}": share for name, share in zip(GRADES, shares, strict=True)}
        rows.append(found | {f"present_{name}": bool(getattr(row, f"present_{name}")) for name in SEQUENCES})
    return pd.DataFrame(rows)


def make_run(folder, store, *, baseline=True, ceiling=True, validation=True, predictions=None, bootstraps=50):
    """Write a finished run into ``folder``; return its metrics."""
    lesions = store.table[store.table["kind"] == "lesion"].rename(columns={"label_grade": "label"})
    rows = lesions[["patient", "study", "lesion", "label", "site"]]
    patients = patient_table(rows, GRADES)
    splits = holdout(patients, test=0.4, val=0.15 if validation else 0.0, seed=0)
    predictions = make_predictions(store, splits) if predictions is None else predictions(store, splits)
    metrics = evaluate(predictions, TASK, bootstraps=bootstraps) | {"fusion": "T2-OUT-S4"}
    if baseline:
        metrics["baseline"] = evaluate(make_predictions(store, splits, seed=7), TASK, bootstraps=bootstraps)
    if ceiling:
        top = {
            "accuracy": {"mean": 0.88, "low": 0.8, "high": 0.95},
            "macro_auc": {"mean": 0.96, "low": 0.92, "high": 0.99},
        }
        metrics["ceiling"] = {
            "fusion": top,
            "all": {"accuracy": {**top["accuracy"], "mean": 0.91}, "macro_auc": top["macro_auc"]},
        }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "metrics.json").write_text(json.dumps(metrics))
    write_predictions(folder / "predictions.csv", predictions)
    write_splits(folder / "splits.csv", splits)
    _write_history(folder, validation)
    config = {
        "seed": 3,
        "max_epochs": 30,
        "output_dir": "/home/somebody/runs/7",
        "network": "$build()",
        "fusion": "T2-OUT-S4",
    }
    (folder / "config.json").write_text(json.dumps(config))
    environment = {
        "versions": {"monai": "1.6.1", "torch": "2.8.0"},
        "device": "cpu",
        "threads": 2,
        "git_revision": "0" * 40,
        "manifest_sha256": "a" * 64,
        "command": ["python", "-m", "monai.bundle", "run", "training", "--manifest", "/data/secret place/M.json"],
    }
    (folder / "environment.json").write_text(json.dumps(environment))
    return metrics


def _write_history(folder, validation):
    epochs = np.arange(1, 31)
    loss = 1.1 * np.exp(-epochs / 12)
    history = pd.DataFrame({"epoch": epochs, "train_loss": loss, "train_accuracy": 1 - loss / 2})
    history["val_loss"] = 0.55 + 0.5 * np.exp(-epochs / 6) + 0.006 * epochs if validation else np.nan
    history["val_accuracy"] = 0.7 - 0.25 * np.exp(-epochs / 5) if validation else np.nan
    history["learning_rate"] = 5e-4 * 0.1 ** ((epochs - 1) // 10)
    history.to_csv(folder / "history.csv", index=False)


@pytest.fixture(scope="session", autouse=True)
def coarse_pixels():
    """Draw at few dots per inch: what is drawn stays the same, and the tests are fast."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(style, "DOTS_PER_INCH", 40)
        yield


@pytest.fixture(scope="session")
def build():
    """The builders above, since test modules do not import each other."""
    return SimpleNamespace(store=make_store, manifest=make_manifest, predictions=make_predictions, run=make_run)


@pytest.fixture(scope="session")
def store():
    return make_store()


@pytest.fixture(scope="session")
def metrics(tmp_path_factory, store):
    """Metrics of a run with baseline and ceiling."""
    return make_run(tmp_path_factory.mktemp("runs") / "run", store)


@pytest.fixture
def without_well():
    """Take all lesions of class well out of the predictions."""

    def predictions(store, splits):
        table = make_predictions(store, splits)
        return table[table["label"] != "well"]

    return predictions
