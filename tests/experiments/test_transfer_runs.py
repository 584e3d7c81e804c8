"""The experiments on transfer with real trainings, small ones: every start is one that the bundle can train."""

import json
from pathlib import Path

import pytest
import torch

from mpmri_monai.errors import ConfigError
from mpmri_monai.experiments.arguments import context_of
from mpmri_monai.experiments.commands import experiment_command
from mpmri_monai.networks import SPPResNet, save_weights

BUNDLE = Path(__file__).resolve().parents[2] / "bundles" / "hcc_detection"
QUICK = ("epochs=1", "views=1")


@pytest.fixture
def weights(tmp_path):
    torch.manual_seed(0)
    save_weights(SPPResNet(in_channels=3, num_classes=10, embedding=32), tmp_path / "natural.pt")
    return tmp_path / "natural.pt"


@pytest.fixture
def given(tiny_cohort, tiny_cache, tmp_path, monkeypatch, weights):
    monkeypatch.setenv("MPMRI_CACHE", str(tiny_cache))

    def make(*options):
        typed = [f"pretrained={weights}", *QUICK, *options]
        return context_of([BUNDLE], tiny_cohort, tmp_path / "out", repeats=1, options=typed)

    return make


def _found(context):
    assert json.loads((context.out / "experiment.json").read_text())["failures"] == []
    return {path.stem: path.read_text() for path in (context.out / "tables").glob("*.csv")}


@pytest.mark.slow
def test_depths_and_scratch_are_trained_and_other_weights_are_another_experiment(given, weights):
    context = given("depths=0,2", "folds=2")
    assert experiment_command("depth", context) == 0
    tables = _found(context)
    assert [row.split(",")[0] for row in tables["depths"].splitlines()[1:]] == [
        "depth 0",
        "depth 2",
        "depth 12",
        "scratch (He)",
    ]
    save_weights(SPPResNet(in_channels=3, num_classes=10, embedding=32), weights)
    with pytest.raises(ConfigError, match=r"weights natural\.pt"):
        experiment_command("depth", context)


@pytest.mark.slow
def test_a_share_of_the_patients_trains(given):
    context = given("shares=100,50", "folds=2", "depth=1")
    assert experiment_command("data-size", context) == 0
    rows = [row.split(",") for row in _found(context)["data-size"].splitlines()[1:]]
    assert len(rows) == 10
    assert {row[0]: row[1] for row in rows} == {"100 %": "4–5", "50 %": "2–3"}


@pytest.mark.slow
def test_every_start_is_watched(given):
    context = given("depth=1")
    assert experiment_command("convergence", context) == 0
    assert len(_found(context)["convergence"].splitlines()) == 6
    assert (context.out / "figures" / "convergence.png").is_file()
