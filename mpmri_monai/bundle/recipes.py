"""How a network is trained: which layers learn, by which optimiser and schedule, and how classes weigh in the loss.

``paper`` is Jia et al. (TIIS 13(10), 2019): all tuned layers alike, Adam, a tenth of the rate every 10 epochs.
``layerwise`` is Tajbakhsh et al. (IEEE TMI 35(5), 2016): SGD with momentum 0.9, the rate times 0.95 an epoch; on
pretrained weights a head that learns ten times and biases that learn twice as fast.
"""

from __future__ import annotations

import logging

import torch
from torch import nn

from mpmri_monai.bundle.provenance import SCRATCH
from mpmri_monai.errors import ConfigError
from mpmri_monai.networks import LAYERS, SPPResNet
from mpmri_monai.training import GradualUnfreezing, SampleDataset, check_balance, parameter_groups
from mpmri_monai.training.classical import NETWORK_HEAD

RECIPES = ("paper", "layerwise")
LAYERWISE_RATE, PAPER_RATE, PAPER_RATE_SCRATCH = 1e-3, 5e-4, 1e-3
MOMENTUM, LAYERWISE_DECAY = 0.9, 0.95
PAPER_STEP_EPOCHS, PAPER_DECAY = 10, 0.1

logger = logging.getLogger(__name__)


def check_recipe(recipe: str, depth: int, unfreeze_every: int, balance: str, head: str, pretrained: str) -> None:
    """Refuse a way of training that is not there or contradicts itself, before a folder is claimed for the run.

    Raises:
        ConfigError: says which option, and what it may be.
    """
    if recipe not in RECIPES:
        raise ConfigError(expected=f"a recipe among {', '.join(RECIPES)}", found=repr(recipe), code="E_OPTION")
    if not 0 <= depth <= len(LAYERS):
        raise ConfigError(
            expected=f"a finetune_depth between 0 and {len(LAYERS)} (the layers are {', '.join(LAYERS)})",
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
    if pretrained == SCRATCH and depth < len(LAYERS):
        logger.warning("there are no pretrained weights: the %d frozen layers keep random ones", len(LAYERS) - depth)


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


def unfreezing(network: SPPResNet, depth: int, every: int) -> GradualUnfreezing | None:
    """Return the handler that unfreezes a layer every ``every`` epochs, or None where that is 0."""
    return GradualUnfreezing(network, depth, every) if every else None


def loss(balance: str, dataset: SampleDataset, classes: int) -> nn.CrossEntropyLoss:
    """Return cross-entropy, with ``balance`` "weights" weighted by n / (classes · n_c) of the training samples.

    A class then counts as much as any other however few samples it has; torch divides the sum over a batch by the
    batch's weights. The validation loss is never weighted.

    Raises:
        ConfigError: a class has no training sample.
    """
    if balance != "weights":
        return nn.CrossEntropyLoss()
    labels = dataset.tensors["label"]
    counts = torch.bincount(labels.cpu(), minlength=classes)
    if (counts == 0).any():
        raise ConfigError(
            expected="training samples of every class, to weigh the classes by",
            found=f"counts {counts.tolist()}",
            code="E_CLASS_EMPTY",
        )
    return nn.CrossEntropyLoss(weight=(len(labels) / (classes * counts.float())).to(labels.device))
