import pickle

import pytest
import torch

from mpmri_monai.errors import WeightsError
from mpmri_monai.networks import SPPResNet, load_weights, read_weights, save_weights, warm_start


def states_equal(a, b):
    return all(torch.equal(a.state_dict()[name], b.state_dict()[name]) for name in a.state_dict())


def test_round_trip(tmp_path):
    network, other = SPPResNet(), SPPResNet()
    save_weights(network, tmp_path / "model.pt")
    assert not states_equal(network, other)
    load_weights(other, tmp_path / "model.pt")
    assert states_equal(network, other)


@pytest.mark.parametrize("options", [{"embedding": 16}, {"in_channels": 2}, {"pooling": "gap"}, {"num_classes": 2}])
def test_weights_of_another_network_are_refused_and_change_nothing(tmp_path, options):
    save_weights(SPPResNet(), tmp_path / "model.pt")
    other = SPPResNet(**options)
    before = {name: tensor.clone() for name, tensor in other.state_dict().items()}
    with pytest.raises(WeightsError, match="of another shape"):
        load_weights(other, tmp_path / "model.pt")
    assert all(torch.equal(before[name], tensor) for name, tensor in other.state_dict().items())


def test_missing_file_is_an_error_not_random_weights(tmp_path):
    with pytest.raises(WeightsError, match="no file"):
        load_weights(SPPResNet(), tmp_path / "model.pt")


class Bomb:
    def __reduce__(self):
        return print, ("ran",)


@pytest.mark.parametrize("content", [b"", b"not weights", pickle.dumps(Bomb())])
def test_damaged_or_foreign_files_are_refused(tmp_path, content, capsys):
    path = tmp_path / "model.pt"
    path.write_bytes(content)
    with pytest.raises(WeightsError):
        read_weights(path)
    assert "ran" not in capsys.readouterr().out


def test_code_in_a_weights_file_does_not_run(tmp_path, capsys):
    torch.save({"a": Bomb()}, tmp_path / "model.pt")
    with pytest.raises(WeightsError):
        read_weights(tmp_path / "model.pt")
    assert "ran" not in capsys.readouterr().out


def test_warm_start_reports_what_it_took(tmp_path):
    source = SPPResNet(num_classes=10)
    save_weights(source, tmp_path / "model.pt")
    network = SPPResNet(num_classes=3)
    report = warm_start(network, tmp_path / "model.pt")
    assert set(report.fresh) == {"classifier.weight", "classifier.bias"}
    assert len(report.loaded) + len(report.fresh) == len(network.state_dict())
    assert torch.equal(network.conv1.weight, source.conv1.weight)


def test_warm_start_from_another_kind_of_network_is_refused(tmp_path):
    torch.save(torch.nn.Linear(3, 3).state_dict(), tmp_path / "model.pt")
    with pytest.raises(WeightsError, match="at least half"):
        warm_start(SPPResNet(), tmp_path / "model.pt")
