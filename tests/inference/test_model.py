"""A trained model of any architecture, from its weights and its reference."""

import json
from types import SimpleNamespace

import pytest
import torch

from mpmri_monai.artefacts import file_digest
from mpmri_monai.errors import BundleError, ConfigError, WeightsError
from mpmri_monai.inference import TrainedModel
from mpmri_monai.networks import build_network, save_weights
from mpmri_monai.samples import Settings
from mpmri_monai.training import AveragingInferer, Inferer

GRID = Settings(grid={"slices": 4, "pixels": 9}, window="central", trim=0.05, background=False)
VOLUME = {"architecture": "mctl", "in_channels": 2, "num_classes": 2, "size": [4, 9, 9], "filters": 4, "dense": 8}
PLANE = {"in_channels": 2, "num_classes": 2, "embedding": 4}


@pytest.fixture
def folder(tmp_path):
    """folder(trained, described, …) holds weights of the one network, and a reference that describes the other."""

    def make(trained, described, settings, pixels, **more):
        (tmp_path / "configs").mkdir()
        (tmp_path / "configs/metadata.json").write_text("{}")
        torch.manual_seed(0)
        network = build_network(**trained)
        save_weights(network, tmp_path / "model.pt")
        reference = {
            "schema": "mpmri-monai/reference/1",
            "task": "brain",
            "sequences": ["T2", "T1"],
            "fusion": "T2-T1",
            "pixels": pixels,
            "samples": settings.model_dump(mode="json"),
            "network": described,
            "weights_sha256": file_digest(tmp_path / "model.pt"),
            "present": {},
            "ranges": {},
            **more,
        }
        (tmp_path / "reference.json").write_text(json.dumps(reference))
        return TrainedModel(tmp_path, tmp_path), network.eval()

    return make


@torch.no_grad()
def test_a_network_of_volumes_answers_as_it_did_when_it_was_saved(folder):
    model, trained = folder(VOLUME, VOLUME, GRID, [4, 9, 9])
    assert model.size == model.seen_size == (4, 9, 9)
    assert type(model.inferer()) is Inferer
    image = torch.rand(3, 2, 4, 9, 9)
    assert torch.equal(model.inferer()(image, model.network()), trained(image))


@torch.no_grad()
def test_references_that_name_no_architecture_are_of_the_first_one(folder):
    model, trained = folder(PLANE, PLANE, Settings(), 32)
    assert model.size == (32, 32)
    image = torch.rand(3, 2, 32, 32)
    assert torch.equal(model.network()(image), trained(image))


def test_an_averaging_model_sees_the_stored_crop(folder):
    model, _ = folder(PLANE, PLANE, Settings(), 32, averaging=True)
    assert model.seen_size == (52, 52)
    assert type(model.inferer()) is AveragingInferer


def test_weights_of_another_geometry_and_unknown_architectures_are_refused(folder):
    taller = GRID.model_copy(update={"grid": GRID.grid.model_copy(update={"slices": 6})})
    model, _ = folder(VOLUME, VOLUME | {"size": [6, 9, 9]}, taller, [6, 9, 9])
    with pytest.raises(WeightsError):
        model.network()
    model.reference["network"]["architecture"] = "mclt"
    with pytest.raises(ConfigError, match="mctl"):
        model.network()


@pytest.mark.parametrize("classes", [["a\\b", "c"], ["<b>", "c"], [1, 2], "ab", [["a"], "b"]])
def test_classes_of_elsewhere_have_names_as_manifests_have_them(folder, classes):
    """They become columns, codes and words of a report."""
    with pytest.raises(BundleError, match="classes with names of"):
        folder(PLANE, PLANE, Settings(), 32, task="kind", classes=classes)


@pytest.mark.parametrize(
    "entry",
    [
        {"pixels": "x"},
        {"pixels": [1, 2, 3, 4]},
        {"pixels": 16},
        {"samples": []},
        {"fitted": 5},
        {"ranges": {"extent_mm": ["a", "b"]}},
        {"ranges": {"signal": {"T2": [1.0]}}},
        {"sequences": None},
        {"task": ["brain"]},
        {"required": 5},
        {"trained_on": "x"},
        {"results": [1]},
    ],
)
def test_a_reference_of_elsewhere_may_be_anything_and_is_refused_in_words(folder, entry):
    settings = SimpleNamespace(model_dump=lambda mode: entry.get("samples", Settings().model_dump(mode=mode)))
    others = {name: value for name, value in entry.items() if name != "samples"}
    with pytest.raises(BundleError, match="reference of schema"):
        folder(PLANE, PLANE, settings, **{"pixels": 32} | others)


@pytest.mark.parametrize("network", [{"in_channels": 10**9}, {"embedding": 10**12}, {"embedding": "x"}])
def test_no_memory_is_taken_for_a_network_that_the_weights_are_not_of(folder, network):
    model, _ = folder(PLANE, PLANE | network, Settings(), 32)
    with pytest.raises((BundleError, ConfigError, WeightsError)):
        model.network()
