import math

import pytest
import torch
from torch.nn import functional

from mpmri_monai.errors import ConfigError
from mpmri_monai.networks import MCTLNetwork

SIZE = (4, 13, 13)


def test_sizes_of_the_paper():
    network = MCTLNetwork(1, 2, (4, 25, 25), layers=3, filters=64, dense=16)
    assert [tuple(network.get_parameter(f"conv{i}.weight").shape) for i in (1, 2, 3)] == [
        (64, 1, 3, 3, 3),
        (64, 64, 3, 3, 3),
        (64, 64, 3, 3, 3),
    ]
    assert network.dense.weight.shape == (16, 64 * 4 * 25 * 25)
    assert network.layer_names == ("conv1", "conv2", "conv3", "dense", "head")


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_convolutions_keep_the_size_and_are_those_of_the_definition(layers):
    torch.manual_seed(0)
    network, image = MCTLNetwork(2, 2, SIZE, layers, filters=5), torch.rand(3, 2, *SIZE)
    expected = image
    for number in range(1, layers + 1):
        weight, bias = (network.get_parameter(f"conv{number}.{kind}") for kind in ("weight", "bias"))
        expected = functional.conv3d(expected, weight, bias, padding=1).clamp(min=0)
    torch.testing.assert_close(network.maps(image), expected)
    assert expected.shape == (3, 5, *SIZE)


def test_the_softmax_of_the_outputs_is_the_sigmoids_normalised_to_one():
    network, image = MCTLNetwork(1, 2, SIZE).eval(), torch.rand(5, 1, *SIZE)
    sigmoids = network.classifier(network.features(image)).sigmoid()
    torch.testing.assert_close(network(image).exp(), sigmoids)
    torch.testing.assert_close(network(image).softmax(1), sigmoids / sigmoids.sum(1, keepdim=True))


@pytest.mark.parametrize("score", [-1000.0, -30.0, 30.0])
def test_outputs_are_finite_however_sure_the_network_is(score):
    network = MCTLNetwork(1, 2, SIZE)
    torch.nn.init.zeros_(network.classifier.weight)
    network.classifier.bias.data = torch.tensor([score, 0.0])
    output = network(torch.rand(1, 1, *SIZE))
    assert output[0, 0].item() == pytest.approx(min(score, -math.exp(-score) if score > 0 else score), rel=1e-4)


def test_mixed_precision_leaves_the_outputs_in_float32():
    with torch.autocast("cpu", torch.bfloat16):
        assert MCTLNetwork(1, 2, SIZE)(torch.rand(2, 1, *SIZE)).dtype == torch.float32


def test_fixed_features_need_no_dense_layer():
    network, image = MCTLNetwork(1, 2, SIZE, filters=3), torch.rand(2, 1, *SIZE)
    found = network.fixed_features(image)
    assert found.shape == (2, 27)
    torch.testing.assert_close(found[:, :3], network.maps(image).amax(dim=(2, 3, 4)))
    network.dense.weight.data.zero_()
    assert torch.equal(network.fixed_features(image), found)


@pytest.mark.parametrize("arguments", [{"layers": 0}, {"layers": 4}, {"layers": 1.5}, {"filters": 0}, {"dense": 0}])
def test_impossible_layers_are_refused(arguments):
    with pytest.raises(ConfigError):
        MCTLNetwork(1, 2, SIZE, **arguments)


def test_it_learns_a_class_that_brightness_tells():
    torch.manual_seed(0)
    label = torch.tensor([0, 1] * 8)
    image = torch.rand(16, 1, *SIZE) * 0.5 + 0.5 * label[:, None, None, None, None]
    network = MCTLNetwork(1, 2, SIZE, filters=4, dense=8)
    network.fit_standardisation(image, torch.ones(16, 1, dtype=torch.bool))
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-3)
    for _ in range(15):
        optimiser.zero_grad()
        log_sigmoid = network(image)
        log_rest = torch.log(-torch.expm1(log_sigmoid))
        loss = -torch.where(functional.one_hot(label).bool(), log_sigmoid, log_rest).mean()
        loss.backward()
        optimiser.step()
    assert torch.equal(network.eval()(image).argmax(1), label)
