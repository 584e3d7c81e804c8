"""Which device trains, and from which weights."""

import json
import logging

import pytest
import torch

from mpmri_monai.bundle import network as network_module
from mpmri_monai.bundle.network import check_device, device_ids, start_from
from mpmri_monai.errors import ConfigError, OutputError, WeightsError
from mpmri_monai.networks import PatchAutoencoder, SPPResNet, build_network, initialise, save_state, save_weights


def made(init=None, **arguments):
    torch.manual_seed(3)
    network = SPPResNet(**arguments)
    if init:
        initialise(network, init)
    return network


def equal(network, other, but=()):
    state = other.state_dict()
    return all(torch.equal(t, state[name]) for name, t in network.state_dict().items() if name not in but)


@pytest.fixture
def pretrained(tmp_path):
    torch.manual_seed(4)
    network = SPPResNet(num_classes=10)
    save_weights(network, tmp_path / "pretrained.pt")
    return network, str(tmp_path / "pretrained.pt")


@pytest.mark.parametrize("init", ["he", "gaussian", "xavier"])
def test_from_scratch_the_init_decides_and_there_is_nothing_to_report(tmp_path, init):
    assert equal(start_from(made(), "scratch", init, tmp_path), made(init))
    assert not list(tmp_path.iterdir())


def test_by_default_scratch_is_what_the_network_drew():
    assert equal(start_from(made(), "scratch"), made())


@pytest.mark.parametrize("init", ["he", "gaussian"])
def test_what_the_file_does_not_fill_is_as_the_init_draws_it(pretrained, init):
    source, path = pretrained
    network = start_from(made(), path, init)
    head = ("classifier.weight", "classifier.bias")
    assert equal(network, source, but=head)
    assert all(torch.equal(network.state_dict()[name], made(init).state_dict()[name]) for name in head)


def test_the_report_is_logged_and_in_the_run_record(pretrained, tmp_path, caplog):
    with caplog.at_level(logging.INFO):
        start_from(made(), pretrained[1], folder=tmp_path / "run")
    record = json.loads((tmp_path / "run" / "warm_start.json").read_text())
    assert record["counts"] == {"taken": 117, "adapted": 0, "fresh": 2, "unused": 0}
    assert "pretrained weights: tensors: 117 taken, 2 fresh" in caplog.text


def test_only_the_first_process_writes_it(pretrained, tmp_path, monkeypatch):
    monkeypatch.setattr(network_module.idist, "get_rank", lambda: 1)
    start_from(made(), pretrained[1], folder=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_start_from_scratch_in_the_same_folder_takes_the_report_of_another_away(pretrained, tmp_path):
    start_from(made(), pretrained[1], folder=tmp_path)
    start_from(made(), "scratch", folder=tmp_path)
    assert not (tmp_path / "warm_start.json").exists()


def test_bad_weights_leave_no_report(tmp_path):
    (tmp_path / "broken.pt").write_bytes(b"PK")
    with pytest.raises(WeightsError, match="E_WEIGHTS"):
        start_from(made(), str(tmp_path / "broken.pt"), folder=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["broken.pt"]


def test_a_report_that_cannot_be_written_is_told(pretrained, tmp_path):
    (tmp_path / "run").write_text("")
    with pytest.raises(OutputError, match="E_OUTPUT"):
        start_from(made(), pretrained[1], folder=tmp_path / "run")


def test_an_unknown_init_is_refused_even_with_weights(pretrained):
    with pytest.raises(ConfigError, match="gaussian"):
        start_from(made(), pretrained[1], init="zeros")


def test_what_is_frozen_is_said(pretrained, caplog):
    with caplog.at_level(logging.INFO, "mpmri_monai.bundle.network"):
        network = start_from(made(), pretrained[1], depth=2)
    assert "statistics of batch norm too: stem, block1" in caplog.text
    assert "embedding" not in caplog.text
    assert [p.requires_grad for p in network.parameters()] == [False] * 58 + [True] * 4


@pytest.mark.parametrize("other", [{"embedding": 2}, {"pooling": "gap"}, {"levels": (1, 2, 3)}])
@pytest.mark.parametrize("depth", [0, 1])
def test_random_weights_are_not_frozen_as_if_they_were_pretrained(pretrained, tmp_path, other, depth):
    with pytest.raises(WeightsError, match=r"none that fit embedding.*--finetune_depth of at least 2"):
        start_from(made(**other), pretrained[1], folder=tmp_path / "run", depth=depth)
    assert not (tmp_path / "run").exists()
    assert start_from(made(**other), pretrained[1], depth=2).tuned_depth == 2


@pytest.mark.parametrize("depth", [0, 1])
def test_a_stem_of_other_channels_may_be_frozen(pretrained, depth):
    assert start_from(made(in_channels=5), pretrained[1], depth=depth).tuned_depth == depth


@pytest.fixture
def encoder(tmp_path):
    autoencoder = PatchAutoencoder(1, (4, 13, 13), filters=4)
    save_state(autoencoder.encoder_state(), tmp_path / "encoder.pt")
    return str(tmp_path / "encoder.pt")


def in_3d(architecture="mctl"):
    return build_network(architecture, in_channels=1, num_classes=2, size=[4, 13, 13], filters=4, width=2)


@pytest.mark.parametrize("architecture", ["mctl", "dense", "cnn", "resnet10", "three_view"])
@pytest.mark.parametrize("depth", [-1, 2])
def test_every_architecture_starts_from_scratch(architecture, depth):
    network = start_from(in_3d(architecture), "scratch", "xavier", depth=depth)
    assert network.tuned_depth == (len(network.layer_names) if depth == -1 else 2)


def test_an_encoder_starts_the_classifier(encoder, tmp_path):
    start_from(in_3d(), encoder, folder=tmp_path / "run")
    record = json.loads((tmp_path / "run" / "warm_start.json").read_text())
    assert record["counts"] == {"taken": 4, "adapted": 0, "fresh": 7, "unused": 0}


def test_an_encoders_convolutions_may_be_frozen_but_not_the_dense_layer_above(encoder):
    assert start_from(in_3d(), encoder, depth=2).frozen_layers == ("conv1", "conv2")
    with pytest.raises(WeightsError, match=r"none that fit dense.*--finetune_depth of at least 2"):
        start_from(in_3d(), encoder, depth=1)


@pytest.mark.parametrize("device", ["gpu", "cuda:63", "cpu:x", ""])
def test_a_device_that_is_not_there_is_told_in_words(device):
    with pytest.raises(ConfigError, match="E_DEVICE"):
        check_device(device)


@pytest.mark.parametrize("device", ["cpu", torch.device("cpu")])
def test_the_processor_is_always_there(device):
    check_device(device)
    assert device_ids(device) is None
