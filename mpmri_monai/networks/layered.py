"""What every network of this package has: layers that fine-tuning counts, and constants for absent sequences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

import torch
from torch import Tensor, nn

from mpmri_monai.errors import ConfigError

HEAD = "classifier"
"""Every network's last layer, ``head``, is the linear layer of this name."""
ABSENT = "absent"
FITTED = "standardise."
"""Prefix of what is fitted on the training samples, never learned and never pretrained."""


class LayeredNetwork(nn.Module):
    """A network whose layers can be frozen from the image upwards.

    Subclasses give ``layer_parts``. Classifiers also give ``forward(image, present, extent_mm) -> (batch, class)``,
    whose softmax is the probability, ``features(image, present) -> (batch, feature)``, what the head sees, and
    ``fixed_features`` alike, what a classical classifier is fitted on in the head's place.

    Args:
        channels: that the first layer sees; each has a learned constant, which stands where its sequence is absent.
    """

    layer_parts: Mapping[str, tuple[str, ...]]
    """The layers that fine-tuning counts, from the image to the classes, and the network's parts in each."""
    reads_every_voxel: str | None = None
    """The weight whose length follows from the size of the crops, where there is one."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.absent = nn.Parameter(torch.zeros(channels))
        self._frozen = 0
        self._keeps_statistics = False

    @property
    def layer_names(self) -> tuple[str, ...]:
        """Names of the layers, from the image to the classes."""
        return tuple(self.layer_parts)

    @property
    def frozen_layers(self) -> tuple[str, ...]:
        """Names of the layers that are not trained."""
        return self.layer_names[: self._frozen]

    @property
    def tuned_depth(self) -> int:
        """Number of layers that are trained, counted from the head."""
        return len(self.layer_names) - self._frozen

    @property
    def stem(self) -> str | None:
        """Name of the first convolution's weight; None where there is no convolution."""
        convolutions = (n for n, module in self.named_modules() if isinstance(module, nn.Conv2d | nn.Conv3d))
        first = next(convolutions, None)
        return first and f"{first}.weight"

    def expected_from_file(self) -> tuple[str, ...]:
        """Return the names in the state dict that pretrained weights of this kind of network fill, head included."""
        return tuple(name for name in self.state_dict() if not name.startswith(FITTED))

    def layers(self) -> dict[str, dict[str, nn.Parameter]]:
        """Return the parameters of each layer by their names in the state dict, in the order of the layers."""
        parameters = dict(self.named_parameters())
        return {
            layer: {name: p for name, p in parameters.items() if belongs(name, parts)}
            for layer, parts in self.layer_parts.items()
        }

    def tune(self, depth: int) -> Self:
        """Train the last ``depth`` layers and freeze those below; return the network.

        A frozen layer keeps every bit: its parameters want no gradient, and its batch norm uses and keeps the
        statistics that it has, in training too. It stays so whatever ``train`` is called with.

        Args:
            depth: 0 (none) to the number of layers (all, as in a new network), or -1 for all; 1 is the head alone.

        Raises:
            ConfigError: there is no such depth.
        """
        count = len(self.layer_names)
        if type(depth) is not int or not -1 <= depth <= count:
            raise ConfigError(expected=f"a depth of 0 to {count} layers, or -1 for all", found=repr(depth))
        self._frozen = 0 if depth == -1 else count - depth
        frozen = self.frozen_layers
        for layer, parameters in self.layers().items():
            for parameter in parameters.values():
                parameter.requires_grad_(layer not in frozen)
                if layer in frozen:
                    parameter.grad = None  # one of an earlier step would still move it
        return self.train(self.training)

    def keep_statistics(self) -> Self:
        """Let every batch norm, of tuned layers too, use and keep the statistics that it has, in training too.

        Its scale and shift are learned as before. What a step does to one sample then depends on no other sample of the
        batch, so that several processes train as one on their joint batch, and a few patients do not replace the
        statistics of many.
        """
        self._keeps_statistics = True
        return self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        """Switch between training and evaluation; frozen layers, and statistics that are kept, stay in evaluation."""
        super().train(mode)
        if self._keeps_statistics:
            for module in self.modules():
                if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d):
                    module.eval()
        for layer in self.frozen_layers:
            for part in self.layer_parts[layer]:
                if part != ABSENT:  # a parameter, which has no mode
                    self.get_submodule(part).eval()
        return self

    def fill_absent(self, image: Tensor, present: Tensor | None) -> Tensor:
        """Return ``image`` (batch, channel, …) with each absent channel replaced by its learned constant.

        So a missing sequence is told apart from a dark one, and one network trains and answers with any subset.

        Args:
            image: of any number of spatial axes.
            present: bool (batch, channel); None means that every sequence is there.
        """
        if present is None:
            return image
        spatial = (None,) * (image.dim() - 2)
        shown = present[(..., *spatial)].to(image.dtype)
        return image * shown + self.absent[(slice(None), *spatial)] * (1 - shown)

    def fit_standardisation(self, images: Tensor, present: Tensor) -> None:
        """Fit, on training samples alone, what the network standardises its images by.

        Networks that take images as they are, in [0, 1], have nothing to fit.

        Args:
            images: (sample, channel, …) as the network sees them.
            present: bool (sample, channel).
        """


def belongs(name: str, parts: tuple[str, ...]) -> bool:
    """Return whether the tensor ``name`` is one of ``parts`` or lies in one."""
    return name in parts or name.startswith(tuple(f"{part}." for part in parts))
