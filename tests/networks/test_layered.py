"""What holds for every network, whatever its architecture."""

import math

import pytest
import torch
from torch import nn

from mpmri_monai.errors import ConfigError, WeightsError
from mpmri_monai.networks import ARCHITECTURES, build_network, load_weights, save_weights

SIZE = (4, 13, 13)
PLANES = ("spp_resnet", "subset")
VOLUMES = [name for name in ARCHITECTURES if name not in PLANES]
STANDARDISED = ["mctl", "dense", "cnn", "resnet10", "resnet18"]
SIGMOIDS = ["mctl", "dense"]


def network_of(architecture, channels=2, classes=2, **arguments):
    torch.manual_seed(1)
    return build_network(architecture, in_channels=channels, num_classes=classes, size=SIZE, filters=4, **arguments)


def crops(count=6, channels=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    present = torch.rand(count, channels, generator=generator) > 0.4
    return torch.rand(count, channels, *SIZE, generator=generator), present


@pytest.mark.parametrize("architecture", VOLUMES)
@pytest.mark.parametrize(("channels", "classes"), [(1, 2), (3, 3)])
def test_any_number_of_channels_and_classes(architecture, channels, classes):
    network = network_of(architecture, channels, classes).eval()
    image, present = crops(channels=channels)
    output = network(image, present, extent_mm=torch.ones(6))
    assert output.shape == (6, classes) and output.dtype == torch.float32
    assert network.fixed_features(image, present).shape[0] == 6


@pytest.mark.parametrize("architecture", VOLUMES)
def test_layers_hold_every_parameter_once_from_image_to_head(architecture):
    network = network_of(architecture)
    layers = network.layers()
    assert tuple(layers) == network.layer_names == tuple(network.layer_parts)
    names = [name for layer in layers.values() for name in layer]
    assert names == [name for name, _ in network.named_parameters()]
    assert set(layers["head"]) == {"classifier.weight", "classifier.bias"} and network.layer_names[-1] == "head"


@pytest.mark.parametrize("architecture", VOLUMES)
@pytest.mark.parametrize("depth", [1, 2])
def test_frozen_layers_keep_every_bit_and_tuned_ones_change(architecture, depth, tensors_of):
    network = network_of(architecture).tune(depth).train()
    before = tensors_of(network)
    optimiser = torch.optim.SGD(network.parameters(), lr=0.1)
    image, present = crops()
    (network(image, present) * torch.tensor([1.0, -2.0])).sum().backward()
    optimiser.step()
    tuned = {name for layer in network.layer_names[-depth:] for name in network.layers()[layer]}
    changed = {name for name, tensor in network.state_dict().items() if not torch.equal(before[name], tensor)}
    assert changed and changed <= tuned and network.tuned_depth == depth
    assert {"classifier.weight", "classifier.bias"} <= changed
    assert not network.tune(-1).frozen_layers and all(p.requires_grad for p in network.parameters())


@pytest.mark.parametrize("architecture", VOLUMES)
def test_what_lies_in_an_absent_channel_changes_nothing_and_its_constant_is_learned(architecture):
    network = network_of(architecture).eval()
    image, present = crops()[0], torch.tensor([[True, False]] * 6)
    other = image.clone()
    other[:, 1] = crops(seed=1)[0][:, 1]
    torch.testing.assert_close(network(image, present), network(other, present))
    assert not torch.allclose(network(image), network(other))
    network(image, present)[:, 0].sum().backward()
    of_sequence = network.absent.grad.reshape(-1, 2)
    assert of_sequence[:, 1].any() and not of_sequence[:, 0].any()


@pytest.mark.parametrize("architecture", VOLUMES)
def test_the_head_is_a_function_of_the_features_alone(architecture):
    network = network_of(architecture).eval()
    image, present = crops()
    scores = network.classifier(network.features(image, present))
    expected = nn.functional.logsigmoid(scores) if architecture in SIGMOIDS else scores
    torch.testing.assert_close(network(image, present), expected)


@pytest.mark.parametrize("architecture", VOLUMES)
def test_samples_of_a_batch_do_not_touch_each_other_in_evaluation(architecture):
    network = network_of(architecture).eval()
    image, present = crops()
    torch.testing.assert_close(network(image, present)[2:3], network(image[2:3], present[2:3]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("architecture", VOLUMES)
@pytest.mark.parametrize("shape", [(5, 13, 13), (4, 12, 13), (13, 13)])
def test_crops_of_another_size_are_one_clear_error(architecture, shape):
    with pytest.raises(ConfigError, match=r"E_SIZE.*4×13×13.*found " + "×".join(map(str, shape[-3:]))):
        network_of(architecture)(torch.rand(1, 2, *shape))


@pytest.mark.parametrize("architecture", VOLUMES)
@pytest.mark.parametrize("size", [(25, 25), (4, 25, 0), (4, 25, 25.0), (4, True, 25)])
def test_a_size_that_is_none_is_refused(architecture, size):
    with pytest.raises(ConfigError, match=r"E_SIZE.*three whole numbers"):
        build_network(architecture, in_channels=1, num_classes=2, size=size)


@pytest.mark.parametrize("architecture", STANDARDISED)
def test_standardisation_is_of_the_present_voxels_and_travels_with_the_weights(architecture, tmp_path):
    network = network_of(architecture).eval()
    image, present = crops()
    image[~present] = 0
    network.fit_standardisation(image, present)
    for channel in range(2):
        values = image[present[:, channel], channel]
        assert network.standardise.mean[channel] == pytest.approx(values.mean().item())
        assert network.standardise.range[channel] == pytest.approx((values.max() - values.min()).item())
        standard = network.standardise(image)[present[:, channel], channel]
        assert standard.mean().abs() < 1e-5 and standard.max() - standard.min() == pytest.approx(1)
    save_weights(network, tmp_path / "model.pt")
    again = build_network(architecture, in_channels=2, num_classes=2, size=SIZE, filters=4).eval()
    load_weights(again, tmp_path / "model.pt")
    assert torch.equal(network(image, present), again(image, present))


@pytest.mark.parametrize("architecture", STANDARDISED)
def test_a_standardised_network_does_not_see_the_unit_of_the_grey_values(architecture):
    image, present = crops()
    outputs = []
    for scale, shift in ((1.0, 0.0), (7.0, 3.0)):
        network = network_of(architecture).eval()
        network.fit_standardisation(scale * image + shift, present)
        outputs.append(network(scale * image + shift, present))
    torch.testing.assert_close(*outputs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("value", [0.5, math.nan, math.inf])
def test_a_channel_without_contrast_is_refused(value):
    image, present = crops()
    image[present[:, 1], 1] = value
    if math.isinf(value):
        image[0, 1, 0] = 0
        present[0, 1] = True
    with pytest.raises(ConfigError, match=r"E_CONSTANT.*channel 2"):
        network_of("mctl").fit_standardisation(image, present)


def test_a_channel_that_no_sample_has_is_left_as_it_is():
    network, image = network_of("mctl"), crops()[0]
    network.fit_standardisation(image, torch.tensor([[True, False]] * 6))
    assert network.standardise.mean[1] == 0 and network.standardise.range[1] == 1
    assert network.standardise.mean[0] != 0


def test_networks_that_take_images_as_they_are_have_nothing_to_fit(tensors_of):
    network = network_of("axial")
    before = tensors_of(network)
    network.fit_standardisation(*crops())
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())


@pytest.mark.parametrize("architecture", ["mctl", "dense", "cnn"])
def test_weights_for_crops_of_another_size_do_not_load(architecture, tmp_path):
    save_weights(network_of(architecture), tmp_path / "model.pt")
    other = build_network(architecture, in_channels=2, num_classes=2, size=(4, 17, 17), filters=4)
    with pytest.raises(WeightsError, match="of another shape"):
        load_weights(other, tmp_path / "model.pt")


@pytest.mark.parametrize("architecture", VOLUMES)
def test_weights_are_drawn_by_the_seed(architecture):
    first, second = network_of(architecture), network_of(architecture)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


@pytest.mark.parametrize("dropout", [-0.1, 1.0])
@pytest.mark.parametrize("architecture", VOLUMES)
def test_an_impossible_dropout_is_refused(architecture, dropout):
    with pytest.raises(ConfigError, match="dropout < 1"):
        network_of(architecture, dropout=dropout)


@pytest.mark.parametrize("architecture", VOLUMES)
def test_dropout_acts_in_training_alone(architecture):
    network = network_of(architecture, dropout=0.5).eval()
    image, present = crops()
    assert torch.equal(network(image, present), network(image, present))
    network.train()
    assert not torch.equal(network(image, present), network(image, present))
