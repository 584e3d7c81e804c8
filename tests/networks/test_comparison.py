import pytest
import torch
from torch.nn import functional

from mpmri_monai.errors import ConfigError
from mpmri_monai.networks import ConvNetwork, DenseNetwork


def test_the_cnn_halves_the_plane_twice_and_keeps_the_slices():
    network = ConvNetwork(1, 2, (4, 25, 25), filters=8, dense=16)
    assert network.maps(torch.rand(2, 1, 4, 25, 25)).shape == (2, 8, 4, 6, 6)
    assert network.dense.weight.shape == (16, 8 * 4 * 6 * 6)
    assert network.layer_names == ("conv1", "conv2", "dense", "head")


def test_its_pooling_is_max_pooling():
    torch.manual_seed(0)
    network, image = ConvNetwork(1, 2, (4, 13, 14), filters=3), torch.rand(2, 1, 4, 13, 14)
    expected = image
    for convolution in (network.conv1, network.conv2):
        expected = functional.max_pool3d(functional.relu(convolution(expected)), (1, 2, 2))
    torch.testing.assert_close(network.maps(image), expected)


def test_a_plane_too_small_for_two_poolings_is_refused():
    with pytest.raises(ConfigError, match=r"E_SIZE.*8×8.*7×9"):
        ConvNetwork(1, 2, (4, 7, 9))


def test_the_dense_network_sees_no_neighbourhood():
    """Reordering the voxels, and the first layer's weights with them, changes nothing."""
    network, image = DenseNetwork(1, 2, (2, 5, 5)).eval(), torch.rand(3, 1, 2, 5, 5)
    output = network(image)
    order = torch.randperm(50)
    network.dense1.weight.data = network.dense1.weight.data[:, order]
    torch.testing.assert_close(network(image.flatten(1)[:, order].reshape(image.shape)), output)


@pytest.mark.parametrize("kind", [DenseNetwork, ConvNetwork])
def test_a_width_of_nothing_is_refused(kind):
    with pytest.raises(ConfigError, match="dense 0"):
        kind(1, 2, (4, 13, 13), dense=0)
