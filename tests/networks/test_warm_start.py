import json
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mpmri_monai.artefacts import file_digest
from mpmri_monai.errors import WeightsError
from mpmri_monai.networks import (
    MCTLNetwork,
    PatchAutoencoder,
    ResNet3D,
    SPPResNet,
    save_state,
    save_weights,
    warm_start,
)

HEAD = {"classifier.weight", "classifier.bias"}


@pytest.fixture
def saved(tmp_path):
    """saved(**arguments) makes a network, with values of its own in every tensor, and returns it and its file."""

    def make(**arguments):
        network = SPPResNet(**arguments)
        for tensor in network.state_dict().values():
            tensor.add_(1) if not tensor.is_floating_point() else tensor.uniform_(0.1, 0.9)
        path = tmp_path / "pretrained.pt"
        save_weights(network, path)
        return network, path

    return make


def test_natural_weights_fill_all_but_the_head(saved):
    source, path = saved(num_classes=10)
    network = SPPResNet(num_classes=3)
    report = warm_start(network, path)
    assert set(report.names("fresh")) == HEAD
    assert not report.names("adapted") and not report.names("unused")
    assert report.share == 1 - 2 / len(network.state_dict())
    assert torch.equal(network.conv1.weight, source.conv1.weight)
    assert torch.equal(network.stage3[2].norm2.running_mean, source.stage3[2].norm2.running_mean)


@pytest.mark.parametrize(
    ("file", "here"),
    [
        ({}, {}),
        ({"in_channels": 1, "num_classes": 10}, {"in_channels": 3}),
        ({"pooling": "gap"}, {"pooling": "spp", "embedding": 16}),
        ({"in_channels": 9, "embedding": 64}, {"in_channels": 2, "size_feature": True}),
    ],
)
def test_every_tensor_has_one_outcome_and_the_network_holds_what_it_says(saved, tensors_of, file, here):
    source, path = saved(**file)
    network = SPPResNet(**here)
    before = tensors_of(network)
    report = warm_start(network, path)
    assert [one.tensor for one in report.tensors] == list(network.state_dict())
    for one in report.tensors:
        now, found = network.state_dict()[one.tensor], source.state_dict()[one.tensor]
        assert (one.shape_from, one.shape_to) == (tuple(found.shape), tuple(now.shape))
        assert bool(one.why) == (one.outcome != "taken")
        if one.outcome == "taken":
            assert torch.equal(now, found)
        elif one.outcome == "fresh":
            assert torch.equal(now, before[one.tensor])
        else:
            assert one.tensor == "conv1.weight"


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 1000))
def test_a_picture_with_equal_channels_gives_the_same_features_through_any_stem(tmp_path_factory, file, here, seed):
    path = tmp_path_factory.mktemp("stem") / "pretrained.pt"
    source, network = SPPResNet(file).eval(), SPPResNet(here).eval()
    save_weights(source, path)
    report = warm_start(network, path)
    assert report.names("adapted") == (() if file == here else ("conv1.weight",))
    assert ("absent" in report.names("fresh")) == (file != here)
    assert file == here or not network.absent.any()
    picture = torch.rand(2, 1, 16, 16, generator=torch.Generator().manual_seed(seed))
    expected = source.features(picture.expand(-1, file, -1, -1))
    torch.testing.assert_close(
        network.features(picture.expand(-1, here, -1, -1)), expected, rtol=1e-4, atol=1e-4 * expected.abs().max().item()
    )


def test_equal_channels_are_not_averaged(saved):
    source, path = saved(in_channels=3)
    network = SPPResNet(3)
    assert "conv1.weight" in warm_start(network, path).names("taken")
    assert torch.equal(network.conv1.weight, source.conv1.weight)
    assert torch.equal(network.absent, source.absent)


