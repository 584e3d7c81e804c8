"""Optimiser, schedule and loss of each recipe, and what contradicts itself."""

from types import SimpleNamespace

import pytest
import torch

from mpmri_monai.bundle.recipes import check_recipe, learning_rate, loss, lr_scheduler, optimizer, unfreezing
from mpmri_monai.errors import ConfigError
from mpmri_monai.networks import SPPResNet

GOOD = {
    "recipe": "layerwise", "depth": 3, "unfreeze_every": 0, "balance": "none", "head": "network",
    "pretrained": "weights.pt",
}  # fmt: skip


@pytest.fixture
def network():
    return SPPResNet(embedding=4)


def rates_after(epochs, recipe, network):
    chosen = optimizer(network, recipe, 12, "weights.pt", 1e-3, 0.0)
    schedule = lr_scheduler(chosen, recipe)
    rates = []
    for _ in range(epochs):
        rates.append(chosen.param_groups[0]["lr"])
        chosen.step()
        schedule.step()
    return rates


def test_layerwise_is_sgd_with_momentum_that_loses_five_percent_an_epoch(network):
    chosen = optimizer(network, "layerwise", 12, "weights.pt", 1e-3, 1e-4)
    assert isinstance(chosen, torch.optim.SGD)
    assert {group["momentum"] for group in chosen.param_groups} == {0.9}
    assert {group["weight_decay"] for group in chosen.param_groups} == {1e-4}
    assert [group["lr"] for group in chosen.param_groups] == pytest.approx([1e-3, 2e-3, 1e-2, 2e-2])
    assert rates_after(3, "layerwise", network) == pytest.approx([1e-3, 0.95e-3, 0.9025e-3])


def test_the_paper_is_adam_with_a_tenth_after_ten_epochs(network):
    chosen = optimizer(network, "paper", 12, "weights.pt", 1e-3, 1e-4)
    assert isinstance(chosen, torch.optim.Adam)
    assert len(chosen.param_groups) == 1
    assert rates_after(12, "paper", network)[8:] == pytest.approx([1e-3, 1e-3, 1e-4, 1e-4])


def test_from_scratch_every_layer_learns_alike(network):
    chosen = optimizer(network, "layerwise", 12, "scratch", 1e-3, 0.0)
    assert {group["lr"] for group in chosen.param_groups} == {1e-3}


def test_frozen_layers_are_not_the_optimisers(network):
    chosen = optimizer(network, "paper", 1, "weights.pt", 1e-3, 0.0)
    assert sum(len(group["params"]) for group in chosen.param_groups) == 2
    assert sum(len(group["params"]) for group in optimizer(network, "paper", 0, "w", 1e-3, 0.0).param_groups) == 0


@pytest.mark.parametrize(
    ("recipe", "pretrained", "rate"),
    [("paper", "scratch", 1e-3), ("paper", "w.pt", 5e-4), ("layerwise", "scratch", 1e-3), ("layerwise", "w.pt", 1e-3)],
)
def test_a_rate_of_zero_is_the_recipes_own(recipe, pretrained, rate):
    assert learning_rate(recipe, pretrained) == rate
    assert learning_rate(recipe, pretrained, 0.25) == 0.25


def test_weights_give_every_class_the_same_weight_in_the_whole():
    labels = torch.tensor([0] * 6 + [1] * 3 + [2])
    dataset = SimpleNamespace(tensors={"label": labels})
    weights = loss("weights", dataset, 3).weight
    torch.testing.assert_close(weights, torch.tensor([10 / 18, 10 / 9, 10 / 3]))
    torch.testing.assert_close(weights[labels].sum(), torch.tensor(10.0))  # as if unweighted, over all samples
    assert loss("none", dataset, 3).weight is loss("downsample", dataset, 3).weight is None
    with pytest.raises(ConfigError, match="E_CLASS_EMPTY"):
        loss("weights", dataset, 4)


def test_no_schedule_without_epochs_to_unfreeze_by(network):
    assert unfreezing(network, 3, 0) is None
    assert unfreezing(network, 3, 2).every == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"recipe": "layer-wise"}, "paper, layerwise"),
        ({"depth": 13}, "between 0 and 12"),
        ({"depth": -2}, "between 0 and 12, or -1 for all"),
        ({"depth": 0}, "--head logistic"),
        ({"head": "svm"}, "--finetune_depth 0"),
        ({"unfreeze_every": -1}, "unfreeze_every"),
        ({"unfreeze_every": 1, "depth": 0, "head": "svm"}, "unfreeze_every"),
        ({"balance": "upsample"}, "downsample"),
    ],
)
def test_contradictions_are_refused_by_name(change, message):
    with pytest.raises(ConfigError, match=message):
        check_recipe(**GOOD | change)


@pytest.mark.parametrize("change", [{}, {"depth": 0, "head": "svm"}, {"unfreeze_every": 2}, {"recipe": "paper"}])
def test_what_fits_together_is_taken_in_silence(change, caplog):
    check_recipe(**GOOD | change)
    assert caplog.text == ""


def test_frozen_layers_without_pretrained_weights_are_said(caplog):
    check_recipe(**GOOD | {"pretrained": "scratch"})
    assert "the 9 frozen layers keep random ones" in caplog.text
