"""A finished run asked again answers as it did; what is changed then changes what it says, and only that."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from experiments.finished_runs import make_context, observed_phantom
from mpmri_monai.artefacts import write_json
from mpmri_monai.errors import ConfigError, EvaluationError
from mpmri_monai.evaluation import compare, evaluate, read_predictions, write_predictions
from mpmri_monai.evaluation.predictions import PROBABILITY
from mpmri_monai.experiments import robustness
from mpmri_monai.experiments.perturbed import CLEAN, CONDITIONS, Condition, TrainedRun
from mpmri_monai.experiments.robustness import Robustness, perturbed_predictions
from mpmri_monai.networks import SPPResNet, save_weights
from mpmri_monai.samples import Settings
from mpmri_monai.sequences import GRADES, task
from mpmri_monai.training import SampleData, prediction_rows

BUNDLE = Path(__file__).resolve().parents[2] / "bundles" / "hcc_grade"
NETWORK = {"in_channels": 2, "num_classes": 3, "embedding": 4, "levels": [1]}
FUSION = ("T2", "S4")
COUNT = 18


class SmallCohort:
    """What a run's configuration makes: test samples whose grade is written into their brightness."""

    def __init__(self, pitch_mm: float) -> None:
        self.task, self.settings, self.manifest = task("hcc_grade"), Settings(), self
        self.sequences = FUSION
        rng = np.random.default_rng(0)
        label = np.arange(COUNT) % 3
        image = 0.2 + 0.2 * label[:, None, None, None] + 0.05 * rng.random((COUNT, 2, 52, 52))
        present = np.ones((COUNT, 2), bool)
        present[4, 1] = False
        table = pd.DataFrame(
            {
                "patient": [f"P{k:02d}" for k in range(COUNT)],
                "study": [f"P{k:02d}-1" for k in range(COUNT)],
                "lesion": "L1",
                "sample": "L1-00",
                "site": "A",
                "pitch_mm": pitch_mm,
                "present_T2": True,
                "present_S4": present[:, 1],
            }
        )
        image = (image * present[:, :, None, None]).astype(np.float32)
        self.data = SampleData(image, present, label.astype(np.int64), np.full(COUNT, 20, np.float32), table)

    def samples(self, role: str) -> SampleData:
        assert role == "test"
        return self.data

    def split_columns(self, role: str) -> dict[str, object]:
        return {"repeat": 0, "outer": 0, "inner": "", "role": role}


def write_run(folder, pitch_mm=0.7):
    """A run folder as training leaves it, with a network that was never trained."""
    folder.mkdir(parents=True)
    target = f"{__name__}.SmallCohort"
    config = {"imports": ["$import mpmri_monai.bundle as mpmri"], "network_arguments": NETWORK}
    config |= {"cohort": {"_target_": target, "pitch_mm": pitch_mm}}
    write_json(folder / "config.json", config | {"network_def": "$mpmri.SPPResNet(**@network_arguments)"})
    torch.manual_seed(1)
    network = SPPResNet(**NETWORK).eval()
    save_weights(network, folder / "model.pt")
    cohort = SmallCohort(pitch_mm)
    images = torch.as_tensor(cohort.data.image[:, :, 10:42, 10:42])
    with torch.no_grad():
        extent, present = torch.as_tensor(cohort.data.extent_mm), torch.as_tensor(cohort.data.present)
        p = torch.softmax(network(images, present=present, extent_mm=extent).double(), dim=1).numpy()
    write_predictions(
        folder / "predictions.csv", prediction_rows(cohort.data, p, cohort.task, FUSION, cohort.split_columns("test"))
    )


@pytest.fixture
def run(tmp_path):
    write_run(tmp_path / "run")
    return TrainedRun(tmp_path / "run")


def probabilities(table):
    return table.sort_values("patient")[[PROBABILITY + name for name in GRADES]].to_numpy()


