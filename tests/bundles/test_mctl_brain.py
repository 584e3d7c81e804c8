"""The mctl_brain bundle from end to end, on a small cohort of volumes made here."""

import json

import nibabel
import numpy as np
import pandas as pd
import pytest
import torch
from monai.bundle import ConfigWorkflow

from mpmri_monai.bundle.adopt import contents
from mpmri_monai.bundle.audit import audit_run
from mpmri_monai.errors import MpmriError

QUICK = {"copies": 4, "max_epochs": 2, "filters": 4, "dense": 4, "embedding": 4}
TRAIN, VAL, TEST = range(6), (6, 7), range(8, 12)


@pytest.fixture(scope="module")
def splits(write_splits_of, tmp_path_factory):
    return write_splits_of(tmp_path_factory.mktemp("splits") / "splits.csv", train=TRAIN, val=VAL, test=TEST)


@pytest.fixture(scope="module")
def classify(run_here, brains, splits, small_grid):
    """classify(folder, …) trains a small classifier on the small cohort."""
    quick = small_grid | QUICK | {"split#file": str(splits), "manifest": str(brains), "results": "predictions"}
    return lambda folder, **options: run_here("mctl_brain", folder, **(quick | options))


@pytest.fixture(scope="module")
def encoder(run_here, brains, splits, small_grid, tmp_path_factory):
    """The encoder of an autoencoder that saw the training patients of the splits alone."""
    quick = small_grid | {"samples#grid#patches": 40, "max_epochs": 1, "batch_size": 16, "filters": 4}
    folder = tmp_path_factory.mktemp("encoders") / "run"
    quick |= {"split#file": str(splits), "split#val": 0, "manifest": str(brains), "results": "predictions"}
    return run_here("mctl_autoencoder", folder, **quick) / "encoder.pt"


