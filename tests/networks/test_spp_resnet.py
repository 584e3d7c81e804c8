import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mpmri_monai.errors import ConfigError
from mpmri_monai.networks import SpatialPyramidPooling, SPPResNet


@given(st.integers(2, 20), st.integers(2, 20))
def test_pooled_length_does_not_depend_on_the_size_of_the_map(height, width):
    pool = SpatialPyramidPooling((1, 2))
    assert pool(torch.rand(3, 64, height, width)).shape == (3, 320)


@given(st.integers(3, 17), st.integers(3, 17))
def test_pooling_equals_adaptive_max_pooling(height, width):
    maps = torch.rand(2, 5, height, width)
    expected = torch.cat(
        [
            torch.nn.functional.adaptive_max_pool2d(maps, level).flatten(2).transpose(1, 2).flatten(1)
            for level in (1, 2, 3)
        ],
        dim=1,
    )
    torch.testing.assert_close(SpatialPyramidPooling((1, 2, 3))(maps), expected)


def test_map_smaller_than_the_pyramid_is_refused():
    with pytest.raises(ConfigError, match="at least 2×2"):
        SpatialPyramidPooling((1, 2))(torch.rand(1, 4, 1, 8))


def test_size_of_the_paper():
    parameters = sum(parameter.numel() for parameter in SPPResNet(embedding=2).parameters())
    assert 0.26e6 < parameters < 0.29e6


@pytest.mark.parametrize("pooling", ["spp", "gap"])
@pytest.mark.parametrize(("channels", "classes", "embedding"), [(1, 2, 2), (3, 3, 64), (9, 3, 16)])
def test_any_number_of_channels_and_classes(pooling, channels, classes, embedding):
    network = SPPResNet(channels, classes, embedding, pooling).eval()
    assert network(torch.rand(2, channels, 32, 32)).shape == (2, classes)
    assert network.embed(torch.rand(2, channels, 40, 36)).shape == (2, embedding)


def test_what_lies_in_an_absent_channel_changes_nothing():
    network = SPPResNet().eval()
    image, present = torch.rand(4, 3, 32, 32), torch.tensor([[True, False, True]] * 4)
    other = image.clone()
    other[:, 1] = torch.rand(4, 32, 32)
    torch.testing.assert_close(network(image, present), network(other, present))
    assert not torch.allclose(network(image, present), network(other))


def test_the_constant_for_an_absent_sequence_is_learned():
    network = SPPResNet()
    network(torch.rand(2, 3, 32, 32), torch.tensor([[True, True, False]] * 2)).sum().backward()
    gradient = network.absent.grad
    assert gradient[2] != 0
    assert gradient[0] == gradient[1] == 0


def test_size_feature_is_wanted_and_used():
    network = SPPResNet(size_feature=True).eval()
    image = torch.rand(2, 3, 32, 32)
    with pytest.raises(ConfigError, match="extent"):
        network(image)
    small, large = (network(image, extent_mm=torch.full((2,), size)) for size in (10.0, 60.0))
    assert not torch.allclose(small, large)


@settings(max_examples=5)
@given(st.integers(0, 1000))
def test_samples_of_a_batch_do_not_touch_each_other_in_evaluation(seed):
    network = SPPResNet().eval()
    images = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(seed))
    torch.testing.assert_close(network(images)[1:2], network(images[1:2]), rtol=1e-4, atol=1e-5)


def test_unknown_pooling_is_refused():
    with pytest.raises(ConfigError, match="gap"):
        SPPResNet(pooling="max")


@pytest.mark.parametrize("arguments", [{"embedding": 0}, {"dropout": 1.5}, {"dropout": -0.1}])
def test_impossible_layers_are_refused(arguments):
    with pytest.raises(ConfigError, match="dropout"):
        SPPResNet(**arguments)


def test_without_rectification_the_logits_are_linear_in_the_embedding():
    network = SPPResNet(embedding=2, embedding_relu=False).eval()
    images = torch.rand(4, 3, 32, 32)
    torch.testing.assert_close(network(images), network.classifier(network.embed(images)))


def test_rectification_has_no_weights_so_that_files_fit_both_ways():
    assert SPPResNet().state_dict().keys() == SPPResNet(embedding_relu=False).state_dict().keys()
