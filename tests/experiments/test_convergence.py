"""Learning curves of the starts: the plan, and the epoch from which one stays above where scratch ends."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from experiments.finished_runs import Observer, finish_all, make_context, observed_phantom
from mpmri_monai.experiments.convergence import Convergence, Curve
from mpmri_monai.report import write_experiment_report

BUNDLE = Path(__file__).resolve().parents[2] / "bundles" / "hcc_grade"
EPOCHS = 6


@dataclass(frozen=True)
class EpochObserver(Observer):
    """Two thirds train, one sixth validates; the validation AUC rises twice as fast from pretrained weights."""

    def finish(self, context, run):
        super().finish(context, run)
        if not context.finished(run):
            return
        speed = 1 if run.options["pretrained"] == "scratch" else 2
        epoch = np.arange(1, EPOCHS + 1)
        rising = np.minimum(0.5 + 0.05 * speed * epoch, 0.95) + 0.01 * run.options["split#repeat"]
        history = pd.DataFrame({"epoch": epoch, "val_macro_auc": rising, "train_accuracy": 0.7})
        history.to_csv(context.folder(run) / "history.csv", index=False)

    def _roles(self, options):
        number = self.truth["patient"].factorize()[0] // 3 + options["split#repeat"]
        return np.select([number % 6 == 0, number % 6 == 1], ["val", "test"], "train")


@pytest.fixture(scope="module")
def truth():
    return observed_phantom()


@pytest.fixture
def context(tmp_path, truth):
    (tmp_path / "weights.pt").touch()
    options = {"epochs": str(EPOCHS), "depth": "3", "pretrained": str(tmp_path / "weights.pt")}
    return make_context(tmp_path, truth, BUNDLE, repeats=2, options=options)


def test_every_epoch_is_validated_on_patients_apart_and_none_chosen(context):
    (stage,) = Convergence().stages(context)
    runs = stage.runs()
    assert stage.count == len(runs) == 2 * 5
    for run in runs:
        assert run.options["split#val"] == 0.2 and run.options["val_interval"] == 1
        assert run.options["checkpoint#keep_best"] is False and run.options["patience"] == 0
    assert sorted({run.options["finetune_depth"] for run in runs}) == [3, 12]


def test_the_epoch_from_which_a_start_is_ahead_is_said(context, truth):
    finish_all(Convergence(), context, EpochObserver(truth))
    content = Convergence().collect(context)
    assert "0.805 after 6 epochs" in content["headline"][0]
    assert "deep tuning (all 12 layers) stays above that from epoch 3 on, and ends at 0.955." in content["headline"]
    (table,) = content["tables"]
    rows = {row[0]: row for row in table["rows"]}
    assert rows["scratch (He)"][5] == "6"
    assert rows["deep tuning (all 12 layers)"][5] == "3"
    assert rows["scratch (He)"][6] == "0.700"
    (figure,) = content["figures"]
    assert len(figure["data"]["curves"]) == 5
    assert figure["data"]["curves"][0]["sd"] == pytest.approx([0.01 / np.sqrt(2)] * EPOCHS)
    json.dumps(content, allow_nan=False)
    whole = {"schema": "mpmri-monai/experiment/1", "experiment": "convergence", **content}
    assert write_experiment_report(context.out, whole).is_file()


@pytest.mark.parametrize(
    ("mean", "value", "epoch"),
    [([0.5, 0.9, 0.7, 0.8], 0.75, 4), ([0.8, 0.8], 0.75, 1), ([0.8, 0.6], 0.75, None), ([float("nan"), 0.8], 0.75, 2)],
)
def test_a_start_is_ahead_once_it_never_falls_back(mean, value, epoch):
    curve = Curve.of({"epoch": list(range(1, len(mean) + 1)), "mean": mean})
    assert curve.reaches(value) == epoch


def test_without_scratch_there_is_nothing_to_compare_with(context, truth):
    finish_all(Convergence(), context, EpochObserver(truth, failing="scratch-he"))
    content = Convergence().collect(context)
    assert "No finished run of scratch (He)" in content["headline"][0]
    assert len(content["tables"][0]["rows"]) == 4


def test_repetitions_that_are_missing_are_said(context, truth):
    finish_all(Convergence(), context, EpochObserver(truth, failing="depth3/repeat1"))
    assert "different numbers" in Convergence().collect(context)["warnings"][0]
    assert replace(context, repeats=None).repeats is None
