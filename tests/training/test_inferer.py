"""Number formats and memory layout change the time, not what comes out."""

import pytest
import torch

from mpmri_monai.errors import ConfigError
from mpmri_monai.networks import SPPResNet, read_weights, save_weights
from mpmri_monai.training import Inferer

BF16_ERROR = 0.05
"""Largest difference of a logit of order 1: bfloat16 keeps 8 bits, and errors add up over 20 layers."""


@pytest.fixture
def network():
    torch.manual_seed(0)
    return SPPResNet(in_channels=2).eval()


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(1)
    return torch.rand((4, 2, 32, 32), generator=generator), torch.tensor([[True, True], [True, False]] * 2)


def test_single_precision_gives_what_the_plain_call_gives(network, batch):
    image, present = batch
    with torch.no_grad():
        plain = network(image, present)
        fast = Inferer()(image, network.to(memory_format=torch.channels_last), present=present)
    assert fast.dtype == torch.float32
    torch.testing.assert_close(fast, plain, rtol=0, atol=1e-5)


def test_half_precision_is_close_returns_float32_and_trains_float32_weights(network, batch):
    image, present = batch
    network.train()
    logits = Inferer("bf16")(image, network, present=present)
    with torch.no_grad():
        plain = Inferer()(image, network, present=present)
    assert logits.dtype == torch.float32
    assert not torch.equal(logits, plain)
    assert (logits - plain).abs().max() < BF16_ERROR * plain.abs().max().clamp(min=1)
    logits.sum().backward()
    assert all(weight.grad.dtype == torch.float32 for weight in network.parameters())


def test_another_precision_is_refused():
    with pytest.raises(ConfigError, match="fp32, bf16"):
        Inferer("fp16")


def test_weights_on_disk_do_not_depend_on_the_layout_in_memory(network, tmp_path):
    save_weights(network, tmp_path / "plain.pt")
    save_weights(network.to(memory_format=torch.channels_last), tmp_path / "fast.pt")
    assert (tmp_path / "plain.pt").read_bytes() == (tmp_path / "fast.pt").read_bytes()
    assert all(tensor.is_contiguous() for tensor in read_weights(tmp_path / "fast.pt").values())
