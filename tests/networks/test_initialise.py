import math

import pytest
import torch
from torch import nn

from mpmri_monai.errors import ConfigError
from mpmri_monai.networks import INITS, MCTLNetwork, PatchAutoencoder, SPPResNet, initialise

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


CONVOLUTIONS_3D = (nn.Conv3d, nn.ConvTranspose3d)


def in_3d(init, network=MCTLNetwork):
    torch.manual_seed(1)
    made = MCTLNetwork(4, 2, (4, 8, 8), layers=3) if network is MCTLNetwork else PatchAutoencoder(4, layers=3)
    initialise(made, init)
    return made


@pytest.mark.parametrize("network", [MCTLNetwork, PatchAutoencoder])
@pytest.mark.parametrize("init", INITS)
def test_3d_convolutions_are_drawn_as_2d_ones(network, init):
    for module in in_3d(init, network).modules():
        if isinstance(module, CONVOLUTIONS_3D):
            weight = module.weight.detach()
            fan_in, fan_out = 27 * weight.shape[1], 27 * weight.shape[0]
            sd = {"he": math.sqrt(2 / fan_out), "gaussian": 0.01, "xavier": math.sqrt(2 / (fan_in + fan_out))}[init]
            assert_moments(weight.flatten(), sd)
            assert not module.bias.any()


@pytest.mark.parametrize("init", INITS)
def test_initialising_leaves_standardisation_alone(init):
    network = in_3d(init)
    assert not network.standardise.mean.any() and (network.standardise.range == 1).all() and not network.absent.any()
