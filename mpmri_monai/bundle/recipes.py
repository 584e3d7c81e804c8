"""How a network is trained: which layers learn, by which optimiser and schedule, and how classes weigh in the loss.

``paper`` is Jia et al. (TIIS 13(10), 2019): all tuned layers alike, Adam, a tenth of the rate every 10 epochs.
``layerwise`` is Tajbakhsh et al. (IEEE TMI 35(5), 2016): SGD with momentum 0.9, the rate times 0.95 an epoch; on
pretrained weights a head that learns ten times and biases that learn twice as fast.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import torch
from torch import nn

from mpmri_monai import sequences
from mpmri_monai.bundle.cohort_data import CohortData
from mpmri_monai.bundle.network import enough_to_choose_by
from mpmri_monai.bundle.provenance import SCRATCH
from mpmri_monai.errors import ConfigError
from mpmri_monai.networks import LAYERS, LayeredNetwork
from mpmri_monai.training import GradualUnfreezing, SampleDataset, check_balance, parameter_groups
from mpmri_monai.training.classical import NETWORK_HEAD
from mpmri_monai.training.loader import check_sequence_dropout
from mpmri_monai.training.sigmoid_loss import SigmoidLoss
from mpmri_monai.transforms.batch import centre_crop

RECIPES = ("paper", "layerwise")
LAYERWISE_RATE, PAPER_RATE, PAPER_RATE_SCRATCH = 1e-3, 5e-4, 1e-3
MOMENTUM, LAYERWISE_DECAY = 0.9, 0.95
PAPER_STEP_EPOCHS, PAPER_DECAY = 10, 0.1
ALL_LAYERS = -1
"""The finetune_depth that tunes every layer, however many the network has."""
KEEP_BEST = ("auto", "yes", "no")
REQUIRED_AUTO, REQUIRED_NONE = "auto", "none"
SIGMOID_NETWORKS = ("mctl", "dense")
"""Architectures whose outputs are logarithms of one sigmoid a class; the others give logits of a softmax."""

logger = logging.getLogger(__name__)


def check_recipe(
    recipe: str,
    depth: int,
    unfreeze_every: int,
    balance: str,
    head: str,
    pretrained: str,
    layers: Sequence[str] = tuple(LAYERS),
) -> None:
    """Refuse a way of training that is not there or contradicts itself, before a folder is claimed for the run.

    ``layers`` are the names of the network's, from the image to the classes.

    Raises:
        ConfigError: says which option, and what it may be.
    """
    if recipe not in RECIPES:
        raise ConfigError(expected=f"a recipe among {', '.join(RECIPES)}", found=repr(recipe), code="E_OPTION")
    if depth != ALL_LAYERS and not 0 <= depth <= len(layers):
        raise ConfigError(
            expected=f"a finetune_depth between 0 and {len(layers)}, or {ALL_LAYERS} for all (the layers are "
            f"{', '.join(layers)})",
            found=str(depth),
            code="E_DEPTH",
        )
    if unfreeze_every < 0 or (unfreeze_every and depth == 0):
        raise ConfigError(
            expected="an unfreeze_every of at least 1 with layers to tune, or 0: all of them from the first epoch",
            found=f"unfreeze_every {unfreeze_every}, finetune_depth {depth}",
            code="E_DEPTH",
        )
    if (depth == 0) != (head != NETWORK_HEAD):
        raise ConfigError(
            expected="a finetune_depth of 0 and a classical head together: such a head is fitted to a frozen network",
            found=f"finetune_depth {depth}, head {head!r}",
            fix="add --head logistic to a depth of 0" if depth == 0 else "add --finetune_depth 0 to such a head",
            code="E_DEPTH",
        )
    check_balance(balance)
    if pretrained == SCRATCH and 0 <= depth < len(layers):
        logger.warning("there are no pretrained weights: the %d frozen layers keep random ones", len(layers) - depth)


def required_sequences(
    asked: str | Sequence[str], fusion: tuple[str, ...], sequence_dropout: float = 0.0
) -> tuple[str, ...]:
    """Return the sequences of the fusion that a study must have to be answered; the others may be missing.

    One at least is needed in any case.

    Args:
        asked: ``auto``: all, unless training dropped sequences at random, then none; ``none``; or sequences, in any
            form that `sequences.fusion` reads.
        fusion: the sequences of the network, in order.
        sequence_dropout: probability with which training dropped a sequence.

    Raises:
        ConfigError: one of them is not in the fusion, or the dropout is no probability.
    """
    check_sequence_dropout(sequence_dropout)
    if asked == REQUIRED_NONE:
        return ()
    if asked == REQUIRED_AUTO:
        return () if sequence_dropout else fusion
    needed = sequences.fusion(asked, fusion)
    return tuple(name for name in fusion if name in needed)


def learning_rate(recipe: str, pretrained: str, asked: float = 0.0) -> float:
    """Return the rate ``asked`` for or, where that is 0, the recipe's own.

    The HCC paper halves its rate, 1e-3, on pretrained weights. Layer-wise tuning has 1e-3 for weights below the head.
    """
    if asked:
        return asked
    if recipe == "layerwise":
        return LAYERWISE_RATE
    return PAPER_RATE_SCRATCH if pretrained == SCRATCH else PAPER_RATE


def optimizer(
    network: nn.Module, recipe: str, depth: int, pretrained: str, learning_rate: float, weight_decay: float
) -> torch.optim.Optimizer:
    """Return the recipe's optimiser over the last ``depth`` layers; frozen ones have no part in it.

    Raises:
        ValueError: a negative learning rate or weight decay.
    """
    network = getattr(network, "module", network)
    depth = _counted(depth, network)
    if recipe == "paper" or pretrained == SCRATCH:
        groups = parameter_groups(network, depth, learning_rate, head_factor=1.0, bias_factor=1.0)
    else:
        groups = parameter_groups(network, depth, learning_rate)
    if recipe == "paper":
        return torch.optim.Adam(groups, learning_rate, weight_decay=weight_decay)
    return torch.optim.SGD(groups, learning_rate, momentum=MOMENTUM, weight_decay=weight_decay)


def lr_scheduler(optimizer: torch.optim.Optimizer, recipe: str) -> torch.optim.lr_scheduler.LRScheduler:
    """Return the recipe's schedule, stepped after each epoch."""
    if recipe == "paper":
        return torch.optim.lr_scheduler.StepLR(optimizer, PAPER_STEP_EPOCHS, PAPER_DECAY)
    return torch.optim.lr_scheduler.ExponentialLR(optimizer, LAYERWISE_DECAY)


