"""The two networks that MCTL is compared with in its paper's table: a dense one and a small convolutional one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional

from mpmri_monai.errors import ConfigError
from mpmri_monai.networks.initialise import draw_convolutions
from mpmri_monai.networks.layered import belongs
from mpmri_monai.networks.mctl import FEATURE_LEVELS
from mpmri_monai.networks.pyramid import VolumePyramidPooling
from mpmri_monai.networks.volume import VolumeNetwork, at_least, checked_dropout

POOLED = 2
"""In the plane, max pooling halves the maps; along depth, where crops have few slices, it does not."""


class DenseNetwork(VolumeNetwork):
    """All voxels → two dense layers with ReLU → classes, each with a sigmoid of its own, as in `MCTLNetwork`.

    Args:
        in_channels: sequences of the fusion.
        num_classes: length of the output.
        size: (depth, row, column) of the crops.
        dense: width of both layers.
        dropout: probability applied to the second layer's output.

    Raises:
        ConfigError: for an impossible size, width or dropout.
    """

    layer_parts: ClassVar = {"dense1": ("absent", "dense1"), "dense2": ("dense2",), "head": ("classifier",)}
    reads_every_voxel = "dense1.weight"

    def __init__(
        self, in_channels: int, num_classes: int, size: Sequence[int], dense: int = 32, dropout: float = 0.0
    ) -> None:
        at_least(1, in_channels=in_channels, num_classes=num_classes, dense=dense)
        super().__init__(in_channels, size)
        self.dense1 = nn.Linear(in_channels * self.voxels, dense)
        self.dense2 = nn.Linear(dense, dense)
        self.dropout = checked_dropout(dropout)
        self.classifier = nn.Linear(dense, num_classes)

    def features(self, image: Tensor, present: Tensor | None = None) -> Tensor:
        """Return what the head sees of ``image``: the second layer's rectified output, (batch, dense)."""
        x = functional.relu(self.dense1(self.prepared(image, present).flatten(1)))
        return functional.relu(self.dense2(x))

    def fixed_features(self, image: Tensor, present: Tensor | None = None) -> Tensor:
        """Return the same as ``features``: there is no map to take maxima of."""
        return self.features(image, present)

    def forward(self, image: Tensor, present: Tensor | None = None, extent_mm: Tensor | None = None) -> Tensor:
        """Return log(sigmoid) of each class, float32 (batch, class); arguments as `MCTLNetwork.forward`."""
        return functional.logsigmoid(self.classifier(self.dropout(self.features(image, present))).float())


class ConvNetwork(VolumeNetwork):
    """The comparison's CNN: two 3×3×3 convolutions, each with ReLU and 1×2×2 max pooling → dense layer → classes.

    Args:
        in_channels: sequences of the fusion.
        num_classes: length of the output.
        size: (depth, row, column) of the crops; 8 rows and columns at least.
        filters: of each convolution.
        dense: width of the dense layer.
        dropout: probability applied to the dense layer's output.

    Raises:
        ConfigError: for an impossible size, width or dropout.
    """

    layer_parts: ClassVar = {
        "conv1": ("absent", "conv1"),
        "conv2": ("conv2",),
        "dense": ("dense",),
        "head": ("classifier",),
    }
    reads_every_voxel = "dense.weight"

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        size: Sequence[int],
        filters: int = 16,
        dense: int = 32,
        dropout: float = 0.0,
    ) -> None:
        at_least(1, in_channels=in_channels, num_classes=num_classes, filters=filters, dense=dense)
        super().__init__(in_channels, size)
        depth, rows, columns = self.size
        least = POOLED**2 * max(FEATURE_LEVELS)
        if min(rows, columns) < least:
            raise ConfigError(
                expected=f"crops of at least {least}×{least} pixels for two poolings",
                found=f"{rows}×{columns}",
                code="E_SIZE",
            )
        self.conv1 = nn.Conv3d(in_channels, filters, 3, padding=1)
        self.conv2 = nn.Conv3d(filters, filters, 3, padding=1)
        self.pool = VolumePyramidPooling(FEATURE_LEVELS, depth)
        self.dense = nn.Linear(filters * depth * (rows // POOLED**2) * (columns // POOLED**2), dense)
        self.dropout = checked_dropout(dropout)
        self.classifier = nn.Linear(dense, num_classes)
        draw_convolutions(self)

    def expected_from_file(self) -> tuple[str, ...]:
        """Return the names of the convolutions' tensors, as `MCTLNetwork` does."""
        return tuple(name for name in self.state_dict() if belongs(name, ("conv1", "conv2")))

    def maps(self, image: Tensor, present: Tensor | None = None) -> Tensor:
        """Return the last maps (batch, filter, depth, row, column) of ``image``, rectified and pooled."""
        x = self.prepared(image, present)
        for convolution in (self.conv1, self.conv2):
            x = _max_pooled(functional.relu(convolution(x)))
        return x

    def features(self, image: Tensor, present: Tensor | None = None) -> Tensor:
        """Return what the head sees of ``image``: the dense layer's rectified output, (batch, dense)."""
        return functional.relu(self.dense(self.maps(image, present).flatten(1)))

    def fixed_features(self, image: Tensor, present: Tensor | None = None) -> Tensor:
        """Return the maxima of the last maps over a pyramid of 1 and 2 cells a side, (batch, filter · cells)."""
        return self.pool(self.maps(image, present))

    def forward(self, image: Tensor, present: Tensor | None = None, extent_mm: Tensor | None = None) -> Tensor:
        """Return class logits (batch, class); arguments as `MCTLNetwork.forward`."""
        return self.classifier(self.dropout(self.features(image, present)))


def _max_pooled(maps: Tensor) -> Tensor:
    """Max-pool the plane of ``maps`` (…, row, column); by ``amax``, whose gradient is deterministic on CUDA."""
    rows, columns = (length // POOLED for length in maps.shape[-2:])
    whole = maps[..., : rows * POOLED, : columns * POOLED]
    return whole.unflatten(-1, (columns, POOLED)).unflatten(-3, (rows, POOLED)).amax(dim=(-3, -1))
