"""The natural_pretrain bundle from end to end, on a few digits written here in MNIST's own format."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from ignite.engine import Events
from monai.bundle import ConfigWorkflow

from mpmri_monai.bundle.provenance import seen_by
from mpmri_monai.errors import ConfigError
from mpmri_monai.natural import images
from mpmri_monai.natural.images import MNIST_FILES

CONFIGS = Path(__file__).resolve().parents[2] / "bundles" / "natural_pretrain" / "configs"
COUNT = 256
QUICK = {"dataset": "mnist", "threads": 1, "device": "cpu", "max_epochs": 2, "batch_size": 64, "learning_rate": 0.02}


class Killed(BaseException):
    """What a run dies of that is killed."""


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """Folder of four IDX files: a bright bar at a place of its own for each of ten classes."""
    folder = tmp_path_factory.mktemp("mnist")
    labels = np.arange(COUNT) % 10
    pictures = np.random.default_rng(0).integers(0, 60, (COUNT, 28, 28))
    for picture, label in zip(pictures, labels, strict=True):
        picture[2 * label + 3 : 2 * label + 6, 4:24] = 250
    for images_file, labels_file in MNIST_FILES.values():
        sizes = np.array([2051, COUNT, 28, 28], ">u4").tobytes()
        (folder / images_file).write_bytes(sizes + pictures.astype(np.uint8).tobytes())
        (folder / labels_file).write_bytes(np.array([2049, COUNT], ">u4").tobytes() + labels.astype(np.uint8).tobytes())
    return folder


@pytest.fixture(scope="module")
def pretrain(digits):
    """pretrain(folder, embedding=…) runs the bundle in this process, and returns the folder."""
    patch = pytest.MonkeyPatch()
    patch.setattr(images, "COUNTS", {"mnist": (COUNT, COUNT)})

    def run(folder, run_id="training", killed_in=0, **options):
        files = [str(CONFIGS / name) for name in ("train.json", "evaluate.json")[: 1 + (run_id == "evaluating")]]
        options = QUICK | {"dataset_dir": str(digits), "output_dir": str(folder)} | options
        workflow = ConfigWorkflow(files, run_id=run_id, logging_file=False, **options)
        workflow.initialize()
        if killed_in:
            trainer = workflow.parser.get_parsed_content("train#trainer")
            trainer.add_event_handler(Events.EPOCH_STARTED(once=killed_in), kill)
        try:
            workflow.run()
        finally:
            if run_id == "training":
                workflow.parser.get_parsed_content("run_folder").release()
        return folder

    yield run
    patch.undo()


def kill():
    raise Killed


@pytest.fixture(scope="module")
def run_folder(pretrain, tmp_path_factory):
    return pretrain(tmp_path_factory.mktemp("runs") / "whole", embedding=2, precision="bf16")


def test_a_run_leaves_weights_their_accuracy_and_whom_they_saw(run_folder):
    names = {path.name for path in run_folder.iterdir()}
    assert {"config.json", "environment.json", "history.csv", "log.txt", "model.pt"} <= names
    assert not names & {"splits.csv", "images.csv", "best.pt"}
    assert (run_folder / "figures" / "embeddings.png").read_bytes()[:4] == b"\x89PNG"
    metrics = json.loads((run_folder / "metrics.json").read_text())
    reference = json.loads((run_folder / "reference.json").read_text())
    assert metrics["epochs"] == 2 and metrics["precision"] == "bf16" and metrics["parameters"] <= 290_000
    assert 0 <= metrics["accuracy"] <= 1 and metrics["test_images"] == COUNT and metrics["images"] == "MNIST"
    assert reference["recipe"]["seed"] == 0 and reference["network"]["embedding"] == 2
    assert seen_by(str(run_folder / "model.pt")) == []
    state = torch.load(run_folder / "model.pt", weights_only=True)
    assert all(isinstance(value, torch.Tensor) for value in state.values())


def test_killed_and_resumed_equals_uninterrupted(pretrain, run_folder, tmp_path):
    with pytest.raises(BaseException) as death:  # MONAI may wrap it
        pretrain(tmp_path / "run", embedding=2, precision="bf16", killed_in=2)
    assert isinstance(death.value, Killed) or isinstance(death.value.__cause__, Killed)
    assert not (tmp_path / "run" / "model.pt").exists()
    pretrain(tmp_path / "run", embedding=2, precision="bf16")
    for name in ("model.pt", "history.csv"):
        assert (tmp_path / "run" / name).read_bytes() == (run_folder / name).read_bytes()


@pytest.mark.parametrize(
    "wrong",
    [
        {"label_smoothing": 2},
        {"pooling": "max"},
        {"levels": [0]},
        {"embedding": 0},
        {"precision": "fp16"},
        {"batch_size": 0},
        {"learning_rate": -1},
        {"gradient_norm": -1},
    ],
)
def test_a_wrong_value_is_refused_before_a_folder_is_claimed(pretrain, tmp_path, wrong):
    with pytest.raises((ConfigError, RuntimeError)) as refused:
        pretrain(tmp_path / "run", **wrong)
    assert isinstance(refused.value, ConfigError) or isinstance(refused.value.__cause__, ConfigError | ValueError)
    assert not (tmp_path / "run").exists()


def test_a_finished_run_says_so_and_another_one_is_refused(pretrain, run_folder, capsys):
    before = (run_folder / "model.pt").read_bytes()
    pretrain(run_folder, embedding=2, precision="bf16")
    assert "This run is finished" in capsys.readouterr().out
    with pytest.raises(RuntimeError, match="RunFolder") as refused:
        pretrain(run_folder, embedding=2, precision="fp32")
    assert "precision: bf16 → fp32" in str(refused.value.__cause__)
    assert (run_folder / "model.pt").read_bytes() == before


def test_evaluating_again_finds_the_recorded_accuracy(pretrain, run_folder, capsys):
    pretrain(run_folder, "evaluating", embedding=2)
    accuracy = json.loads((run_folder / "metrics.json").read_text())["accuracy"]
    assert f"test accuracy {accuracy:.4f}, recorded {accuracy:.4f}" in capsys.readouterr().out
