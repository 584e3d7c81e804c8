"""The mctl_autoencoder bundle from end to end, on a small cohort of volumes made here."""

import json

import pandas as pd
import pytest
import torch

from mpmri_monai.bundle.adopt import contents
from mpmri_monai.bundle.provenance import count_seen, seen_by
from mpmri_monai.cohort import read_splits
from mpmri_monai.errors import MpmriError
from mpmri_monai.networks import MCTLNetwork, warm_start

PATCHES = 60
SIZE = (2, 9, 9)


@pytest.fixture(scope="module")
def pretrain(run_here, brains, small_grid):
    """pretrain(folder, …) trains a small autoencoder on the small cohort."""
    quick = small_grid | {"samples#grid#patches": PATCHES, "max_epochs": 3, "batch_size": 16, "filters": 4}
    return lambda folder, **options: run_here(
        "mctl_autoencoder", folder, **({"manifest": str(brains)} | quick | options)
    )


@pytest.fixture(scope="module")
def trained(pretrain, tmp_path_factory):
    return pretrain(tmp_path_factory.mktemp("autoencoders") / "plain")


def test_a_run_leaves_weights_errors_curves_and_a_picture(trained):
    names = {path.name for path in trained.iterdir()}
    assert {"config.json", "environment.json", "splits.csv", "images.csv", "log.txt", "history.csv"} <= names
    assert {"model.pt", "encoder.pt", "encoder.json", "metrics.json"} <= names
    assert not [name for name in names if name.endswith(".part")]
    assert (trained / "figures" / "reconstructions.png").read_bytes()[:4] == b"\x89PNG"
    history = pd.read_csv(trained / "history.csv")
    assert list(history.columns) == ["epoch", "train_loss", "val_loss", "learning_rate"]
    assert history["train_loss"].is_monotonic_decreasing
    metrics = json.loads((trained / "metrics.json").read_text())
    assert metrics["train"]["patches"] + metrics["val"]["patches"] == PATCHES
    assert metrics["val"]["error"] == pytest.approx(history["val_loss"].iloc[-1], abs=1e-6)
    assert metrics["train"]["explained"] == pytest.approx(
        1 - metrics["train"]["error"] / metrics["train"]["variance"], abs=1e-3
    )


def test_the_mean_of_the_training_patches_is_what_the_error_is_measured_against(trained):
    state = torch.load(trained / "model.pt", weights_only=True)
    metrics = json.loads((trained / "metrics.json").read_text())
    assert 0 < float(state["standardise.mean"][0]) < 1
    assert 0 < metrics["train"]["variance"] < 0.25  # of values with a range of 1


def test_the_encoder_starts_a_classifier_of_its_own_geometry_alone(trained):
    state = torch.load(trained / "encoder.pt", weights_only=True)
    assert set(state) == {f"conv{number}.{kind}" for number in (1, 2) for kind in ("weight", "bias")}
    network = MCTLNetwork(1, 2, SIZE, layers=2, filters=4, dense=4)
    report = warm_start(network, trained / "encoder.pt")
    assert set(report.names("taken")) == set(state)
    torch.testing.assert_close(network.conv2.weight, state["conv2.weight"])
    with pytest.raises(MpmriError, match="E_WEIGHTS"):
        warm_start(MCTLNetwork(1, 2, SIZE, layers=2, filters=8, dense=4), trained / "encoder.pt")


def test_its_record_names_whom_it_has_seen_by_hashes_alone(trained):
    text = (trained / "encoder.json").read_text()
    everyone = [f"P{number:02d}" for number in range(12)]
    assert not [name for name in everyone if f'"{name}"' in text]
    assert count_seen(seen_by(str(trained / "encoder.pt")), everyone) == 12


def test_an_autoencoder_for_one_fold_never_sees_its_validation_and_test_patients(pretrain, write_splits_of, tmp_path):
    splits = write_splits_of(tmp_path / "splits.csv", train=range(6), val=(6, 7), test=range(8, 12))
    folder = pretrain(tmp_path / "run", **{"split#file": str(splits), "split#val": 0.2, "results": "predictions"})
    used = read_splits(folder / "splits.csv")
    assert set(used["patient"]) == {f"P{number:02d}" for number in range(6)}
    assert used["role"].value_counts().to_dict() == {"train": 5, "val": 1}
    seen = seen_by(str(folder / "encoder.pt"))
    assert count_seen(seen, used["patient"]) == 6
    assert count_seen(seen, [f"P{number:02d}" for number in range(6, 12)]) == 0
    assert not (folder / "figures").exists()


def test_masked_patches_without_validation_and_several_sequences(pretrain, tmp_path):
    folder = pretrain(tmp_path / "run", masked=0.4, fusion="T2-S0", precision="bf16", **{"split#val": 0})
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["masked"] == 0.4 and "val" not in metrics and metrics["train"]["patients"] == 12
    assert torch.load(folder / "encoder.pt", weights_only=True)["conv1.weight"].shape[:2] == (4, 2)


def test_killed_and_resumed_equals_uninterrupted(pretrain, trained, tmp_path):
    with pytest.raises(BaseException) as death:
        pretrain(tmp_path / "run", stopped_in=2)
    assert "Stopped" in repr(death.value) + repr(death.value.__cause__)
    assert not (tmp_path / "run" / "encoder.pt").exists()
    pretrain(tmp_path / "run")
    for name in ("model.pt", "encoder.pt", "history.csv", "metrics.json"):
        assert (tmp_path / "run" / name).read_bytes() == (trained / name).read_bytes(), name


def test_a_finished_run_says_so(pretrain, trained, capsys):
    before = (trained / "encoder.pt").read_bytes()
    pretrain(trained)
    assert "This run is finished" in capsys.readouterr().out
    assert (trained / "encoder.pt").read_bytes() == before


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"samples#grid#patches": 0}, "samples#grid#patches of at least 1"),
        ({"layers": 4}, "1 to 3 convolution layers"),
        ({"masked": 1.0}, "masked"),
        ({"split#val": 1.0}, "split#val"),
        ({"samples#grid#pixels": 200}, "E_GRID"),
        ({"fusion": "T3"}, "a fusion of T2 S0"),
        ({"precision": "fp16"}, "precision"),
        ({"results": "everything"}, "report, predictions"),
        ({"mask": 0.5}, "did you mean --masked"),
    ],
)
def test_a_wrong_value_gives_one_clear_error_before_a_folder_is_claimed(pretrain, tmp_path, wrong, message):
    with pytest.raises((MpmriError, RuntimeError)) as refused:
        pretrain(tmp_path / "run", **wrong)
    errors = [refused.value]
    while errors[-1].__cause__ is not None:
        errors.append(errors[-1].__cause__)
    assert any(isinstance(error, MpmriError) and message in str(error) for error in errors)
    assert not (tmp_path / "run").exists()


def test_its_contents_are_those_that_it_names(root):
    bundle = root / "bundles" / "mctl_autoencoder"
    assert json.loads((bundle / "contents.json").read_text()) == contents(bundle)
