"""The autoencoder that pretrains MCTL's convolutions on unlabelled patches, plain or masked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from monai.networks.nets import AutoEncoder
from torch import Tensor

from mpmri_monai.errors import ConfigError
from mpmri_monai.networks.initialise import draw_convolutions
from mpmri_monai.networks.mctl import convolution_names
from mpmri_monai.networks.volume import VolumeNetwork, at_least

BLOCK = (2, 5, 5)
"""Voxels (depth, row, column) that are hidden together: one alone is the mean of its neighbours."""


class PatchAutoencoder(VolumeNetwork):
    """MONAI's AutoEncoder with MCTL's convolutions (3×3×3, stride 1, ReLU, no norm) as its encoder.

    Stride 1 with more filters than channels is no bottleneck: such an autoencoder can learn to copy. With ``masked``,
    blocks of the input are hidden and only they count in the error, so that it has to learn what tissue looks like
    (He et al., "Masked autoencoders are scalable vision learners", CVPR 2022).

    Args:
        in_channels: sequences of the fusion.
        size: (depth, row, column) of the patches.
        layers: convolutions of the encoder, 1 to 3; as many transposed ones decode.
        filters: of each convolution.
        masked: share of the blocks of 2×5×5 voxels that are hidden in training, in [0, 1); 0 for a plain autoencoder.

    Raises:
        ConfigError: for an impossible size, number of layers, width or share.
    """

    layer_parts: ClassVar = {"encoder": ("absent", "convolutions.encode"), "decoder": ("convolutions.decode",)}

    def __init__(
        self,
        in_channels: int,
        size: Sequence[int] = (4, 25, 25),
        layers: int = 2,
        filters: int = 16,
        masked: float = 0.0,
    ) -> None:
        at_least(1, in_channels=in_channels, filters=filters)
        super().__init__(in_channels, size)
        if not 0 <= masked < 1:
            raise ConfigError(expected="0 <= masked < 1, the share of hidden blocks", found=repr(masked))
        self.masked = masked
        self.convolution_names = convolution_names(layers)
        self.convolutions = AutoEncoder(
            spatial_dims=3,
            in_channels=in_channels,
            out_channels=in_channels,
            channels=(filters,) * layers,
            strides=(1,) * layers,
            act="RELU",
            norm=None,
        )
        draw_convolutions(self)

    def encoder_state(self) -> dict[str, Tensor]:
        """Return the encoder's tensors by the names that `MCTLNetwork` has for them (``conv1.weight``, …)."""
        return {
            f"{name}.{kind}": tensor
            for name, layer in zip(self.convolution_names, self.convolutions.encode, strict=True)
            for kind, tensor in layer.conv.state_dict().items()
        }

    def draw_hidden(self, image: Tensor, generator: torch.Generator | None = None) -> Tensor | None:
        """Draw which voxels of each patch are hidden: the same number of blocks in each, of all its channels alike.

        Args:
            image: (batch, channel, depth, row, column).
            generator: on the CPU; None for torch's own.

        Returns:
            bool (batch, 1, depth, row, column); None for a plain autoencoder.
        """
        if not self.masked:
            return None
        blocks = [-(-length // block) for length, block in zip(self.size, BLOCK, strict=True)]
        count = blocks[0] * blocks[1] * blocks[2]
        chances = torch.rand(len(image), count, generator=generator).to(image.device)
        order = chances.argsort(dim=1).argsort(dim=1)
        hidden = (order < max(1, round(self.masked * count))).unflatten(1, blocks)
        for axis, block in enumerate(BLOCK):
            hidden = hidden.repeat_interleave(block, dim=axis + 1)
        depth, rows, columns = self.size
        return hidden[:, None, :depth, :rows, :columns]

    def shown(self, image: Tensor, present: Tensor | None = None, hidden: Tensor | None = None) -> Tensor:
        """Return what the encoder sees: the standardised image, 0 (the training set's mean) where it is hidden."""
        image = self.prepared(image, present)
        return image if hidden is None else image.masked_fill(hidden, 0.0)

    def forward(self, image: Tensor, present: Tensor | None = None, hidden: Tensor | None = None) -> Tensor:
        """Return the reconstruction of the standardised image, (batch, channel, depth, row, column).

        Args:
            image: (batch, channel, depth, row, column) in [0, 1].
            present: bool (batch, channel); None means that every sequence is there.
            hidden: bool (batch, 1, depth, row, column) of the voxels that the encoder may not see.
        """
        return self.convolutions(self.shown(image, present, hidden))

    def squared_errors(self, image: Tensor, present: Tensor | None = None, hidden: Tensor | None = None) -> Tensor:
        """Return the mean squared error of each patch's reconstruction, float32 (batch,), in squared ranges.

        Absent channels do not count, nor, where some voxels are hidden, do the others. Predicting 0, the training
        set's mean, has the variance of the standardised voxels as its error. Arguments as in ``forward``.
        """
        wrong = (self(image, present, hidden).float() - self.standardise(image)).square()
        counted = torch.ones_like(wrong) if hidden is None else hidden.expand_as(wrong).to(wrong.dtype)
        if present is not None:
            counted = counted * present[..., None, None, None].to(wrong.dtype)
        voxels = (1, 2, 3, 4)
        return (wrong * counted).sum(dim=voxels) / counted.sum(dim=voxels).clamp(min=1)