def unfreezing(network: LayeredNetwork, depth: int, every: int) -> GradualUnfreezing | None:
    """Return the handler that unfreezes a layer every ``every`` epochs, or None where that is 0."""
    return GradualUnfreezing(network, _counted(depth, network), every) if every else None


def standardised(network: LayeredNetwork, dataset: SampleDataset, size: int | Sequence[int]) -> LayeredNetwork:
    """Return ``network``, standardising images by the training samples: their mean and range, nobody else's.

    Args:
        network: one that takes images as they are is left as it is.
        dataset: the training samples; their central crops count, without augmentation.
        size: of the network's input.

    Raises:
        ConfigError: E_CONSTANT, as `LayeredNetwork.fit_standardisation`.
    """
    network.fit_standardisation(centre_crop(dataset.tensors["image"], size), dataset.tensors["present"])
    return network


def keeps_best(keep_best: str, cohort: CohortData) -> bool:
    """Return whether the run ends with the epoch that did best in validation; else with the last one.

    Args:
        keep_best: ``auto`` where validation is large enough for that choice (`enough_to_choose_by`), ``yes`` wherever
            there are validation patients, ``no`` never. An inner fit never chooses, whatever this says: the patients
            that it would choose on are those that score it. Nor does anybody on a held-out test patient.
        cohort: whose validation patients choose.

    Raises:
        ConfigError: no such way, or ``yes`` without validation patients.
    """
    if keep_best not in KEEP_BEST:
        raise ConfigError(expected=f"a keep_best among {', '.join(KEEP_BEST)}", found=repr(keep_best), code="E_OPTION")
    if keep_best == "auto":
        return enough_to_choose_by(cohort)
    if keep_best == "no" or cohort.split.inner >= 0:
        return False
    if not cohort.smallest_class("val"):
        raise ConfigError(
            expected="validation patients to choose the best epoch by",
            found="none",
            fix="raise --split#val, or take the last epoch with --keep_best no",
            code="E_OPTION",
        )
    return True


def loss(
    balance: str, dataset: SampleDataset, classes: int, architecture: str = "spp_resnet"
) -> nn.CrossEntropyLoss | SigmoidLoss:
    """Return the network's loss: binary cross-entropy of each output for `SIGMOID_NETWORKS`, else cross-entropy.

    With ``balance`` "weights" it is weighted by n / (classes · n_c) of the training samples: a class then counts as
    much as any other however few samples it has; torch divides the sum over a batch by the batch's weights. The
    validation loss is never weighted.

    Raises:
        ConfigError: a class has no training sample.
    """
    of_outputs = SigmoidLoss if architecture in SIGMOID_NETWORKS else nn.CrossEntropyLoss
    if balance != "weights":
        return of_outputs()
    labels = dataset.tensors["label"]
    counts = torch.bincount(labels.cpu(), minlength=classes)
    if (counts == 0).any():
        raise ConfigError(
            expected="training samples of every class, to weigh the classes by",
            found=f"counts {counts.tolist()}",
            code="E_CLASS_EMPTY",
        )
    return of_outputs(weight=(len(labels) / (classes * counts.float())).to(labels.device))


def _counted(depth: int, network: LayeredNetwork) -> int:
    return len(network.layer_names) if depth == ALL_LAYERS else depth
