"""CIFAR-style ResNet with spatial pyramid pooling (He et al. 2014, 2016), as used by Jia et al. (TIIS 13(10), 2019)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from mpmri_monai.errors import ConfigError
from mpmri_monai.networks.initialise import draw_convolutions
from mpmri_monai.networks.layered import LayeredNetwork
from mpmri_monai.networks.pyramid import SpatialPyramidPooling
from mpmri_monai.networks.volume import at_least, checked_dropout

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


class SPPResNet(LayeredNetwork):
    """ResNet20 (three stages of three blocks, 16/32/64 channels) → pyramid or average pooling → embedding → classes.

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
        ConfigError: for an unknown pooling, impossible channels, classes, levels, embedding or dropout.
    """

    layer_parts = LAYERS

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
        at_least(1, in_channels=in_channels, num_classes=num_classes, embedding=embedding)
        super().__init__(in_channels)
        if pooling not in ("spp", "gap"):
            raise ConfigError(expected="pooling 'spp' or 'gap'", found=repr(pooling))
        self.conv1 = nn.Conv2d(in_channels, STAGE_CHANNELS[0], 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(STAGE_CHANNELS[0])
        self.stage1 = _stage(STAGE_CHANNELS[0], STAGE_CHANNELS[0], stride=1)
        self.stage2, self.stage3 = (_stage(a, b, stride=2) for a, b in pairwise(STAGE_CHANNELS))
        self.pool = SpatialPyramidPooling(levels) if pooling == "spp" else _GlobalAverage()
        self.embedding = nn.Linear(STAGE_CHANNELS[-1] * self.pool.cells, embedding)
        self.rectify = nn.ReLU() if embedding_relu else nn.Identity()
        self.dropout = checked_dropout(dropout)
        self.size_feature = size_feature
        self.classifier = nn.Linear(embedding + int(size_feature), num_classes)
        draw_convolutions(self)

    def embed(self, image: Tensor, present: Tensor | None = None) -> Tensor:
        """Return the embedding (batch, embedding) of ``image`` (batch, channel, row, column) in [0, 1].

        Raises:
            ConfigError: E_SIZE, these are no pictures.
        """
        if image.dim() != 4:
            raise ConfigError(
                expected="pictures, (batch, channel, row, column)",
                found=f"{image.dim()} axes",
                fix="for 3D crops, take an architecture for them, such as mctl or axial",
                code="E_SIZE",
            )
        x = functional.relu(self.norm1(self.conv1(self.fill_absent(image, present))))
        x = self.stage3(self.stage2(self.stage1(x)))
        return self.embedding(self.pool(x))

    def fixed_features(self, image: Tensor, present: Tensor | None = None) -> Tensor:
        """Return the embedding (batch, embedding), from which a classical classifier takes the head's place."""
        return self.embed(image, present)

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


def _stage(channels_in: int, channels_out: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        BasicBlock(channels_in, channels_out, stride),
        BasicBlock(channels_out, channels_out, 1),
        BasicBlock(channels_out, channels_out, 1),
    )
