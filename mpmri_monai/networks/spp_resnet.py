"""CIFAR-style ResNet with spatial pyramid pooling (He et al. 2014, 2016), as used by Jia et al. (TIIS 13(10), 2019)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from mpmri_monai.errors import ConfigError

STAGE_CHANNELS = (16, 32, 64)
LAYERS = {
    "stem": ("absent", "conv1", "norm1"),
    **{f"block{3 * stage + block + 1}": (f"stage{stage + 1}.{block}",) for stage in range(3) for block in range(3)},
    "embedding": ("embedding",),
    "head": ("classifier",),
}
"""The twelve layers that fine-tuning counts, from the image to the classes, and the network's parts in each."""
TYPICAL_EXTENT_MM = 25.0
"""Lesion size that the size feature is measured against, so that it stays near zero."""


class SpatialPyramidPooling(nn.Module):
    """Maximum over the cells of 1×1, 2×2, … grids: a vector whose length does not depend on the size of the map.

    Cells are cut as in adaptive pooling, by slicing and ``amax``: unlike ``AdaptiveMaxPool2d``, its gradient is
    deterministic on CUDA.

    Args:
        levels: cells per side, one entry a level; (1, 2) gives 1 + 4 = 5 values per channel.
    """

    def __init__(self, levels: Sequence[int] = (1, 2)) -> None:
        super().__init__()
        if not levels or any(type(level) is not int or level < 1 for level in levels):
            raise ConfigError(expected="pyramid levels, whole numbers from 1 on, as [1, 2]", found=repr(levels))
        self.levels = tuple(levels)

    @property
    def cells(self) -> int:
        return sum(level * level for level in self.levels)

    def forward(self, features: Tensor) -> Tensor:
        """Pool ``features`` (batch, channel, row, column) to (batch, channel · cells)."""
        height, width = features.shape[-2:]
        if min(height, width) < max(self.levels):
            raise ConfigError(
                expected=f"feature maps of at least {max(self.levels)}×{max(self.levels)}",
                found=f"{height}×{width}",
                fix="use larger crops or fewer pyramid levels",
            )
        pooled = []
        for level in self.levels:
            for top, bottom in _cell_bounds(height, level):
                for left, right in _cell_bounds(width, level):
                    pooled.append(features[..., top:bottom, left:right].amax(dim=(-2, -1)))
        return torch.cat(pooled, dim=1)


