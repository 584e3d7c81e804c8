"""The classifier of MCTL: 3D convolutions that an autoencoder pretrains, one dense layer, one sigmoid a class."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional

from mpmri_monai.errors import ConfigError
from mpmri_monai.networks.initialise import draw_convolutions
from mpmri_monai.networks.layered import belongs
from mpmri_monai.networks.pyramid import VolumePyramidPooling
from mpmri_monai.networks.volume import VolumeNetwork, at_least, checked_dropout

LARGEST_DEPTH = 3
"""Convolution layers at most, as the paper searches them."""
FEATURE_LEVELS = (1, 2)
"""Pyramid of the last maps' maxima that classical classifiers are fitted on."""


class MCTLNetwork(VolumeNetwork):
    """One to three 3×3×3 convolutions → all voxels → dense layer → classes, each with a sigmoid of its own.

    The convolutions have stride 1 and keep the size; each is followed by a ReLU. The output is log(sigmoid) in
    float32, so that its softmax is the sigmoids divided by their sum, s_k / Σs, and binary cross-entropy of each output
    needs log(1 - s) = log(-expm1(log s)) alone.

    Args:
        in_channels: sequences of the fusion.
        num_classes: length of the output; two in the paper.
        size: (depth, row, column) of the crops.
        layers: convolutions, 1 to 3 (the paper's grid).
        filters: of each convolution; 16, 32 or 64 in the paper.
        dense: width of the dense layer; 16, 32 or 64 in the paper.
        dropout: probability applied to the dense layer's output.

    Raises:
        ConfigError: for an impossible size, number of layers, width or dropout.
    """

    reads_every_voxel = "dense.weight"

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        size: Sequence[int],
        layers: int = 2,
        filters: int = 16,
        dense: int = 32,
        dropout: float = 0.0,
    ) -> None:
        at_least(1, in_channels=in_channels, num_classes=num_classes, filters=filters, dense=dense)
        super().__init__(in_channels, size)
        self.convolutions = convolution_names(layers)
        for number, name in enumerate(self.convolutions):
            self.add_module(name, nn.Conv3d(filters if number else in_channels, filters, 3, padding=1))
        self.pool = VolumePyramidPooling(FEATURE_LEVELS, self.size[0])
        self.dense = nn.Linear(filters * self.voxels, dense)
        self.dropout = checked_dropout(dropout)
        self.classifier = nn.Linear(dense, num_classes)
        draw_convolutions(self)

    @property
    def layer_parts(self) -> dict[str, tuple[str, ...]]:
        """The convolutions, the dense layer and the head."""
        convolutions = {name: (name,) for name in self.convolutions}
        return {**convolutions, "conv1": ("absent", "conv1"), "dense": ("dense",), "head": ("classifier",)}

    def expected_from_file(self) -> tuple[str, ...]:
        """Return the names of the convolutions' tensors: an autoencoder has no others to give."""
        return tuple(name for name in self.state_dict() if belongs(name, self.convolutions))

    def maps(self, image: Tensor, present: Tensor | None = None) -> Tensor:
        """Return the last convolution's maps (batch, filter, depth, row, column) of ``image``, rectified."""
        x = self.prepared(image, present)
        for name in self.convolutions:
            x = functional.relu(self.get_submodule(name)(x))
        return x

    def features(self, image: Tensor, present: Tensor | None = None) -> Tensor:
        """Return what the head sees of ``image``: the dense layer's rectified output, (batch, dense)."""
        return functional.relu(self.dense(self.maps(image, present).flatten(1)))

    def fixed_features(self, image: Tensor, present: Tensor | None = None) -> Tensor:
        """Return the maxima of the last maps over a pyramid of 1 and 2 cells a side, (batch, filter · cells).

        They need no dense layer, so an encoder that was only pretrained gives them.
        """
        return self.pool(self.maps(image, present))

    def forward(self, image: Tensor, present: Tensor | None = None, extent_mm: Tensor | None = None) -> Tensor:
        """Return log(sigmoid) of each class, float32 (batch, class).

        Args:
            image: (batch, channel, depth, row, column) in [0, 1].
            present: bool (batch, channel); None means that every sequence is there.
            extent_mm: not read.
        """
        return functional.logsigmoid(self.classifier(self.dropout(self.features(image, present))).float())


def convolution_names(layers: int) -> tuple[str, ...]:
    """Return the names of the convolutions, as an encoder's file has them too.

    Raises:
        ConfigError: not 1 to 3 layers.
    """
    if type(layers) is not int or not 1 <= layers <= LARGEST_DEPTH:
        raise ConfigError(expected=f"1 to {LARGEST_DEPTH} convolution layers", found=repr(layers))
    return tuple(f"conv{number + 1}" for number in range(layers))
