"""What is absent has no part in the answer, and the order of the sequences means nothing."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mpmri_monai.errors import ConfigError, WeightsError
from mpmri_monai.networks import LAYERS, SPPResNet, SubsetNetwork, build_network, load_weights, save_weights, warm_start

CHANNELS = 5
REORDERED = 1e-5
"""Largest change of a logit when float32 sums over sequences are taken in another order."""


def made(channels=CHANNELS, seed=0, **arguments):
    """A network whose every parameter and statistic is drawn, as if trained: sequences differ, attention chooses."""
    torch.manual_seed(seed)
    network = SubsetNetwork(channels, 3, embedding=8, **{"embedding_relu": False, **arguments})
    with torch.no_grad():
        for part in (network.sequence_vectors, network.sequence_weights, network.attention):
            part.weight.normal_()
        for name, buffer in network.named_buffers():
            if "running_mean" in name:
                buffer.uniform_(-0.1, 0.1)
    return network.eval()


NETWORK = made()


def batch(samples=6, channels=CHANNELS, seed=1):
    """Pictures, and which of them are there: each sample another subset, never none."""
    generator = torch.Generator().manual_seed(seed)
    present = torch.rand(samples, channels, generator=generator) < 0.5
    present[torch.arange(samples), torch.randint(channels, (samples,), generator=generator)] = True
    return torch.rand(samples, channels, 16, 16, generator=generator), present


@settings(max_examples=10, deadline=None)
@given(order=st.permutations(range(CHANNELS)), seed=st.integers(0, 1000))
def test_sequences_shuffled_with_mask_and_vectors_change_nothing(order, seed):
    image, present = batch(seed=seed)
    shuffled = made()
    with torch.no_grad():
        for part in (shuffled.sequence_vectors, shuffled.sequence_weights):
            part.weight.copy_(part.weight[order])
        expected, found = NETWORK(image, present), shuffled(image[:, order], present[:, order])
    assert torch.allclose(found, expected, atol=REORDERED)


def test_which_sequence_a_picture_is_matters():
    image, present = batch()
    order = [1, 2, 3, 4, 0]
    with torch.no_grad():
        change = NETWORK(image[:, order], present[:, order]) - NETWORK(image, present)
    assert (change.abs().amax(dim=1) > 0.01).all()


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 1000), value=st.sampled_from([0.0, 1.0, 1e30, float("nan"), float("inf")]))
def test_pixels_of_absent_sequences_cannot_change_a_bit(seed, value):
    image, present = batch(seed=seed)
    other = torch.where(present[:, :, None, None], image, torch.tensor(value))
    with torch.no_grad():
        assert torch.equal(NETWORK(other, present), NETWORK(image, present))


def test_they_change_no_gradient_and_no_statistic_in_training_either():
    image, present = batch()
    other = torch.where(present[:, :, None, None], image, torch.rand(()))
    states = []
    for seen in (image, other):
        network = made().train()
        network(seen, present).square().sum().backward()
        states.append({**dict(network.named_buffers()), **{n: p.grad for n, p in network.named_parameters()}})
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_an_absent_sequence_gets_no_gradient():
    image, present = batch(samples=1)
    present[:] = torch.tensor([True, False, True, False, False])
    image.requires_grad_()
    NETWORK(image, present).sum().backward()
    assert image.grad[0, 0].abs().max() > 0 and image.grad[0, 2].abs().max() > 0
    assert not image.grad[0, [1, 3, 4]].any()


def test_one_sequence_alone_is_its_own_embedding():
    image, _ = batch()
    present = torch.zeros(len(image), CHANNELS, dtype=torch.bool)
    present[:, 2] = True
    with torch.no_grad():
        told = NETWORK.sequence_vectors.weight[2][:, None, None]
        x = torch.relu(NETWORK.norm1(NETWORK.conv1(image[:, 2:3])) + told)
        expected = NETWORK.embedding(NETWORK.pool(NETWORK.stage3(NETWORK.stage2(NETWORK.stage1(x)))))
        assert torch.allclose(NETWORK.embed(image, present), expected, atol=REORDERED)


def test_a_new_network_averages_the_encoder_over_what_is_there():
    """Against the plain network with the same encoder, asked about each sequence by itself."""
    torch.manual_seed(0)
    network, plain = SubsetNetwork(CHANNELS, embedding=8).eval(), SPPResNet(1, embedding=8).eval()
    plain.load_state_dict(network.state_dict(), strict=False)
    image, present = batch()
    with torch.no_grad():
        each = torch.stack([plain.embed(image[:, [channel]]) for channel in range(CHANNELS)], dim=1)
        share = (present / present.sum(dim=1, keepdim=True))[:, :, None]
        assert torch.allclose(network.embed(image, present), (each * share).sum(dim=1), atol=REORDERED)
        assert torch.allclose(network.embed(image), each.mean(dim=1), atol=REORDERED)


def test_a_sample_without_any_sequence_is_refused():
    image, present = batch()
    present[[1, 3]] = False
    with pytest.raises(ConfigError, match=r"E_MISSING.*2 of 6 with none"):
        NETWORK(image, present)


@pytest.mark.parametrize("shape", [(2, CHANNELS - 1, 16, 16), (2, CHANNELS, 4, 16, 16)])
def test_other_channels_and_volumes_are_refused(shape):
    with pytest.raises(ConfigError, match="E_SIZE"):
        NETWORK(torch.rand(shape))


def test_no_sequence_is_no_network():
    with pytest.raises(ConfigError, match="at least one sequence"):
        SubsetNetwork(0)


def test_every_parameter_belongs_to_one_layer_and_learns():
    network = made(size_feature=True).train()
    image, present = batch()
    network(image, present, torch.full((len(image),), 20.0)).square().sum().backward()
    layers = network.layers()
    assert tuple(layers) == tuple(LAYERS)
    named = [name for parameters in layers.values() for name in parameters]
    assert sorted(named) == sorted(name for name, _ in network.named_parameters())
    assert all(parameter.grad is not None for parameter in network.parameters())


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_frozen_layers_keep_every_bit(tensors_of, depth):
    network = made().tune(depth).train()
    frozen = [name for layer in network.frozen_layers for name in network.layers()[layer]]
    before, (image, present) = tensors_of(network), batch()
    optimizer = torch.optim.SGD([p for p in network.parameters() if p.requires_grad], lr=0.1)
    network(image, present).square().sum().backward()
    optimizer.step()
    after = network.state_dict()
    assert all(torch.equal(after[name], before[name]) for name in frozen)
    assert not torch.equal(after["classifier.weight"], before["classifier.weight"])
    assert torch.equal(after["norm1.running_mean"], before["norm1.running_mean"])


def test_weights_of_colour_pictures_start_the_encoder(tmp_path):
    """A grey picture gives the first layer's response to the same grey in three colours."""
    colours = SPPResNet(3, num_classes=10, embedding=8)
    save_weights(colours, tmp_path / "natural.pt")
    network = SubsetNetwork(CHANNELS, 3, embedding=8)
    report = warm_start(network, tmp_path / "natural.pt")
    assert report.names("adapted") == ("conv1.weight",)
    of_sequences = {f"{name}.weight" for name in ("sequence_vectors", "sequence_weights", "attention")}
    assert set(report.names("fresh")) == of_sequences | {"classifier.weight", "classifier.bias"}
    assert report.names("unused") == ("absent",)
    assert report.share == 1 - 2 / len(network.expected_from_file())
    assert torch.equal(network.stage2[1].conv1.weight, colours.stage2[1].conv1.weight)
    grey = torch.rand(2, 1, 16, 16)
    assert torch.allclose(network.conv1(grey), colours.conv1(grey.expand(-1, 3, -1, -1)), atol=REORDERED)


def test_weights_come_back_and_those_of_other_sequences_do_not(tmp_path):
    save_weights(NETWORK, tmp_path / "model.pt")
    again = build_network("subset", in_channels=CHANNELS, num_classes=3, embedding=8, embedding_relu=False).eval()
    load_weights(again, tmp_path / "model.pt")
    image, present = batch()
    with torch.no_grad():
        assert torch.equal(again(image, present), NETWORK(image, present))
    with pytest.raises(WeightsError, match="sequence_vectors"):
        load_weights(SubsetNetwork(CHANNELS - 1, 3, embedding=8), tmp_path / "model.pt")


def test_what_a_classical_head_is_fitted_on_is_the_pooled_embedding():
    image, present = batch()
    with torch.no_grad():
        assert torch.equal(NETWORK.fixed_features(image, present), NETWORK.embed(image, present))
        assert torch.equal(NETWORK.features(image, present), NETWORK.embed(image, present))
        rectified = made(embedding_relu=True)
        assert torch.equal(rectified.features(image, present), rectified.embed(image, present).relu())
