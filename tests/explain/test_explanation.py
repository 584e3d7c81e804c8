"""The whole explanation of a lesion: its parts fit together, the network comes back as it was, misuse is refused."""

import numpy as np
import pytest
import torch

from mpmri_monai.errors import ConfigError
from mpmri_monai.explain import explain
from mpmri_monai.networks import ARCHITECTURES, build_network

CLASSES, FUSION = ("well", "moderately", "poorly"), ("T2", "OUT", "S4")
WITHOUT_MAP = {"dense", "axial", "three_view", "three_view_bag", "multi_size"}
SEEN_3D, STORED_3D = (4, 16, 16), (6, 20, 20)


def of_planes(network, samples=2, **arguments):
    generator = torch.Generator().manual_seed(3)
    image = torch.rand(samples, 3, 52, 52, generator=generator)
    present, extent = torch.ones(samples, 3, dtype=torch.bool), torch.full((samples,), 20.0)
    return explain(network, image, present, extent, CLASSES, **{"fusion": FUSION, "size": 32} | arguments)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(1)
    return build_network("spp_resnet", in_channels=3, num_classes=3)


def test_it_is_about_the_class_that_was_asked_for(network):
    found = {name: of_planes(network, samples=1, predicted=name) for name in CLASSES}
    assert [found[name].explained for name in CLASSES] == list(CLASSES)
    assert sum(item.probability for item in found.values()) == pytest.approx(1)
    own = of_planes(network, samples=1)
    assert own.explained == max(found, key=lambda name: found[name].probability)


def test_shapes_and_ranges_of_planes(network):
    found = of_planes(network)
    assert found.grad_cam.shape == (2, 32, 32) and found.grad_cam.dtype == np.float32
    assert found.grad_cam.min() >= 0 and found.grad_cam.max() == pytest.approx(1)
    assert found.occlusion.shape == (32, 32) and found.occlusion.dtype == np.float32
    assert -found.probability <= found.occlusion.min() and found.occlusion.max() <= 1 - found.probability
    assert list(found.importance) == list(FUSION)
    assert found.variants == 90 and 0 <= found.agreement <= 1


@pytest.mark.parametrize("architecture", [name for name in ARCHITECTURES if name not in ("spp_resnet", "subset")])
def test_every_network_of_volumes_is_explained(architecture):
    network = build_network(architecture, in_channels=2, num_classes=2, size=list(SEEN_3D))
    image = torch.rand(1, 2, *STORED_3D, generator=torch.Generator().manual_seed(0))
    present = torch.ones(1, 2, dtype=torch.bool)
    found = explain(network, image, present, torch.tensor([20.0]), ("a", "b"), fusion=("T2", "S4"), size=SEEN_3D)
    assert found.occlusion.shape == SEEN_3D and set(found.importance) == {"T2", "S4"} and found.variants == 5
    assert (found.grad_cam is None) == (architecture in WITHOUT_MAP)


def test_the_network_comes_back_as_it_was_and_gives_the_same_again(network):
    network.tune(1)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with torch.no_grad():  # as inside an evaluator
        first, second = of_planes(network), of_planes(network)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())
    hooks = [len(module._forward_hooks) + len(module._backward_hooks) for module in network.modules()]
    assert not any(hooks)
    assert network.frozen_layers and not network.stage3[0].conv1.weight.requires_grad
    assert np.array_equal(first.grad_cam, second.grad_cam) and np.array_equal(first.occlusion, second.occlusion)
    assert first.grad_cam.max() == pytest.approx(1)  # frozen layers are seen through all the same
    network.tune(-1)


@pytest.mark.parametrize(
    "wrong", [{"predicted": "benign"}, {"fusion": ("T2", "S4")}, {"classes": ("a", "b")}, {"present": (2, 2)}]
)
def test_what_does_not_fit_is_refused(network, wrong):
    image = torch.rand(2, 3, 52, 52)
    present = torch.ones(wrong.get("present", (2, 3)), dtype=torch.bool)
    names = {"fusion": wrong.get("fusion", FUSION), "predicted": wrong.get("predicted")}
    with pytest.raises(ConfigError):
        explain(network, image, present, torch.full((2,), 20.0), wrong.get("classes", CLASSES), size=32, **names)


def test_no_sample_is_refused(network):
    nothing = torch.rand(0, 3, 52, 52)
    with pytest.raises(ConfigError):
        explain(network, nothing, nothing[:, :, 0, 0].bool(), nothing[:, 0, 0, 0], CLASSES, fusion=FUSION, size=32)
