import pytest

from mpmri_monai.errors import ConfigError
from mpmri_monai.networks import ARCHITECTURES, PlanesNetwork, ResNet3D, SPPResNet, build_network

EVERYTHING = {
    "in_channels": 2,
    "num_classes": 4,
    "size": [4, 13, 13],
    "layers": 1,
    "filters": 4,
    "dense": 8,
    "width": 4,
    "embedding": 16,
    "pooling": "gap",
    "levels": [1, 2],
    "dropout": 0.1,
}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_one_configuration_serves_every_architecture(architecture):
    network = build_network(architecture, **EVERYTHING)
    assert type(network) is ARCHITECTURES[architecture][0]
    assert network.classifier.out_features == 4


def test_without_a_name_it_is_the_2d_network_with_its_own_arguments():
    network = build_network(in_channels=5, embedding=2)
    assert type(network) is SPPResNet
    assert network.conv1.in_channels == 5 and network.embedding.out_features == 2


def test_the_name_fixes_an_argument():
    size = (4, 13, 13)
    assert isinstance(build_network("resnet18", in_channels=1, num_classes=2, size=size, width=2), ResNet3D)
    views = build_network("three_view_bag", in_channels=1, num_classes=2, size=size, embedding=16)
    assert isinstance(views, PlanesNetwork) and views.kind == "three_view_bag"
    assert views.embedding.out_features == 16


def test_an_unknown_architecture_names_the_nearest():
    with pytest.raises(ConfigError, match=r"E_ARCHITECTURE.*did you mean resnet10\?"):
        build_network("resnet_10")
    with pytest.raises(ConfigError, match=r"E_ARCHITECTURE.*found \['mctl'\]"):
        build_network(["mctl"])


@pytest.mark.parametrize(("name", "near"), [("filtres", "filters"), ("embeding", "embedding")])
def test_an_argument_that_no_network_takes_names_the_nearest(name, near):
    with pytest.raises(ConfigError, match=rf"E_ARCHITECTURE.*did you mean {near}\?"):
        build_network("mctl", **EVERYTHING, **{name: 3})


@pytest.mark.parametrize("architecture", ["mctl", "axial", "resnet10"])
def test_what_an_architecture_cannot_do_without_is_named(architecture):
    with pytest.raises(ConfigError, match=r"found no .*size"):
        build_network(architecture)
