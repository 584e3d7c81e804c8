"""Probabilities of one crop and of many."""

import numpy as np
import pytest
import torch
from torch import nn

from mpmri_monai.networks import SPPResNet
from mpmri_monai.training import AveragingInferer, predict
from mpmri_monai.transforms.averaging import averaging_crops

SAME_SUM = 1e-6
"""float32 in another order of sums."""


@pytest.fixture
def network():
    torch.manual_seed(0)
    return SPPResNet(in_channels=3, num_classes=3).eval()


@torch.no_grad()
def test_averaging_is_the_mean_probability_over_the_crops(network, make_samples):
    samples = make_samples(3)
    stored, present = torch.as_tensor(samples.image), torch.as_tensor(samples.present)
    answers = [torch.softmax(network(crop, present).double(), dim=1) for crop in averaging_crops(stored, 32)]
    averaged = predict(network, samples, "cpu", averaging=True)
    np.testing.assert_allclose(averaged, torch.stack(answers).mean(dim=0).numpy(), atol=SAME_SUM)
    np.testing.assert_allclose(averaged.sum(axis=1), 1, atol=1e-12)
    assert np.abs(averaged - predict(network, samples, "cpu")).max() > 1e-3


def test_averaging_knows_the_size_feature_and_absent_channels(make_samples):
    torch.manual_seed(0)
    network = SPPResNet(in_channels=3, num_classes=3, size_feature=True)
    with torch.no_grad():
        network.absent.fill_(0.7)
        network.classifier.weight.mul_(3)
    data = make_samples(2)
    before = predict(network, data, "cpu", averaging=True)
    data.present[:, 1] = False
    without = predict(network, data, "cpu", averaging=True)
    assert np.abs(before - without).max() > 1e-6
    data.extent_mm[:] = 60
    assert np.abs(without - predict(network, data, "cpu", averaging=True)).max() > 1e-3


class Certain(nn.Module):
    """Is sure of class 0 where the crop's mean is above 0.5, else of class 1; the other logit is minus infinity."""

    def forward(self, image):
        bright = image.mean(dim=(1, 2, 3)) > 0.5
        return torch.log(torch.stack([bright.float(), (~bright).float()], dim=1))


def test_probabilities_of_nought_and_one_are_averaged_like_any_other():
    images = torch.zeros(2, 1, 52, 52)
    images[0] = 1
    logits = AveragingInferer(32)(images, Certain())
    assert torch.softmax(logits, dim=1).tolist() == [[1, 0], [0, 1]]