@pytest.mark.parametrize("leave_out", ["", None])
def test_the_head_goes_on_with_the_same_task_when_asked(saved, leave_out):
    source, path = saved(num_classes=3)
    network = SPPResNet(num_classes=3)
    assert not warm_start(network, path, leave_out=leave_out).names("fresh")
    assert torch.equal(network.classifier.weight, source.classifier.weight)


def test_a_head_of_other_classes_is_new_even_then(saved):
    _, path = saved(num_classes=10)
    report = warm_start(SPPResNet(num_classes=3), path, leave_out="")
    why = {one.tensor: one.why for one in report.tensors if one.outcome == "fresh"}
    assert why["classifier.bias"] == "other shape (10,) for (3,)"


def test_the_report_is_plain_json_and_its_text_says_why(saved):
    _, path = saved(in_channels=1, pooling="gap", num_classes=10)
    report = warm_start(SPPResNet(), path)
    record = json.loads(json.dumps(report.as_json(), allow_nan=False))
    assert record["weights_sha256"] == file_digest(path)
    assert record["counts"] == {"taken": 113, "adapted": 1, "fresh": 5, "unused": 0}
    assert record["share"] == pytest.approx(114 / 119, abs=1e-4)
    assert {"tensor": "conv1.weight", "outcome": "adapted", "why": "1 → 3 channels"}.items() <= {
        key: value for one in record["tensors"] if one["tensor"] == "conv1.weight" for key, value in one.items()
    }.items()
    for words in ("113 taken", "conv1.weight: 1 → 3 channels", "embedding.weight: other shape", "another task"):
        assert words in str(report)


def test_tensors_that_only_the_file_or_only_the_network_has_are_named(saved):
    source, path = saved()
    state = {name: tensor for name, tensor in source.state_dict().items() if name != "stage2.1.conv2.weight"}
    torch.save(state | {"projector.weight": torch.zeros(2)}, path)
    report = warm_start(SPPResNet(), path)
    assert report.names("unused") == ("projector.weight",)
    why = {one.tensor: one.why for one in report.tensors}
    assert why["stage2.1.conv2.weight"] == "not in the file"


def test_integers_are_not_taken_for_weights(saved):
    source, path = saved()
    torch.save(source.state_dict() | {"embedding.weight": torch.ones(32, 320, dtype=torch.int64)}, path)
    assert "embedding.weight" in warm_start(SPPResNet(), path).names("fresh")


def test_a_bias_is_not_taken_without_its_weight(saved):
    _, path = saved(pooling="gap")
    report = warm_start(SPPResNet(pooling="spp"), path)
    why = {one.tensor: one.why for one in report.tensors if one.outcome == "fresh"}
    assert set(why) == HEAD | {"embedding.weight", "embedding.bias"}
    assert why["embedding.bias"] == "its weight is fresh"


def test_too_small_a_share_is_refused_and_changes_nothing(saved, tensors_of):
    source, path = saved()
    names = list(source.state_dict())
    torch.save({name: source.state_dict()[name] for name in names[:50]}, path)
    network = SPPResNet()
    before = tensors_of(network)
    with pytest.raises(WeightsError, match="at least 50%"):
        warm_start(network, path)
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
    assert warm_start(network, path, least=50 / len(names)).share == pytest.approx(50 / len(names))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("tensor", ["stage1.0.norm1.running_var", "classifier.bias"])
def test_values_that_are_not_finite_are_refused_by_name_and_change_nothing(saved, tensors_of, value, tensor):
    source, path = saved(num_classes=10)
    state = source.state_dict()
    state[tensor].view(-1)[1] = value
    torch.save(state, path)
    network = SPPResNet()
    before = tensors_of(network)
    with pytest.raises(WeightsError, match=f"NaN or infinity in {tensor}"):
        warm_start(network, path)
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())


