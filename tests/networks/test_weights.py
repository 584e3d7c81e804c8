import pickle
import zipfile

import pytest
import torch
from torch import nn

from mpmri_monai.errors import WeightsError
from mpmri_monai.networks import SPPResNet, load_weights, read_weights, save_weights, weights


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
    with pytest.raises(WeightsError, match="pickled code; nothing in it was run"):
        read_weights(tmp_path / "model.pt")
    assert "ran" not in capsys.readouterr().out


@pytest.mark.parametrize("content", [torch.zeros(3), [torch.zeros(3)], {}, {"a": 1}, {"model": {"a": torch.zeros(3)}}])
def test_only_a_state_dict_is_one(tmp_path, content):
    torch.save(content, tmp_path / "model.pt")
    with pytest.raises(WeightsError, match="state dict"):
        read_weights(tmp_path / "model.pt")


@pytest.mark.parametrize(
    ("tensor", "found"),
    [
        (torch.eye(3).to_sparse(), "sparse"),
        (torch.zeros(3, dtype=torch.complex64), "complex64"),
        (torch.zeros(3, device="meta"), "on meta"),
        (torch.zeros(1).expand(10**12), "more than"),
    ],
    ids=["sparse", "complex", "without content", "a view far larger than its file"],
)
def test_tensors_that_are_no_plain_ones_are_refused(tmp_path, tensor, found):
    torch.save({"a": tensor}, tmp_path / "model.pt")
    with pytest.raises(WeightsError, match=found):
        read_weights(tmp_path / "model.pt")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e300], ids=["NaN", "infinity", "above float32"])
def test_values_that_are_not_finite_are_refused_wherever_weights_are_loaded(tmp_path, value):
    state = SPPResNet().state_dict()
    state["conv1.weight"] = torch.full_like(state["conv1.weight"], value, dtype=torch.float64)
    torch.save(state, tmp_path / "model.pt")
    with pytest.raises(WeightsError, match=r"NaN or infinity in conv1\.weight"):
        load_weights(SPPResNet(), tmp_path / "model.pt")


def test_an_archive_that_grows_is_refused_before_it_has_grown(tmp_path, monkeypatch):
    monkeypatch.setattr(weights, "LARGEST_FILE_BYTES", 2**20)
    path = tmp_path / "model.pt"
    save_weights(nn.Linear(2**18, 4), tmp_path / "large.pt")  # 4 MiB of one number
    with zipfile.ZipFile(tmp_path / "large.pt") as large, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as small:
        for member in large.infolist():
            small.writestr(member.filename, bytes(member.file_size))
    assert path.stat().st_size < 2**20
    with pytest.raises(WeightsError, match="at most 1048576 bytes"):
        read_weights(path)


def test_a_single_changed_bit_is_noticed(tmp_path):
    path = tmp_path / "model.pt"
    save_weights(SPPResNet(), path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(WeightsError, match="damaged"):
        read_weights(path)


def test_a_tensor_without_numbers_is_refused(tmp_path):
    state = SPPResNet().state_dict() | {"conv1.weight": torch.zeros(16, 0, 3, 3)}
    torch.save(state, tmp_path / "model.pt")
    with pytest.raises(WeightsError, match=r"without any number under 'conv1\.weight'"):
        read_weights(tmp_path / "model.pt")
