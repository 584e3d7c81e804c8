import pytest
import torch
from monai.networks.nets import resnet10

from mpmri_monai.errors import ConfigError
from mpmri_monai.networks import ResNet3D


@pytest.mark.parametrize(
    ("size", "maps"),
    [((4, 25, 25), (4, 4, 4)), ((28, 28, 28), (4, 4, 4)), ((1, 13, 13), (1, 4, 4)), ((6, 32, 32), (3, 4, 4))],
)
def test_maps_are_halved_only_while_they_are_long(size, maps):
    network = ResNet3D(1, 2, size, width=2)
    assert network.maps(torch.rand(1, 1, *size)).shape == (1, 16, *maps)
    assert network(torch.rand(2, 1, *size)).shape == (2, 2)


@pytest.mark.parametrize(("depth", "blocks"), [(10, 4), (18, 8)])
def test_each_residual_block_is_a_layer(depth, blocks):
    network = ResNet3D(1, 2, (4, 13, 13), depth=depth, width=2)
    assert network.layer_names == ("stem", *(f"block{i + 1}" for i in range(blocks)), "embedding", "head")


def test_the_backbone_is_monais():
    """With MONAI's width, the state dict has its names and, but for the first convolution, its shapes."""
    own = ResNet3D(1, 2, (4, 25, 25), width=64).backbone.state_dict()
    monai = resnet10(spatial_dims=3, n_input_channels=1, feed_forward=False, bias_downsample=False).state_dict()
    assert own.keys() == monai.keys()
    assert [name for name in own if own[name].shape != monai[name].shape] == ["conv1.weight"]


@pytest.mark.parametrize("arguments", [{"depth": 34}, {"width": 0}, {"embedding": 0}, {"levels": [0]}])
def test_impossible_layers_are_refused(arguments):
    with pytest.raises(ConfigError):
        ResNet3D(1, 2, (4, 13, 13), **arguments)