@pytest.mark.parametrize(
    "other",
    [
        torch.nn.Linear(3, 3),
        torch.nn.Sequential(torch.nn.Conv2d(3, 16, 3), torch.nn.BatchNorm2d(16)),
        torch.nn.DataParallel(SPPResNet()),
    ],
    ids=["linear", "convolution", "prefixed"],
)
def test_another_architecture_is_one_clear_error(tmp_path, other):
    torch.save(other.state_dict(), tmp_path / "other.pt")
    with pytest.raises(WeightsError, match=r"E_WEIGHTS.*0%.*not in the file.*same kind of network"):
        warm_start(SPPResNet(), tmp_path / "other.pt")


def test_wider_layers_of_the_same_names_are_another_architecture(tmp_path):
    state = {
        name: tensor.repeat(2, *[1] * (tensor.dim() - 1)) if tensor.dim() else tensor
        for name, tensor in SPPResNet().state_dict().items()
    }
    torch.save(state, tmp_path / "wide.pt")
    with pytest.raises(WeightsError, match="other shape"):
        warm_start(SPPResNet(), tmp_path / "wide.pt")


@pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_one_clear_error(saved, share):
    _, path = saved()
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(WeightsError, match="E_WEIGHTS"):
        warm_start(SPPResNet(), path)


def test_a_wrapped_checkpoint_is_refused_not_half_read(tmp_path):
    torch.save({"model": SPPResNet().state_dict(), "epoch": 3}, tmp_path / "checkpoint.pt")
    with pytest.raises(WeightsError, match=r"'model'.*state_dict"):
        warm_start(SPPResNet(), tmp_path / "checkpoint.pt")


SIZE = (4, 13, 13)
CONVOLUTIONS = {"conv1.weight", "conv1.bias", "conv2.weight", "conv2.bias"}


@pytest.fixture
def encoder(tmp_path):
    """encoder(**arguments) makes an autoencoder and the file of its encoder."""

    def make(**arguments):
        autoencoder = PatchAutoencoder(**{"in_channels": 1, "size": SIZE, "filters": 4, **arguments})
        autoencoder.fit_standardisation(torch.rand(3, 1, *SIZE), torch.ones(3, 1, dtype=torch.bool))
        save_state(autoencoder.encoder_state(), tmp_path / "encoder.pt")
        return autoencoder, tmp_path / "encoder.pt"

    return make


def classifier(**arguments):
    return MCTLNetwork(**{"in_channels": 1, "num_classes": 2, "size": SIZE, "filters": 4, **arguments})


def test_an_encoders_file_is_enough_for_the_classifier(encoder, tensors_of):
    autoencoder, path = encoder()
    network = classifier()
    before = tensors_of(network)
    report = warm_start(network, path)
    assert report.share == 1
    assert set(report.names("taken")) == CONVOLUTIONS and not report.names("unused")
    assert torch.equal(network.conv2.weight, autoencoder.encoder_state()["conv2.weight"])
    for name in set(before) - CONVOLUTIONS:
        assert torch.equal(before[name], network.state_dict()[name]), name


def test_an_encoder_fits_crops_of_any_size_and_any_dense_layer(encoder):
    _, path = encoder()
    assert warm_start(classifier(size=(6, 9, 9), dense=7), path).share == 1


def test_a_3d_stem_is_adapted_as_a_2d_one_is(encoder):
    autoencoder, path = encoder()
    network = classifier(in_channels=3)
    report = warm_start(network, path)
    assert report.names("adapted") == ("conv1.weight",)
    picture = torch.rand(2, 1, *SIZE)
    expected = autoencoder.convolutions.encode(picture)
    torch.testing.assert_close(network.maps(picture.expand(-1, 3, -1, -1, -1)), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("file", "here"),
    [({"filters": 8}, {}), ({"layers": 1}, {"layers": 3})],
    ids=["other filters", "one convolution of three"],
)
def test_an_encoder_of_another_shape_is_refused(encoder, file, here):
    _, path = encoder(**file)
    with pytest.raises(WeightsError, match=r"E_WEIGHTS.*at least 50%.*same kind of network"):
        warm_start(classifier(**here), path)