def _cell_bounds(length: int, cells: int) -> list[tuple[int, int]]:
    return [(i * length // cells, -(-(i + 1) * length // cells)) for i in range(cells)]


class BasicBlock(nn.Module):
    """Two 3×3 convolutions and a parameter-free shortcut (option A: subsample, pad channels with zeros)."""

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, stride=stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels_out)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels_out)
        self.stride = stride
        self.extra_channels = channels_out - channels_in

    def forward(self, x: Tensor) -> Tensor:
        y = functional.relu(self.norm1(self.conv1(x)))
        y = self.norm2(self.conv2(y))
        if self.stride > 1:
            x = x[:, :, :: self.stride, :: self.stride]
        if self.extra_channels:
            x = functional.pad(
                x, (0, 0, 0, 0, self.extra_channels // 2, self.extra_channels - self.extra_channels // 2)
            )
        return functional.relu(x + y)


class SPPResNet(nn.Module):
    """ResNet20 (three stages of three blocks, 16/32/64 channels) → pyramid or average pooling → embedding → classes.

    A channel whose sequence is absent is replaced by a learned constant before the first convolution, so that a
    missing sequence is told apart from a dark one and the same network trains and answers with any subset.

    Args:
        in_channels: sequences of the fusion.
        num_classes: length of the output.
        embedding: width of the fully connected layer before the classifier (2, 16, 32, 64 in the paper).
        pooling: ``spp`` (maximum over the pyramid of ``levels``) or ``gap`` (global average).
        levels: pyramid levels; (1, 2) gives 64·5 = 320 features.
        dropout: probability applied to the embedding.
        size_feature: use the lesion's extent in mm as one more feature beside the embedding.
        embedding_relu: rectify the embedding before the classifier. Without, as in the paper, the classifier is linear
            in the embedding. An embedding of two units needs that: both can be zero for every sample after one bad
            step, and no gradient brings them back.

    Raises:
        ConfigError: for an unknown pooling, impossible levels, embedding or dropout.
    """

    def __init__(
        self,
        in_channels: int = 3,
        num_classes: int = 3,
        embedding: int = 32,
        pooling: str = "spp",
        levels: Sequence[int] = (1, 2),
        dropout: float = 0.0,
        size_feature: bool = False,
        embedding_relu: bool = True,
    ) -> None:
        super().__init__()
        if pooling not in ("spp", "gap"):
            raise ConfigError(expected="pooling 'spp' or 'gap'", found=repr(pooling))
        if embedding < 1 or not 0 <= dropout < 1:
            raise ConfigError(
                expected="an embedding of at least 1 and 0 <= dropout < 1",
                found=f"embedding {embedding}, dropout {dropout}",
            )
        self.absent = nn.Parameter(torch.zeros(in_channels))
        self.conv1 = nn.Conv2d(in_channels, STAGE_CHANNELS[0], 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(STAGE_CHANNELS[0])
        self.stage1 = _stage(STAGE_CHANNELS[0], STAGE_CHANNELS[0], stride=1)
        self.stage2, self.stage3 = (_stage(a, b, stride=2) for a, b in pairwise(STAGE_CHANNELS))
        self.pool = SpatialPyramidPooling(levels) if pooling == "spp" else _GlobalAverage()
        self.embedding = nn.Linear(STAGE_CHANNELS[-1] * self.pool.cells, embedding)
        self.rectify = nn.ReLU() if embedding_relu else nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self.size_feature = size_feature
        self.classifier = nn.Linear(embedding + int(size_feature), num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        self.tuned_depth = len(LAYERS)

    def layers(self) -> dict[str, dict[str, nn.Parameter]]:
        """Return the parameters of each layer by their names in the state dict, in the order of ``LAYERS``."""
        parameters = dict(self.named_parameters())
        return {
            layer: {name: p for name, p in parameters.items() if name in parts or name.startswith(_prefixes(parts))}
            for layer, parts in LAYERS.items()
        }

    def tune(self, depth: int) -> Self:
        """Train the last ``depth`` layers and freeze those below; return the network.

        A frozen layer keeps every bit: its parameters want no gradient, and its batch norm uses and keeps the
        statistics that it has, in training too. It stays so whatever ``train`` is called with.

        Args:
            depth: 0 (none) to 12 (all, as in a new network); 1 is the head alone.

        Raises:
            ConfigError: there is no such depth.
        """
        if not 0 <= depth <= len(LAYERS):
            raise ConfigError(expected=f"a depth of 0 to {len(LAYERS)} layers", found=repr(depth))
        self.tuned_depth = depth
        frozen = self.frozen_layers
        for layer, parameters in self.layers().items():
            for parameter in parameters.values():
                parameter.requires_grad_(layer not in frozen)
                if layer in frozen:
                    parameter.grad = None  # one of an earlier step would still move it
        return self.train(self.training)

    @property
    def frozen_layers(self) -> tuple[str, ...]:
        """Names of the layers that are not trained."""
        return tuple(LAYERS)[: len(LAYERS) - self.tuned_depth]

    def train(self, mode: bool = True) -> Self:
        """Switch between training and evaluation; frozen layers stay in evaluation."""
        super().train(mode)
        for layer in self.frozen_layers:
            for part in LAYERS[layer]:
                if part != "absent":  # a parameter, which has no mode
                    self.get_submodule(part).eval()
        return self

    def embed(self, image: Tensor, present: Tensor | None = None) -> Tensor:
        """Return the embedding (batch, embedding) of ``image`` (batch, channel, row, column) in [0, 1]."""
        if present is not None:
            shown = present[..., None, None].to(image.dtype)
            image = image * shown + self.absent[:, None, None] * (1 - shown)
        x = functional.relu(self.norm1(self.conv1(image)))
        x = self.stage3(self.stage2(self.stage1(x)))
        return self.embedding(self.pool(x))

    def features(self, image: Tensor, present: Tensor | None = None) -> Tensor:
        """Return what the head sees of ``image``: the embedding (batch, embedding), rectified with embedding_relu."""
        return self.rectify(self.embed(image, present))

    def forward(self, image: Tensor, present: Tensor | None = None, extent_mm: Tensor | None = None) -> Tensor:
        """Return class logits (batch, class).

        Args:
            image: (batch, channel, row, column) in [0, 1].
            present: bool (batch, channel); None means that every sequence is there.
            extent_mm: (batch,), largest extent of the lesion; read only with ``size_feature``.
        """
        x = self.dropout(self.features(image, present))
        if self.size_feature:
            if extent_mm is None:
                raise ConfigError(expected="the lesion's extent in mm for a network with size_feature", found="none")
            size = torch.log(extent_mm.to(x.dtype) / TYPICAL_EXTENT_MM)
            x = torch.cat([x, size[:, None]], dim=1)
        return self.classifier(x)


class _GlobalAverage(nn.Module):
    cells = 1

    def forward(self, features: Tensor) -> Tensor:
        return features.mean(dim=(-2, -1))


def _prefixes(parts: Sequence[str]) -> tuple[str, ...]:
    return tuple(f"{part}." for part in parts)


def _stage(channels_in: int, channels_out: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        BasicBlock(channels_in, channels_out, stride),
        BasicBlock(channels_out, channels_out, 1),
        BasicBlock(channels_out, channels_out, 1),
    )
