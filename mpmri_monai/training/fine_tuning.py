"""Layer-wise fine-tuning: how fast each tuned layer learns, and from which epoch on.

Tajbakhsh et al., "Convolutional neural networks for medical image analysis: full training or fine tuning?", IEEE TMI
35(5), 2016. A depth k tunes the last k layers of ``LayeredNetwork.layers()``; those below keep every bit they have.
"""

from __future__ import annotations

import logging
from typing import Any

import ignite.distributed as idist
from ignite.engine import Engine, Events
from torch import nn

from mpmri_monai.errors import ConfigError
from mpmri_monai.networks import LayeredNetwork

HEAD_FACTOR = 10.0
"""The new head learns at 0.01, the pretrained layers at 0.001 (Tajbakhsh et al., section III)."""
BIAS_FACTOR = 2.0
"""Biases learn twice as fast as weights, as in the paper; the shifts of batch norm count as biases."""

logger = logging.getLogger(__name__)


def read_depths(typed: str) -> tuple[int, ...]:
    """Return the depths of a text such as ``0,1,2``; none of an empty one.

    Raises:
        ConfigError: it holds something else than whole numbers.
    """
    try:
        return tuple(int(part) for part in typed.split(",")) if typed else ()
    except ValueError as error:
        raise ConfigError(expected="depths such as 0,1,2", found=repr(typed), code="E_DEPTH") from error


def parameter_groups(
    network: LayeredNetwork,
    depth: int,
    learning_rate: float,
    head_factor: float = HEAD_FACTOR,
    bias_factor: float = BIAS_FACTOR,
) -> list[dict[str, Any]]:
    """Return the optimiser's groups for the last ``depth`` layers, one for each learning rate, the lowest first.

    Parameters of frozen layers are in no group. A group may be empty, so that the first one's rate is the recipe's
    whatever the depth.

    Args:
        network: names its layers from the image to the classes.
        depth: layers that are tuned, counted from the head; 0 leaves every group empty.
        learning_rate: of the weights below the head.
        head_factor: of the head's rate. 1 from scratch, where no layer is newer than another.
        bias_factor: of the rate of biases, of the head's too. 1 from scratch.
    """
    layers = list(network.layers().values())
    groups: dict[float, list[nn.Parameter]] = {
        factor: [] for factor in sorted({1.0, bias_factor, head_factor, head_factor * bias_factor})
    }
    for layer in layers[len(layers) - depth :]:
        of_layer = head_factor if layer is layers[-1] else 1.0
        for name, parameter in layer.items():
            groups[of_layer * (bias_factor if name.endswith(".bias") else 1.0)].append(parameter)
    return [{"params": members, "lr": learning_rate * factor} for factor, members in groups.items()]


class GradualUnfreezing:
    """Handler that tunes one more layer every few epochs, from the head downwards: 1, 2, … up to ``depth`` layers.

    Which layers are tuned depends on the epoch alone, so that a resumed run goes on as if never stopped. The learning
    rate's schedule takes no notice: a layer joins at the rate of the epoch in which it joins.

    Args:
        network: whose layers are tuned; the optimiser's groups already hold all ``depth`` of them.
        depth: layers that are tuned in the end, counted from the head.
        every: epochs after which one more layer is tuned.

    Raises:
        ConfigError: there is nothing to unfreeze, or training runs in several processes: DistributedDataParallel
            settles which parameters it keeps in step when it is made.
    """

    def __init__(self, network: LayeredNetwork, depth: int, every: int) -> None:
        if every < 1 or depth < 1:
            raise ConfigError(
                expected="a depth and a number of epochs, of at least 1 each, to unfreeze layers by",
                found=f"depth {depth}, every {every}",
                code="E_DEPTH",
            )
        if idist.get_world_size() > 1:
            raise ConfigError(
                expected="one process to unfreeze layers gradually",
                found=f"{idist.get_world_size()} processes",
                fix="train without torchrun, or with --unfreeze_every 0",
                code="E_DEPTH",
            )
        self.network, self.depth, self.every = network, depth, every

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.EPOCH_STARTED, self._tune)

    def depth_in(self, epoch: int) -> int:
        """Return how many layers are tuned in ``epoch``, counted from 1."""
        return min(self.depth, 1 + (epoch - 1) // self.every)

    def _tune(self, engine: Engine) -> None:
        depth = self.depth_in(engine.state.epoch)
        if depth != self.network.tuned_depth:
            logger.info("from epoch %d on, the last %d layers are tuned", engine.state.epoch, depth)
            self.network.tune(depth)