def test_an_encoder_of_fewer_layers_starts_the_lower_ones(encoder):
    _, path = encoder(layers=2)
    report = warm_start(classifier(layers=3), path)
    assert set(report.names("taken")) == CONVOLUTIONS and report.share == pytest.approx(2 / 3)


def test_other_kernels_are_refused(encoder):
    autoencoder, path = encoder()
    state = {
        name: tensor.new_zeros(*tensor.shape[:2], 5, 5, 5) if tensor.dim() == 5 else tensor
        for name, tensor in autoencoder.encoder_state().items()
    }
    save_state(state, path)
    with pytest.raises(WeightsError, match=r"E_WEIGHTS.*found 0%.*other shape"):
        warm_start(classifier(), path)


def test_classifiers_start_each_other_but_for_head_and_standardisation(tmp_path):
    source, network = classifier(num_classes=3), classifier()
    source.fit_standardisation(torch.rand(3, 1, *SIZE), torch.ones(3, 1, dtype=torch.bool))
    save_weights(source, tmp_path / "model.pt")
    report = warm_start(network, tmp_path / "model.pt")
    assert set(report.names("fresh")) == HEAD | {"standardise.mean", "standardise.range"}
    why = {one.tensor: one.why for one in report.tensors}
    assert why["standardise.mean"] == why["standardise.range"] == "fitted on the training samples"
    assert network.standardise.mean == 0 and network.standardise.range == 1
    assert torch.equal(network.dense.weight, source.dense.weight)


def test_standardisation_is_fresh_even_when_everything_is_wanted(tmp_path):
    save_weights(classifier(), tmp_path / "model.pt")
    report = warm_start(classifier(), tmp_path / "model.pt", leave_out=None)
    assert set(report.names("fresh")) == {"standardise.mean", "standardise.range"}


def test_a_classifier_of_crops_of_another_size_is_another_geometry_and_changes_nothing(tmp_path, tensors_of):
    save_weights(classifier(size=(4, 15, 15)), tmp_path / "model.pt")
    network = classifier()
    before = tensors_of(network)
    with pytest.raises(WeightsError, match=r"E_WEIGHTS.*geometry.*2704 values.*found 3600 values.*encoder"):
        warm_start(network, tmp_path / "model.pt")
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())


def test_a_dense_layer_that_is_a_lone_number_is_another_geometry(tmp_path):
    torch.save(classifier().state_dict() | {"dense.weight": torch.tensor(1.0)}, tmp_path / "model.pt")
    with pytest.raises(WeightsError, match="geometry"):
        warm_start(classifier(), tmp_path / "model.pt")


def test_a_dense_layer_of_another_width_is_fresh(tmp_path):
    save_weights(classifier(dense=16), tmp_path / "model.pt")
    report = warm_start(classifier(dense=8), tmp_path / "model.pt")
    assert {"dense.weight", "dense.bias"} <= set(report.names("fresh")) and report.share == 1


def test_networks_with_pooling_start_each_other_whatever_the_size(tmp_path):
    save_weights(ResNet3D(2, 3, (4, 25, 25), width=2), tmp_path / "model.pt")
    report = warm_start(ResNet3D(1, 2, (13, 13, 13), width=2), tmp_path / "model.pt")
    assert report.names("adapted") == ("backbone.conv1.weight",)
    assert set(report.names("fresh")) == HEAD | {"absent", "standardise.mean", "standardise.range"}


@pytest.mark.parametrize("network", [classifier(), ResNet3D(3, 2, SIZE, width=16)], ids=["mctl", "resnet"])
def test_2d_weights_are_no_start_for_3d_networks(saved, network):
    _, path = saved()
    with pytest.raises(WeightsError, match=r"E_WEIGHTS.*same kind of network"):
        warm_start(network, path)