def test_images_as_they_are_give_the_predictions_that_the_run_wrote(run):
    clean = run.predictions(CLEAN, 0)
    run.check(clean)
    written = read_predictions(run.folder / "predictions.csv")
    assert probabilities(clean) == pytest.approx(probabilities(written), abs=1e-6)
    changed = clean.assign(p_well=clean["p_poorly"], p_poorly=clean["p_well"])
    with pytest.raises(EvaluationError, match="E_RUN"):
        run.check(changed)


@pytest.mark.parametrize(
    "kind, level", [("noise", 0), ("shading", 0), ("shift", 0), ("gain", 1), ("fgsm", 0), ("pgd", 0)]
)
def test_a_perturbation_of_no_strength_changes_nothing(run, kind, level):
    unchanged = run.predictions(Condition(kind, level), 0)
    assert probabilities(unchanged) == pytest.approx(probabilities(run.predictions(CLEAN, 0)), abs=1e-5)


def test_attacks_lower_the_probability_of_the_truth_and_the_seed_decides_the_rest(run):
    clean = probabilities(run.predictions(CLEAN, 0))
    truth = np.arange(COUNT) % 3
    for kind in ("fgsm", "pgd"):
        attacked = probabilities(run.predictions(Condition(kind, 0.01), 0))
        assert attacked[np.arange(COUNT), truth].mean() < clean[np.arange(COUNT), truth].mean()
    noisy = [probabilities(run.predictions(Condition("noise", 0.2), seed)) for seed in (0, 0, 1)]
    assert (noisy[0] == noisy[1]).all()
    assert (noisy[0] != noisy[2]).any()


def test_shifts_that_leave_the_stored_crop_are_no_conditions(tmp_path):
    write_run(tmp_path / "small", pitch_mm=0.15)
    shifts = [c.level for c in TrainedRun(tmp_path / "small").conditions if c.kind == "shift"]
    assert shifts == [0.5, 1.0]


def test_the_report_has_every_condition_beside_clean_images_and_asks_no_network_twice(tmp_path, monkeypatch):
    for function in (evaluate, compare):
        monkeypatch.setattr(robustness, function.__name__, partial(function, bootstraps=20))
    context = make_context(tmp_path, observed_phantom(), BUNDLE, repeats=2)
    context = replace(context, workers=1)
    (stage,) = Robustness().stages(context)
    runs = stage.runs()
    assert len(runs) == stage.count == 2
    context.out.mkdir()
    entries = [{**vars(run), "bundle": str(run.bundle)} for run in runs[:1]]
    write_json(context.out / "plan.json", {"stages": [{"runs": entries}]})
    write_run(context.folder(runs[0]))
    content = Robustness().collect(context)
    (table,) = content["tables"]
    assert len(table["rows"]) == len(CONDITIONS)
    clean = evaluate(read_predictions(context.folder(runs[0]) / "predictions.csv"), task("hcc_grade"))
    accuracy = clean["levels"]["lesion"]["metrics"]["accuracy"]["value"]
    assert table["rows"][0][2].startswith(f"{accuracy:.3f}")
    (figure,) = content["figures"]
    gain = next(panel for panel in figure["data"]["panels"] if panel["title"] == "gain")
    assert gain["curves"][0]["x"] == [0.6, 0.8, 1.0, 1.25, 1.5]
    assert gain["curves"][0]["mean"][2] == pytest.approx(accuracy)
    json.dumps(content, allow_nan=False)
    monkeypatch.setattr(TrainedRun, "predictions", None)
    assert set(perturbed_predictions(context)) == set(CONDITIONS)


def test_bundles_that_answer_otherwise_are_refused_before_they_are_trained(tmp_path):
    brain = BUNDLE.parent / "mctl_brain"
    with pytest.raises(ConfigError, match="mctl_brain with samples on a 3D grid"):
        Robustness().stages(make_context(tmp_path, observed_phantom(), brain))
    configs = tmp_path / "own" / "configs"
    configs.mkdir(parents=True)
    config = json.loads((BUNDLE / "configs" / "train.json").read_text()) | {"head": "logistic", "averaging": True}
    (configs / "train.json").write_text(json.dumps(config))
    with pytest.raises(ConfigError, match="own with a classical head and averaging over crops"):
        Robustness().stages(make_context(tmp_path, observed_phantom(), configs.parent))
