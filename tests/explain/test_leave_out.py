"""Importance by leaving out: closed form, and no way for an absent sequence's pixels to matter."""

import pytest
import torch

from mpmri_monai.explain import importance
from mpmri_monai.explain.lesion import Lesion

NAMES = ("T2", "S4")


def lesion(present=((True, True), (True, True))):
    image = torch.rand(2, 2, 32, 32, generator=torch.Generator().manual_seed(4))
    return Lesion(image, torch.tensor(present), torch.full((2,), 20.0))


def shares(network, seen, weights):
    """Return the probability of class 1, by hand: absent channels are the constant, which is 0."""
    brightness = seen.image[..., *network.square].mean(dim=(-2, -1)) * seen.present
    return torch.sigmoid(brightness @ torch.tensor(weights)).mean().item()


def test_it_is_the_change_of_the_probability(brightness):
    network, seen = brightness([2.0, -3.0]), lesion()
    found = importance(network, seen, 1, NAMES)
    whole = shares(network, seen, [2.0, -3.0])
    assert found == pytest.approx(
        {"T2": shares(network, seen, [0.0, -3.0]) - whole, "S4": shares(network, seen, [2.0, 0.0]) - whole}
    )
    assert found["T2"] < 0 < found["S4"]  # T2 spoke for the class, S4 against it


def test_a_sequence_that_is_not_there_has_none_and_its_pixels_do_not_matter(brightness):
    seen = lesion([[True, False], [True, True]])
    other = seen.image.clone()
    other[0, 1] = 99.0
    network = brightness([2.0, -3.0])
    assert importance(network, seen, 1, NAMES) == importance(network, seen.seen_as(other), 1, NAMES)
    assert importance(network, lesion([[True, False], [True, False]]), 1, NAMES) == {}


def test_the_only_sequence_of_a_sample_cannot_be_left_out(brightness):
    found = importance(brightness([2.0, -3.0]), lesion([[True, False], [True, True]]), 1, NAMES)
    assert set(found) == {"S4"}
