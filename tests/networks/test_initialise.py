import math

import pytest
import torch
from torch import nn

from mpmri_monai.errors import ConfigError
from mpmri_monai.networks import INITS, SPPResNet, initialise

SEVERAL_SE = 5
"""Standard errors that a sample's moments may lie off: met by chance once in a million draws."""


def weights(network, kind=(nn.Conv2d, nn.Linear)):
    return [module.weight.detach() for module in network.modules() if isinstance(module, kind)]


def drawn(init):
    torch.manual_seed(1)
    network = SPPResNet()
    initialise(network, init)
    return network


def assert_moments(values, sd):
    standard_error = sd / math.sqrt(values.numel())
    assert abs(values.mean()) < SEVERAL_SE * standard_error
    assert abs(values.std() - sd) < SEVERAL_SE * standard_error


def test_gaussian_weights_have_one_spread_whatever_the_layer():
    for weight in weights(drawn("gaussian")):
        assert_moments(weight.flatten(), 0.01)


def test_xavier_weights_are_uniform_within_glorots_bound():
    for weight in weights(drawn("xavier")):
        area = weight[0, 0].numel()
        bound = math.sqrt(6 / (area * (weight.shape[0] + weight.shape[1])))
        assert weight.abs().max() <= bound
        assert_moments(weight.flatten(), bound / math.sqrt(3))


def test_he_convolutions_keep_the_variance_of_gradients():
    for weight in weights(drawn("he"), nn.Conv2d):
        assert_moments(weight.flatten(), math.sqrt(2 / (weight.shape[0] * 9)))


def test_he_is_what_the_network_drew_when_it_was_made():
    torch.manual_seed(1)
    made = SPPResNet().state_dict()
    assert all(torch.equal(made[name], tensor) for name, tensor in drawn("he").state_dict().items())


@pytest.mark.parametrize("init", ["gaussian", "xavier"])
def test_biases_begin_at_zero(init):
    network = drawn(init)
    assert not network.embedding.bias.any() and not network.classifier.bias.any()


@pytest.mark.parametrize("init", INITS)
def test_only_weights_are_random_and_the_seed_decides_them(init):
    network, again = drawn(init), drawn(init)
    assert all(torch.equal(tensor, again.state_dict()[name]) for name, tensor in network.state_dict().items())
    assert not network.absent.any()
    for norm in (module for module in network.modules() if isinstance(module, nn.BatchNorm2d)):
        assert (norm.weight == 1).all() and (norm.bias == 0).all() and (norm.running_var == 1).all()


def test_an_unknown_init_is_refused():
    with pytest.raises(ConfigError, match="xavier"):
        initialise(SPPResNet(), "orthogonal")
