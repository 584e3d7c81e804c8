"""A finished run in a folder, with a store and a manifest to match, small and made from a known rule."""

import json
from types import MappingProxyType, SimpleNamespace

import nibabel
import numpy as np
import pandas as pd
import pytest

from mpmri_monai.cohort import Manifest, holdout, parse_manifest, patient_table, write_splits
from mpmri_monai.evaluation import evaluate, write_predictions
from mpmri_monai.report import style
from mpmri_monai.samples import Settings
from mpmri_monai.sequences import GRADES, SEQUENCES, TASKS
from mpmri_monai.volumes import Geometry

TASK = TASKS["hcc_grade"]
FUSION = ("T2", "OUT", "S4")
STORED = 52


class FakeStore:
    """The part of a samples store that a report reads."""

    def __init__(self, table, images, masks, settings=None):
        self.table, self._images, self._masks = table, images, masks
        self.failed = {}
        self.settings = settings or Settings()

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


def make_grid_store(kind="lesion", patients=24):
    """Return a store of 3D samples, one a patient: 9 planes stored, each brighter than the one below, of which 5 seen.

    Of kind ``lesion`` the mask fills the three planes in the middle; of kind ``study`` it is all that the network sees.
    """
    flat = make_store(patients, slices=1)
    chosen = np.flatnonzero(flat.table["kind"] == "lesion")
    settings = Settings(grid={"slices": 5, "pixels": 32})
    depth = settings.stored_shape[0]
    brightness = (np.arange(depth) + 1) / depth
    images = flat._images[chosen][:, :, None] * brightness[:, None, None].astype(np.float32)
    masks = np.zeros((len(chosen), *settings.stored_shape), bool)
    if kind == "lesion":
        masks[:, 3:6] = flat._masks[chosen][:, None]
    else:
        masks[:, 2:7, 10:42, 10:42] = True
    table = flat.table.iloc[chosen].reset_index(drop=True).assign(kind=kind)
    return FakeStore(table if kind == "lesion" else table.assign(lesion="whole"), images, masks, settings)


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
    for row in store.table[store.table["kind"] != "background"].itertuples():
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
    lesions = store.table[store.table["kind"] != "background"].rename(columns={"label_grade": "label"})
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
    return SimpleNamespace(
        store=make_store,
        grid_store=make_grid_store,
        manifest=make_manifest,
        predictions=make_predictions,
        run=make_run,
    )


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


GRADES_OF_TWO = ("well", "poorly")


def ball(geometry, centre_mm, radius_mm):
    """Return which voxels (slice, row, column) of a grid lie in a ball."""
    columns, rows, slices = geometry.shape
    index = np.stack(np.meshgrid(np.arange(columns), np.arange(rows), np.arange(slices), indexing="ij"), axis=-1)
    inside = np.linalg.norm(geometry.to_mm(index) - np.asarray(centre_mm), axis=-1) <= radius_mm
    return inside.transpose(2, 1, 0)


class LookedAt:
    """A cohort of NIfTI studies with one round lesion, 24 mm wide, at (10, -5, 3) mm.

    Phases have 3 mm slices and the lesion at 100, 150, 300; T2 has 8 mm slices, which end 2 mm above its middle.
    """

    centre_mm = (10.0, -5.0, 3.0)
    radius_mm = 12.0
    phases = Geometry(np.array([[-2.0, 0, 0, 64], [0, -2.0, 0, 60], [0, 0, 3.0, -30], [0, 0, 0, 1.0]]), (64, 60, 20))
    t2 = Geometry(np.array([[-1.5, 0, 0, 60], [0, -1.5, 0, 55], [0, 0, 8.0, -39], [0, 0, 0, 1.0]]), (80, 72, 6))
    signal = MappingProxyType({"S0": 100, "S1": 150, "S2": 300})
    sequences = ("T2", "IN", "S0", "S1", "S2")

    def __init__(self, folder):
        self.folder = folder

    @staticmethod
    def write(path, voxels, geometry):
        """Write (slice, row, column) voxels with their geometry as NIfTI."""
        path.parent.mkdir(parents=True, exist_ok=True)
        image = nibabel.Nifti1Image(np.ascontiguousarray(voxels.transpose(2, 1, 0)), geometry.affine)
        image.header.set_xyzt_units("mm")
        nibabel.save(image, path)

    def study(self, number, grade, **changes):
        """Write one study and return its entry of a manifest."""
        name = f"P{number}"
        lesion = ball(self.phases, self.centre_mm, self.radius_mm)
        for phase, signal in self.signal.items():
            image = np.where(lesion, signal, 50).astype(np.int16)
            self.write(self.folder / name / f"{phase}.nii.gz", image, self.phases)
        bright = np.where(ball(self.t2, self.centre_mm, self.radius_mm), 400, 80)
        self.write(self.folder / name / "T2.nii.gz", bright.astype(np.int16), self.t2)
        self.write(self.folder / name / "lesions.nii.gz", lesion.astype(np.uint8), self.phases)
        region = {"mask": f"{name}/lesions.nii.gz", "value": 1}
        lesions = [{"id": f"{name}-L1", "region": region, "drawn_on": "S1", "labels": {"grade": grade}}]
        images = {sequence: f"{name}/{sequence}.nii.gz" for sequence in self.sequences if sequence != "IN"}
        study = {"patient": name, "study": f"{name}-1", "site": "A", "images": images, "lesions": lesions}
        return {**study, **changes}

    def manifest(self, *studies):
        """Return the manifest of some entries."""
        content = {"schema": "mpmri-monai/manifest/1", "name": "looked_at", "sequences": self.sequences}
        content |= {"classes": {"grade": GRADES_OF_TWO}, "studies": studies}
        return parse_manifest(content, self.folder, "here")


@pytest.fixture
def looked_at(tmp_path):
    """A cohort whose pictures are known."""
    return LookedAt(tmp_path / "cohort")
