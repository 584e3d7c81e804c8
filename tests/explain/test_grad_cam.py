"""Grad-CAM against the formula of its paper, on a network where it can be written down."""

import numpy as np
import torch

from mpmri_monai.explain import grad_cam, last_convolution
from mpmri_monai.explain.lesion import Lesion
from mpmri_monai.networks import build_network


def lesion(samples=3, channels=2, side=32):
    image = torch.rand(samples, channels, side, side, generator=torch.Generator().manual_seed(0))
    return Lesion(image, torch.ones(samples, channels, dtype=torch.bool), torch.full((samples,), 20.0))


def test_the_map_is_the_weighted_sum_of_the_channels(brightness):
    seen = lesion()
    found = grad_cam(brightness([3.0, -1.0]), seen, 1)
    expected = (3 * seen.image[:, 0] - seen.image[:, 1]).clamp(min=0)  # gradients are the weights, up to one factor
    torch.testing.assert_close(found, expected / expected.max())


def test_each_sample_has_its_own_map_whatever_lies_beside_it(brightness):
    seen, network = lesion(), brightness([3.0, -1.0])
    together = grad_cam(network, seen, 1)
    for index in range(3):
        alone = grad_cam(network, Lesion(seen.image[[index]], seen.present[[index]], seen.extent_mm[[index]]), 1)
        torch.testing.assert_close(alone[0], together[index] / together[index].max())


def test_where_nothing_speaks_for_the_class_the_map_is_empty(brightness):
    found = grad_cam(brightness([-1.0, -2.0]), lesion(), 1)
    assert np.array_equal(found.numpy(), np.zeros((3, 32, 32)))


def test_it_is_taken_from_the_last_convolution():
    assert last_convolution(build_network("spp_resnet", in_channels=3)) == "stage3.2"
    assert last_convolution(build_network("mctl", in_channels=1, num_classes=2, size=[4, 16, 16])) == "conv2"
    assert last_convolution(build_network("dense", in_channels=1, num_classes=2, size=[4, 16, 16])) is None


def test_one_encoder_for_every_sequence_gives_a_sample_the_mean_of_its_own_maps():
    """Which pictures are there differs from sample to sample; what lies beside a sample must not matter."""
    torch.manual_seed(5)
    network, seen = build_network("subset", in_channels=2, num_classes=2).eval(), lesion()
    present = torch.tensor([[True, True], [False, True], [True, False]])
    together = grad_cam(network, Lesion(seen.image, present, seen.extent_mm), 1)
    highest = together.flatten(1).amax(dim=1)
    assert highest.max() == 1
    for index in range(3):
        alone = grad_cam(network, Lesion(seen.image[[index]], present[[index]], seen.extent_mm[[index]]), 1)
        torch.testing.assert_close(alone[0] * highest[index], together[index], atol=1e-5, rtol=1e-4)
