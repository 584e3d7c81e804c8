"""Occlusion against a plain loop over the same patches."""

import numpy as np
import pytest
import torch

from mpmri_monai.explain import occlusion
from mpmri_monai.explain.lesion import Lesion
from mpmri_monai.networks import build_network


def by_hand(network, seen, class_index, patch, step):
    """Return the mean change over all patches that cover a pixel, each patch filled with its channel's mean."""
    side = seen.image.shape[-1]
    total, count = np.zeros((side, side)), np.zeros((side, side))

    def probability(image):
        with torch.no_grad():
            logits = network(image, present=seen.present, extent_mm=seen.extent_mm)
        return torch.softmax(logits, dim=1).mean(dim=0)[class_index].item()

    whole = probability(seen.image)
    for row in range(0, side - patch + 1, step):
        for column in range(0, side - patch + 1, step):
            image = seen.image.clone()
            means = image.mean(dim=(2, 3), keepdim=True)
            place = (..., slice(row, row + patch), slice(column, column + patch))
            image[place] = means.expand_as(image)[place]
            total[place[1:]] += probability(image) - whole
            count[place[1:]] += 1
    return total / count


@pytest.mark.parametrize("channels", [1, 3])
def test_it_is_what_a_plain_loop_finds(channels):
    torch.manual_seed(2)
    network = build_network("spp_resnet", in_channels=channels, num_classes=3).eval()
    image = torch.rand(2, channels, 32, 32, generator=torch.Generator().manual_seed(1))
    present = torch.ones(2, channels, dtype=torch.bool)
    present[1, 0] = channels == 1
    seen = Lesion(image, present, torch.full((2,), 20.0))
    found = occlusion(network, seen, 2).numpy()
    np.testing.assert_allclose(found, by_hand(network, seen, 2, patch=8, step=4), atol=1e-6)
    assert np.ptp(found) > 1e-4  # the comparison is about something


def test_only_where_the_network_looks_does_covering_change_the_answer(brightness):
    image = torch.zeros(1, 1, 32, 32)
    image[..., 8:16, 20:28] = 1.0
    found = occlusion(brightness([5.0]), Lesion(image, torch.tensor([[True]]), torch.tensor([20.0])), 1).numpy()
    assert found.min() == found[8:16, 20:28].min() < -0.1
    assert np.abs(found[20:, :12]).max() < 1e-6


def test_of_a_volume_it_is_a_volume():
    network = build_network("mctl", in_channels=2, num_classes=2, size=[4, 16, 16])
    image = torch.rand(1, 2, 4, 16, 16)
    seen = Lesion(image, torch.ones(1, 2, dtype=torch.bool), torch.tensor([20.0]))
    assert occlusion(network, seen, 0).shape == (4, 16, 16)
