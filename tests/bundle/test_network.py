"""Which device trains."""

import pytest
import torch

from mpmri_monai.bundle.network import check_device, device_ids
from mpmri_monai.errors import ConfigError


@pytest.mark.parametrize("device", ["gpu", "cuda:63", "cpu:x", ""])
def test_a_device_that_is_not_there_is_told_in_words(device):
    with pytest.raises(ConfigError, match="E_DEVICE"):
        check_device(device)


@pytest.mark.parametrize("device", ["cpu", torch.device("cpu")])
def test_the_processor_is_always_there(device):
    check_device(device)
    assert device_ids(device) is None
