"""Optimiser, schedule and loss of each recipe, and what contradicts itself."""

from types import SimpleNamespace

import pytest
import torch

from mpmri_monai.bundle.recipes import (
    check_recipe,
    keeps_best,
    learning_rate,
    loss,
    lr_scheduler,
    optimizer,
    required_sequences,
    standardised,
    unfreezing,
)
from mpmri_monai.errors import ConfigError
from mpmri_monai.networks import MCTLNetwork, SPPResNet
from mpmri_monai.training.sigmoid_loss import SigmoidLoss

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


def test_networks_of_sigmoids_have_their_loss_weighted_or_not():
    dataset = SimpleNamespace(tensors={"label": torch.tensor([0, 0, 0, 1])})
    plain, weighted = (loss(balance, dataset, 2, "mctl") for balance in ("none", "weights"))
    assert isinstance(plain, SigmoidLoss) and plain.weight is None
    torch.testing.assert_close(weighted.weight, torch.tensor([4 / 6, 2.0]))
    assert isinstance(loss("none", dataset, 2, "resnet10"), torch.nn.CrossEntropyLoss)


@pytest.fixture
def volumes():
    return MCTLNetwork(1, 2, (2, 4, 4), layers=1, filters=2, dense=2)


def test_every_layer_of_any_network_is_tuned_at_minus_one(volumes):
    tuned = optimizer(volumes, "paper", -1, "scratch", 1e-3, 0.0).param_groups
    assert sum(len(group["params"]) for group in tuned) == len(list(volumes.parameters()))
    assert unfreezing(volumes, -1, 2).depth == len(volumes.layer_names) == 3
    check_recipe(**GOOD | {"depth": -1, "layers": volumes.layer_names})
    with pytest.raises(ConfigError, match=r"between 0 and 3.*conv1, dense, head"):
        check_recipe(**GOOD | {"depth": 4, "layers": volumes.layer_names})


def test_the_standardisation_is_that_of_what_the_network_sees_of_the_present_samples(volumes):
    image = torch.rand(3, 1, 4, 8, 8)
    image[:, :, :, 0] = 50.0  # the margin for augmentation, which is cut off
    image[2] = 0.0  # an absent sequence
    present = torch.tensor([[True], [True], [False]])
    standardised(volumes, SimpleNamespace(tensors={"image": image, "present": present}), (2, 4, 4))
    seen = image[:2, :, 1:3, 2:6, 2:6]
    torch.testing.assert_close(volumes.standardise.mean, seen.mean()[None])
    torch.testing.assert_close(volumes.standardise.range, (seen.max() - seen.min())[None])


@pytest.mark.parametrize(
    ("keep_best", "smallest", "inner", "kept"),
    [
        ("auto", 9, -1, False),
        ("auto", 10, -1, True),
        ("auto", 10, 0, False),
        ("yes", 1, -1, True),
        ("yes", 1, 0, False),
        ("no", 10, -1, False),
    ],
)
def test_the_best_epoch_counts_where_it_may_and_never_in_an_inner_fit(keep_best, smallest, inner, kept):
    split = SimpleNamespace(inner=inner)
    cohort = SimpleNamespace(replica=False, split=split, smallest_class=lambda role: {"val": smallest}[role])
    assert keeps_best(keep_best, cohort) is kept


def test_the_best_epoch_needs_somebody_to_choose_by():
    nobody = SimpleNamespace(replica=False, split=SimpleNamespace(inner=-1), smallest_class=lambda role: 0)
    with pytest.raises(ConfigError, match="--keep_best no"):
        keeps_best("yes", nobody)
    with pytest.raises(ConfigError, match="auto, yes, no"):
        keeps_best("always", nobody)


FUSION = ("T2", "OUT", "S4")


@pytest.mark.parametrize(
    ("asked", "dropout", "needed"),
    [
        ("auto", 0.0, FUSION),
        ("auto", 0.3, ()),
        ("none", 0.0, ()),
        ("S4-T2", 0.3, ("T2", "S4")),
        (["OUT"], 0.0, ("OUT",)),
    ],
)
def test_what_a_study_must_have(asked, dropout, needed):
    assert required_sequences(asked, FUSION, dropout) == needed


@pytest.mark.parametrize(("asked", "found"), [("S5", "S5"), ("all", "all"), ("", "''"), ("T2-T2", "T2-T2")])
def test_nothing_outside_the_fusion_can_be_required(asked, found):
    with pytest.raises(ConfigError, match=found):
        required_sequences(asked, FUSION)


@pytest.mark.parametrize("share", [-0.1, 1.0, float("nan")])
def test_a_dropout_that_is_no_probability_is_refused_before_training(share):
    with pytest.raises(ConfigError, match=r"E_OPTION.*sequence_dropout"):
        required_sequences("auto", FUSION, share)
