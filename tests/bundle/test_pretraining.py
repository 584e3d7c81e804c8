"""The table of finished pretrainings, and the weights that go from their runs into the bundle."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

from mpmri_monai import artefacts
from mpmri_monai.bundle.adopt import contents
from mpmri_monai.bundle.provenance import seen_by
from mpmri_monai.errors import BundleError

ROOT = Path(__file__).resolve().parents[2]
COPY = "CIFAR-10, JPEG q75 copy"


@pytest.fixture(scope="module")
def benchmark():
    spec = importlib.util.spec_from_file_location("pretraining", ROOT / "benchmarks" / "pretraining.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def runs(tmp_path):
    """runs(seed=0, accuracy=0.9, …) writes what a finished run leaves, and returns the folder of all of them."""

    def write(seed=0, accuracy=0.9, dataset="cifar10", pooling="spp", embedding=32, epochs=60, images=COPY, **recipe):
        folder = tmp_path / "runs" / f"{dataset}_{pooling}{embedding}_{seed}_{epochs}"
        config = json.loads((ROOT / "bundles" / "natural_pretrain" / "configs" / "train.json").read_text())
        config |= {"dataset": dataset, "pooling": pooling, "embedding": embedding, "seed": seed, "max_epochs": epochs}
        config |= {"dataset_dir": "/somewhere", "output_dir": str(folder), "device": "cpu", "levels": [1, 2, 4]}
        artefacts.write_json(folder / "config.json", config)
        artefacts.write_text(folder / "model.pt", f"weights {seed} {epochs}")
        test = {"images": images, "accuracy": accuracy, "epochs": epochs, "seed": seed, "precision": "bf16"}
        reference = {
            "schema": "mpmri-monai/pretrained/1",
            "images": images,
            "network": {"pooling": pooling, "embedding": embedding},
            "recipe": {"max_epochs": epochs, "seed": seed, "learning_rate": 0.1} | recipe,
            "weights_sha256": artefacts.file_digest(folder / "model.pt"),
            "trained_on": {"seen": []},
            "test": test | {"parameters": 280_000, "seconds_per_epoch": 60.0},
        }
        artefacts.write_json(folder / "reference.json", reference)
        return tmp_path / "runs"

    return write


@pytest.fixture
def bundle(tmp_path):
    folder = tmp_path / "bundle"
    artefacts.write_text(folder / "docs" / "README.md", "# b\n\n## Weights\n\n| old |\n\nText.\n\n## Data\n")
    return folder


def rows_of(benchmark, folder):
    return benchmark.table(benchmark.finished_runs(folder)).splitlines()[2:]


def test_seeds_of_one_recipe_make_one_row_and_other_recipes_another(benchmark, runs):
    for seed, accuracy in enumerate((0.88, 0.89, 0.90)):
        runs(seed, accuracy)
    runs(epochs=5, accuracy=0.7, gradient_norm=1.0)
    folder = runs(dataset="mnist", images="MNIST", accuracy=0.996)
    rows = rows_of(benchmark, folder)
    assert len(rows) == 3
    assert rows[0].startswith("| MNIST | SPP | 32 | 99.60 | 99.61 | 1 | 60 ")
    assert rows[1].startswith(f"| {COPY} | SPP | 32 | 70.00 | 90.48 | 1 | 5 | 0.1 | 1.0 |")
    assert rows[2].startswith(f"| {COPY} | SPP | 32 | 89.00 ± 1.00 | 90.48 | 3 | 60 | 0.1 | any |")


def test_what_is_missing_is_named_by_its_command(benchmark, runs):
    commands = benchmark.missing_commands(benchmark.finished_runs(runs(seed=0)))
    assert len(commands) == 2 * (8 + 2) - 1
    assert not [command for command in commands if "cifar10 --pooling spp --embedding 32 --seed 0" in command]
    assert [command for command in commands if "cifar10 --pooling spp --embedding 32 --seed 2" in command]


def test_shipped_weights_carry_their_reference_and_command(benchmark, runs, bundle):
    runs(seed=1)
    runs(epochs=5)
    shipped = benchmark.ship(benchmark.finished_runs(runs(embedding=2, pooling="gap")), bundle)
    shipped = benchmark.ship(benchmark.finished_runs(runs(accuracy=0.8861)), bundle)
    assert [path.name for path in shipped] == ["cifar10_gap2.pt", "cifar10_spp32.pt"]
    assert shipped[1].read_text() == "weights 0 60"
    reference = json.loads(shipped[1].with_suffix(".json").read_text())
    assert reference["command"].startswith("python -m monai.bundle run training --config_file bundles/natural_pretrain")
    assert "--levels [1,2,4]" in reference["command"] and "somewhere" not in reference["command"]
    assert seen_by(str(shipped[1])) == []
    card = (bundle / "docs" / "README.md").read_text()
    assert f"| cifar10_spp32.pt | {COPY} | 88.61 | 0 | 60 |" in card and "| old |" not in card and "\nText." in card
    assert json.loads((bundle / "contents.json").read_text()) == contents(bundle)


def test_weights_that_their_reference_does_not_describe_are_not_shipped(benchmark, runs, bundle):
    folder = runs()
    artefacts.write_text(folder / "cifar10_spp32_0_60" / "model.pt", "others")
    with pytest.raises(BundleError, match="others"):
        benchmark.ship(benchmark.finished_runs(folder), bundle)
    with pytest.raises(BundleError, match="none"):
        benchmark.ship([], bundle)
    assert not (bundle / "models").exists()
