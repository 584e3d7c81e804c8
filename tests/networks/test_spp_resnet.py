import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mpmri_monai.errors import ConfigError
from mpmri_monai.networks import LAYERS, SpatialPyramidPooling, SPPResNet


@settings(deadline=None, max_examples=30)
@given(st.integers(2, 20), st.integers(2, 20))
def test_pooled_length_does_not_depend_on_the_size_of_the_map(height, width):
    pool = SpatialPyramidPooling((1, 2))
    assert pool(torch.rand(3, 64, height, width)).shape == (3, 320)


@settings(deadline=None, max_examples=30)
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


@settings(deadline=None, max_examples=5)
@given(st.integers(0, 1000))
def test_samples_of_a_batch_do_not_touch_each_other_in_evaluation(seed):
    network = SPPResNet().eval()
    images = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(seed))
    torch.testing.assert_close(network(images)[1:2], network(images[1:2]), rtol=1e-4, atol=1e-5)


def test_unknown_pooling_is_refused():
    with pytest.raises(ConfigError, match="gap"):
        SPPResNet(pooling="max")


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("embedding", 0),
        ("embedding", 16.5),
        ("embedding", "16"),
        ("in_channels", 0),
        ("num_classes", 0),
        ("dropout", 1.5),
        ("dropout", -0.1),
        ("dropout", "half"),
        ("levels", 2),
    ],
)
def test_impossible_layers_are_refused(option, value):
    with pytest.raises(ConfigError, match=f"{option}|{value}"):
        SPPResNet(**{option: value})


def test_without_rectification_the_logits_are_linear_in_the_embedding():
    network = SPPResNet(embedding=2, embedding_relu=False).eval()
    images = torch.rand(4, 3, 32, 32)
    torch.testing.assert_close(network(images), network.classifier(network.embed(images)))


def test_rectification_has_no_weights_so_that_files_fit_both_ways():
    assert SPPResNet().state_dict().keys() == SPPResNet(embedding_relu=False).state_dict().keys()


OPTIMISERS = {
    "adam": lambda network: torch.optim.Adam(network.parameters(), lr=0.01, weight_decay=0.1),
    "sgd": lambda network: torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, weight_decay=0.1),
}


def train(network, optimiser, steps=2):
    """Train as MONAI does: the network is put into training mode anew at every step."""
    generator = torch.Generator().manual_seed(0)
    for _ in range(steps):
        network.train()
        image = torch.rand(4, 3, 16, 16, generator=generator)
        present = torch.tensor([[True, True, True], [False, True, True], [True, False, True], [True, True, False]])
        loss = torch.nn.functional.cross_entropy(network(image, present), torch.tensor([0, 1, 2, 0]))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()


def layer_of(name):
    return next(layer for layer, parts in LAYERS.items() if any(f"{name}.".startswith(f"{p}.") for p in parts))


def test_the_twelve_layers_hold_every_parameter_once_in_the_order_of_the_forward_pass():
    network = SPPResNet(size_feature=True)
    layers = network.layers()
    assert list(layers) == ["stem", *(f"block{i}" for i in range(1, 10)), "embedding", "head"] == list(LAYERS)
    names = [name for layer in layers.values() for name in layer]
    assert names == [name for name, _ in network.named_parameters()]
    assert all(network.get_parameter(name) is p for layer in layers.values() for name, p in layer.items())
    assert set(layers["stem"]) == {"absent", "conv1.weight", "norm1.weight", "norm1.bias"}
    assert layers["block9"]["stage3.2.conv2.weight"] is network.stage3[2].conv2.weight
    assert set(layers["head"]) == {"classifier.weight", "classifier.bias"}


@pytest.mark.parametrize("optimiser", OPTIMISERS)
@pytest.mark.parametrize("depth", [0, 1, 2, 5, 11, 12])
def test_frozen_layers_keep_every_bit_and_tuned_ones_change(depth, optimiser, tensors_of):
    network = SPPResNet().tune(depth)
    network.absent.data += 0.5
    tuned = list(LAYERS)[12 - depth :]
    before = tensors_of(network)
    if depth:
        train(network, OPTIMISERS[optimiser](network))
    else:
        network.train()(torch.rand(4, 3, 16, 16))
    for name, tensor in network.state_dict().items():
        changed = not torch.equal(before[name], tensor)
        assert changed == (layer_of(name) in tuned), name


@pytest.mark.parametrize("optimiser", OPTIMISERS)
def test_layers_frozen_in_mid_training_stop_at_once_despite_momentum(optimiser, tensors_of):
    network = SPPResNet()
    step = OPTIMISERS[optimiser](network)
    train(network, step)
    network.tune(2)
    before = tensors_of(network)
    step.step()
    assert not torch.equal(before["embedding.weight"], network.embedding.weight)
    train(network, step)
    changed = {layer_of(name) for name, tensor in network.state_dict().items() if not torch.equal(before[name], tensor)}
    assert changed == {"embedding", "head"}


def test_layers_that_are_thawed_train_again(tensors_of):
    network = SPPResNet().tune(1)
    optimiser = OPTIMISERS["sgd"](network)
    train(network, optimiser)
    before = tensors_of(network.tune(3))
    train(network, optimiser)
    changed = {layer_of(name) for name, tensor in network.state_dict().items() if not torch.equal(before[name], tensor)}
    assert changed == {"block9", "embedding", "head"}
    assert all(parameter.requires_grad for parameter in network.tune(12).parameters())
    assert all(module.training for module in network.train().modules())


def test_frozen_batch_norm_uses_its_statistics_in_training_too():
    network = SPPResNet().tune(2).train()
    images = torch.rand(4, 3, 16, 16)
    expected = SPPResNet().eval()
    expected.load_state_dict(network.state_dict())
    torch.testing.assert_close(network.features(images), expected.features(images))
    torch.testing.assert_close(network.features(images[:1]), network.features(images)[:1], rtol=1e-4, atol=1e-5)
    assert network.training and not network.norm1.training
    assert network.frozen_layers == tuple(LAYERS)[:10]


def test_tuning_does_not_switch_evaluation_off():
    assert not any(module.training for module in SPPResNet().eval().tune(5).modules())


@pytest.mark.parametrize("depth", [-2, 13])
def test_a_depth_that_is_none_is_refused(depth):
    with pytest.raises(ConfigError, match="0 to 12"):
        SPPResNet().tune(depth)


def test_a_depth_of_minus_one_is_all_layers():
    network = SPPResNet().tune(3).tune(-1)
    assert network.tuned_depth == 12 and not network.frozen_layers
    assert all(parameter.requires_grad for parameter in network.parameters())


@pytest.mark.parametrize("rectify", [True, False])
def test_the_head_is_a_function_of_the_features_alone(rectify):
    network = SPPResNet(embedding_relu=rectify).eval()
    images, present = torch.rand(4, 3, 16, 16), torch.tensor([[True, False, True]] * 4)
    features = network.features(images, present)
    assert (features.min() >= 0) == rectify
    torch.testing.assert_close(network.classifier(features), network(images, present))


@pytest.mark.parametrize("levels", [[], [0], [1.5], ["a"], [True]])
def test_levels_that_are_no_whole_numbers_are_refused(levels):
    with pytest.raises(ConfigError, match="whole numbers"):
        SpatialPyramidPooling(levels)


def test_3d_crops_are_refused_with_the_way_out():
    with pytest.raises(ConfigError, match=r"E_SIZE.*5 axes.*mctl or axial"):
        SPPResNet()(torch.rand(1, 3, 4, 25, 25))