@pytest.fixture(scope="module")
def run_folder(classify, encoder, tmp_path_factory):
    """A finished training with everything, started from the encoder."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    return classify(folder, results="report", pretrained=str(encoder), keep_best="yes")


def test_a_run_leaves_everything_that_its_folder_promises(run_folder):
    names = {path.name for path in run_folder.iterdir()}
    assert {"config.json", "environment.json", "splits.csv", "log.txt", "warm_start.json"} <= names
    assert {"model.pt", "best.pt", "reference.json", "history.csv", "predictions.csv", "metrics.json"} <= names
    assert {"figures", "report.html"} <= names
    rows = pd.read_csv(run_folder / "predictions.csv")
    assert sorted(rows["patient"]) == [f"P{number:02d}" for number in range(12)]  # one sample a lesion
    assert (rows[["p_healthy", "p_unhealthy"]].sum(axis=1) - 1).abs().max() < 1e-6
    metrics = json.loads((run_folder / "metrics.json").read_text())
    assert set(metrics["levels"]) == {"slice", "lesion", "patient"}


def test_transfer_takes_the_convolutions_and_the_standardisation_is_that_of_the_training_samples(run_folder):
    started = json.loads((run_folder / "warm_start.json").read_text())
    outcomes = {one["tensor"]: one["outcome"] for one in started["tensors"]}
    assert {name for name, outcome in outcomes.items() if outcome == "taken"} == {
        f"conv{number}.{kind}" for number in (1, 2) for kind in ("weight", "bias")
    }
    assert outcomes["standardise.mean"] == outcomes["dense.weight"] == outcomes["classifier.weight"] == "fresh"
    state = torch.load(run_folder / "model.pt", weights_only=True)
    assert 0 < float(state["standardise.mean"][0]) < 1 and 0 < float(state["standardise.range"][0]) <= 1


def test_an_audit_knows_whom_the_encoder_has_seen(run_folder, classify, encoder, write_splits_of, tmp_path):
    outcomes = {row["check"]: row["outcome"] for row in audit_run(run_folder)}
    assert set(outcomes.values()) == {"passed"}
    turned = write_splits_of(tmp_path / "splits.csv", train=range(6, 12), test=TRAIN)
    leaking = classify(tmp_path / "run", pretrained=str(encoder), **{"split#file": str(turned)})
    leaks = [row for row in audit_run(leaking) if row["outcome"] == "LEAK"]
    assert len(leaks) == 1 and "6 of 6" in leaks[0]["found"]


def test_copies_of_held_out_patients_never_train(classify, write_brains, tmp_path):
    """Where only patients who validate or test have other voxels, not a bit of the weights is another.

    All that is fitted is in them: what was learned from the copies, and the standardisation.
    """
    held_out = [f"P{number:02d}" for number in (*VAL, *TEST)]
    with_others = write_brains(tmp_path / "held_out", changed=held_out)
    with_another = write_brains(tmp_path / "trained", changed=["P01"])
    options = {"copies": 32, "keep_best": "no"}
    plain = classify(tmp_path / "plain", **options)
    same = classify(tmp_path / "same", manifest=str(with_others), **options)
    other = classify(tmp_path / "other", manifest=str(with_another), **options)
    read = [(folder / "model.pt").read_bytes() for folder in (plain, same, other)]
    assert read[0] == read[1] != read[2]
    before, after = (pd.read_csv(folder / "predictions.csv").set_index("patient") for folder in (plain, same))
    moved = before["p_healthy"] != after["p_healthy"]
    assert set(before.index[moved]) == set(held_out)  # the pictures were indeed others
    assert not pd.read_csv(same / "predictions.csv")["sample"].str.contains("+", regex=False).any()


def test_evaluating_again_gives_the_same_bytes(run_folder, run_here, brains, splits, small_grid):
    before = (run_folder / "predictions.csv").read_bytes()
    options = small_grid | QUICK | {"split#file": str(splits), "manifest": str(brains)}
    run_here("mctl_brain", run_folder, run_id="evaluating", **options)
    assert (run_folder / "predictions.csv").read_bytes() == before


def test_killed_and_resumed_equals_uninterrupted(classify, run_folder, encoder, tmp_path):
    options = {"pretrained": str(encoder), "keep_best": "yes", "results": "report"}
    with pytest.raises(BaseException) as death:
        classify(tmp_path / "run", stopped_in=2, **options)
    assert "Stopped" in repr(death.value) + repr(death.value.__cause__)
    classify(tmp_path / "run", **options)
    for name in ("model.pt", "history.csv", "predictions.csv"):
        assert (tmp_path / "run" / name).read_bytes() == (run_folder / name).read_bytes(), name


@pytest.mark.parametrize("architecture", ["dense", "cnn", "resnet10", "axial", "three_view_bag"])
def test_other_networks_take_its_place_by_one_key(classify, tmp_path, architecture):
    folder = classify(
        tmp_path / "run", architecture=architecture, max_epochs=1, copies=1, **{"samples#grid#pixels": 16}
    )
    rows = pd.read_csv(folder / "predictions.csv")
    assert rows[["p_healthy", "p_unhealthy"]].notna().all(axis=None)


@pytest.mark.parametrize("features", ["network", "voxels"])
def test_classical_heads_are_fitted_on_an_encoder_or_on_voxels(classify, encoder, tmp_path, features):
    options = {"head": "svm", "features": features, "finetune_depth": 0}
    if features == "network":
        options["pretrained"] = str(encoder)
    folder = classify(tmp_path / "run", **options)
    assert not (folder / "history.csv").exists()
    assert len(pd.read_csv(folder / "predictions.csv")) == 12


def test_several_sequences_of_which_one_may_be_missing(classify, tmp_path):
    folder = classify(tmp_path / "run", fusion="T2-S0")
    rows = pd.read_csv(folder / "predictions.csv").set_index("patient")
    assert not rows.loc["P03", "present_S0"] and rows["present_S0"].sum() == 11
    assert torch.load(folder / "model.pt", weights_only=True)["absent"][1] != 0  # learned from the one without it


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"architecture": "mtcl"}, "did you mean mctl"),
        ({"layers": 4}, "1 to 3 convolution layers"),
        ({"keep_best": "maybe"}, "auto, yes, no"),
        ({"features": "voxels"}, "--head logistic"),
        ({"copies": 0}, "at least 1 copy"),
        ({"finetune_depth": 9}, "conv1, conv2, dense, head"),
        ({"samples#grid#pixels": 200}, "E_GRID"),
        ({"task": "brian"}, "did you mean brain"),
        ({"copys": 4}, "did you mean --copies"),
        ({"samples#grid#slice": 4}, "did you mean --samples#grid#slices"),
    ],
)
def test_a_wrong_value_gives_one_clear_error_before_a_folder_is_claimed(classify, tmp_path, wrong, message):
    with pytest.raises((MpmriError, RuntimeError)) as refused:
        classify(tmp_path / "run", **wrong)
    errors = [refused.value]
    while errors[-1].__cause__ is not None:
        errors.append(errors[-1].__cause__)
    assert any(isinstance(error, MpmriError) and message in str(error) for error in errors)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("number", [3, 8])
def test_a_role_without_one_of_the_classes_is_refused(classify, write_splits_of, tmp_path, number):
    """Patients of even numbers are healthy."""
    healthy = [n for n in range(12) if n % 2 == 0]
    roles = {"train": [n for n in range(12) if n not in healthy[:number]], "test": healthy[:number]}
    path = write_splits_of(tmp_path / "splits.csv", **roles)
    with pytest.raises((MpmriError, RuntimeError)) as refused:
        classify(tmp_path / "run", **{"split#file": str(path)})
    assert "E_CLASS_EMPTY" in repr(refused.value) + repr(refused.value.__cause__)
    assert not (tmp_path / "run").exists()


def test_a_cohort_of_one_class_is_refused(classify, write_brains, tmp_path):
    manifest = write_brains(tmp_path / "c")
    manifest.write_text(manifest.read_text().replace('{"brain": "unhealthy"}', '{"brain": "healthy"}'))
    with pytest.raises((MpmriError, RuntimeError)) as refused:
        classify(tmp_path / "run", manifest=str(manifest), **{"split#file": ""})
    assert "E_CLASS_EMPTY" in repr(refused.value) + repr(refused.value.__cause__)


@pytest.mark.parametrize(("value", "why"), [(7.0, "E_WINDOW"), (np.nan, "finite")])
def test_a_constant_volume_and_one_of_nan_leave_their_study_out(classify, write_brains, tmp_path, value, why, capsys):
    manifest = write_brains(tmp_path / "c")
    image = nibabel.load(manifest.parent / "P00_T2.nii.gz")
    voxels = np.array(image.dataobj)
    voxels[5:20] = value
    if np.isfinite(value):
        voxels[:] = value
    nibabel.save(nibabel.Nifti1Image(voxels, image.affine), manifest.parent / "P00_T2.nii.gz")
    folder = classify(tmp_path / "run", manifest=str(manifest))
    assert "P00" not in set(pd.read_csv(folder / "predictions.csv")["patient"])
    told = capsys.readouterr().err
    assert "1 of 12 studies were left out" in told and why in told


def test_the_best_epoch_needs_patients_to_choose_by(classify, write_splits_of, tmp_path):
    without = write_splits_of(tmp_path / "splits.csv", train=range(8), test=TEST)
    with pytest.raises((MpmriError, RuntimeError)) as refused:
        classify(tmp_path / "run", keep_best="yes", **{"split#file": str(without)})
    assert "validation patients" in repr(refused.value) + repr(refused.value.__cause__)
    assert not (tmp_path / "run").exists()


def test_monai_finds_every_property_where_it_looks(brains, splits, small_grid, cache, root, tmp_path, monkeypatch):
    monkeypatch.setenv("MPMRI_CACHE", str(cache))
    options = small_grid | QUICK | {"manifest": str(brains), "split#file": str(splits), "output_dir": str(tmp_path)}
    config = root / "bundles" / "mctl_brain" / "configs" / "train.json"
    training = ConfigWorkflow(config, workflow_type="train", logging_file=False, num_workers=0, threads=1, **options)
    training.initialize()
    assert training.check_properties() == []
    training.finalize()


def test_its_contents_are_those_that_it_names(root):
    bundle = root / "bundles" / "mctl_brain"
    assert json.loads((bundle / "contents.json").read_text()) == contents(bundle)
