"""Variants of a lesion, and how many of them agree."""

import pytest
import torch

from mpmri_monai.explain import agreement, variants
from mpmri_monai.explain.lesion import Lesion
from mpmri_monai.transforms.averaging import averaging_crops
from mpmri_monai.transforms.batch import centre_crop


def test_of_planes_they_are_the_crops_of_averaging():
    stored = torch.rand(2, 3, 52, 52)
    for found, expected in zip(variants(stored, 32), averaging_crops(stored, 32), strict=True):
        assert torch.equal(found, expected)


@pytest.mark.parametrize(("side", "count"), [(32, 6), (40, 6)])
def test_where_there_is_no_room_they_are_the_six_views(side, count):
    stored = torch.rand(1, 1, side, side)
    found = list(variants(stored, 32))
    assert len(found) == count and torch.equal(found[0], centre_crop(stored, 32))
    assert len({crops.numpy().tobytes() for crops in found}) == count


@pytest.mark.parametrize(("stored", "count"), [((6, 40, 40), 5), ((4, 25, 25), 1), ((4, 27, 25), 3)])
def test_volumes_are_shifted_in_the_plane_as_far_as_there_is_room(stored, count):
    image = torch.rand(1, 1, *stored)
    found = list(variants(image, (4, 25, 25)))
    assert len(found) == count and all(crops.shape[2:] == (4, 25, 25) for crops in found)
    assert torch.equal(found[0], centre_crop(image, (4, 25, 25)))
    assert len({crops.numpy().tobytes() for crops in found}) == count


def test_agreement_counts_the_variants_of_the_same_class(brightness):
    """Bright in the upper right quarter, the network looks there: of the six views the identity alone agrees."""
    image = torch.zeros(1, 1, 32, 32)
    image[..., 2:14, 18:30] = 1.0
    seen = Lesion(image, torch.tensor([[True]]), torch.tensor([20.0]))
    network = brightness([10.0], square=(slice(4, 12), slice(20, 28)))
    network.classifier.bias = torch.nn.Parameter(torch.tensor([5.0, 0.0]))  # without brightness it is class 0
    assert agreement(network, seen, 32, 1) == (pytest.approx(1 / 6), 6)
    assert agreement(network, seen, 32, 0) == (pytest.approx(5 / 6), 6)
