"""Training that goes on with weights of the same task: their head, and the statistics of their batch norms."""

import json

import pytest
import torch
from torch import nn

from mpmri_monai.artefacts import file_digest
from mpmri_monai.bundle.network import start_from
from mpmri_monai.errors import ConfigError, WeightsError
from mpmri_monai.networks import SPPResNet, save_weights

HERE = {"task": "hcc_grade", "fusion": "T2-S4", "samples": {"pixels": 32, "seed": 0}, "network": {"embedding": 4}}


def network():
    return SPPResNet(in_channels=2, num_classes=3, embedding=4)


@pytest.fixture
def weights(tmp_path):
    """Weights whose batch norms have seen something, with their reference."""
    torch.manual_seed(1)
    made = network()
    made(torch.rand(8, 2, 32, 32), torch.ones(8, 2, dtype=torch.bool), torch.full((8,), 20.0))
    save_weights(made, tmp_path / "model.pt")
    write_reference(tmp_path, HERE)
    return tmp_path / "model.pt"


def write_reference(folder, content):
    content = {**content, "weights_sha256": file_digest(folder / "model.pt")}
    (folder / "reference.json").write_text(json.dumps(content))


def test_the_head_is_kept_for_the_same_task_alone(weights):
    wanted = torch.load(weights, weights_only=True)["classifier.weight"]
    assert torch.equal(start_from(network(), str(weights), same_task=HERE).classifier.weight, wanted)
    assert not torch.equal(start_from(network(), str(weights)).classifier.weight, wanted)


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"task": "hcc_vs_bg"}, "task"),
        ({"fusion": "S4-T2"}, "fusion"),
        ({"samples": {"pixels": 16, "seed": 0}}, "samples#pixels"),
    ],
)
def test_another_question_is_refused_by_name(weights, changed, named):
    with pytest.raises(WeightsError, match=named):
        start_from(network(), str(weights), same_task=HERE | changed)


def test_weights_without_their_own_reference_are_refused(weights):
    (weights.parent / "reference.json").write_text(json.dumps({**HERE, "weights_sha256": "of others"}))
    with pytest.raises(WeightsError, match=r"reference\.json"):
        start_from(network(), str(weights), same_task=HERE)
    (weights.parent / "reference.json").unlink()
    with pytest.raises(WeightsError, match=r"reference\.json"):
        start_from(network(), str(weights), same_task=HERE)


@pytest.mark.parametrize("option", [{"same_task": HERE}, {"keep_statistics": True}])
def test_from_scratch_there_is_nothing_to_keep(option):
    with pytest.raises(ConfigError, match="pretrained weights"):
        start_from(network(), "scratch", **option)


def test_statistics_are_kept_while_all_layers_learn(weights):
    made = start_from(network(), str(weights), same_task=HERE, keep_statistics=True).train()
    before = {name: tensor.clone() for name, tensor in made.state_dict().items()}
    image, present = torch.rand(4, 2, 32, 32), torch.ones(4, 2, dtype=torch.bool)
    made(image, present, torch.full((4,), 20.0)).sum().backward()
    after = made.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before if "running" in name or "tracked" in name)
    norms = [module for module in made.modules() if isinstance(module, nn.BatchNorm2d)]
    assert norms
    assert all(norm.weight.grad is not None and not norm.training for norm in norms)
    assert made.training


def test_what_is_done_to_a_sample_then_depends_on_no_other(weights):
    made = start_from(network(), str(weights), same_task=HERE, keep_statistics=True).train()
    image, present, extent = torch.rand(4, 2, 32, 32), torch.ones(4, 2, dtype=torch.bool), torch.full((4,), 20.0)
    with torch.no_grad():
        together, alone = made(image, present, extent)[:1], made(image[:1], present[:1], extent[:1])
    assert torch.allclose(together, alone, atol=1e-5)


def gradients(made, image, extent, label):
    made.zero_grad()
    present = torch.ones(len(image), 2, dtype=torch.bool)
    nn.functional.cross_entropy(made(image, present, extent), label).backward()
    return torch.cat([parameter.grad.flatten() for parameter in made.parameters() if parameter.grad is not None])


@pytest.mark.parametrize("kept", [True, False])
def test_processes_that_average_their_gradients_then_train_as_one_on_the_joint_batch(weights, kept):
    made = start_from(network(), str(weights), same_task=HERE, keep_statistics=kept).train()
    generator = torch.Generator().manual_seed(0)
    image, label = torch.rand(8, 2, 32, 32, generator=generator), torch.tensor([0, 1, 2, 0, 1, 2, 0, 1])
    extent = torch.linspace(10, 40, 8)
    parts = [gradients(made, image[rank::2], extent[rank::2], label[rank::2]) for rank in (0, 1)]
    joint = gradients(made, image, extent, label)
    assert torch.allclose((parts[0] + parts[1]) / 2, joint, rtol=1e-3, atol=1e-5) is kept
