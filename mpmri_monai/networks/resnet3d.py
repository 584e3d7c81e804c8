"""A modern 3D reference beside MCTL: MONAI's ResNet-10 or -18 with spatial pyramid pooling."""

from __future__ import annotations

from collections.abc import Sequence

from monai.networks.nets import ResNet
from torch import Tensor, nn
from torch.nn import functional

from mpmri_monai.errors import ConfigError
from mpmri_monai.networks.pyramid import VolumePyramidPooling
from mpmri_monai.networks.volume import VolumeNetwork, at_least, checked_dropout

BLOCKS = {10: [1, 1, 1, 1], 18: [2, 2, 2, 2]}
"""Residual blocks of each stage, by the number of layers."""
STAGES = ("layer1", "layer2", "layer3", "layer4")
LONG_ENOUGH = 4
"""Voxels along an axis up to which it is not halved any more, so that four slices stay four."""


class ResNet3D(VolumeNetwork):
    """3D ResNet for small crops → pyramid pooling → embedding → classes.

    The first convolution is 3×3×3 with stride 1 and no pooling follows it. Stages two to four double the channels and
    halve each axis that is still longer than four voxels: 4×25×25 becomes 4×4×4, and so does 28×28×28.

    Args:
        in_channels: sequences of the fusion.
        num_classes: length of the output.
        size: (depth, row, column) of the crops.
        depth: 10 or 18 layers.
        width: channels of the first stage; 16 as in the 2D network, with 1/16 of the weights and of the time of the 64
            that MONAI's ResNets have.
        embedding: width of the fully connected layer before the classifier.
        levels: pyramid levels; (1, 2) gives 8 · width · 9 features from maps of two slices on.
        dropout: probability applied to the embedding.

    Raises:
        ConfigError: for an impossible size, depth, width, pyramid or dropout.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        size: Sequence[int],
        depth: int = 10,
        width: int = 16,
        embedding: int = 32,
        levels: Sequence[int] = (1, 2),
        dropout: float = 0.0,
    ) -> None:
        at_least(1, in_channels=in_channels, num_classes=num_classes, width=width, embedding=embedding)
        if depth not in BLOCKS:
            raise ConfigError(expected=f"a depth among {', '.join(map(str, BLOCKS))}", found=repr(depth))
        super().__init__(in_channels, size)
        channels = [width * 2**stage for stage in range(len(STAGES))]
        self.backbone = ResNet(
            "basic",
            BLOCKS[depth],
            channels,
            n_input_channels=in_channels,
            conv1_t_size=3,
            conv1_t_stride=1,
            no_max_pool=True,
            feed_forward=False,
            bias_downsample=False,
        )
        slices = _set_strides(self.backbone, self.size)
        self.pool = VolumePyramidPooling(levels, slices)
        self.embedding = nn.Linear(channels[-1] * self.pool.cells, embedding)
        self.dropout = checked_dropout(dropout)
        self.classifier = nn.Linear(embedding, num_classes)

    @property
    def layer_parts(self) -> dict[str, tuple[str, ...]]:
        """The stem, each residual block, the embedding and the head."""
        blocks = [f"backbone.{stage}.{i}" for stage in STAGES for i in range(len(self.backbone.get_submodule(stage)))]
        return {
            "stem": ("absent", "backbone.conv1", "backbone.bn1"),
            **{f"block{number}": (block,) for number, block in enumerate(blocks, start=1)},
            "embedding": ("embedding",),
            "head": ("classifier",),
        }

    def maps(self, image: Tensor, present: Tensor | None = None) -> Tensor:
        """Return the last stage's maps (batch, 8 · width, depth, row, column) of ``image``, rectified."""
        backbone = self.backbone
        x = backbone.act(backbone.bn1(backbone.conv1(self.prepared(image, present))))
        for stage in STAGES:
            x = backbone.get_submodule(stage)(x)
        return x

    def features(self, image: Tensor, present: Tensor | None = None) -> Tensor:
        """Return what the head sees of ``image``: the embedding, rectified, (batch, embedding)."""
        return functional.relu(self.embedding(self.pool(self.maps(image, present))))

    def fixed_features(self, image: Tensor, present: Tensor | None = None) -> Tensor:
        """Return the maxima of the last maps over the pyramid, (batch, 8 · width · cells)."""
        return self.pool(self.maps(image, present))

    def forward(self, image: Tensor, present: Tensor | None = None, extent_mm: Tensor | None = None) -> Tensor:
        """Return class logits (batch, class); arguments as `MCTLNetwork.forward`."""
        return self.classifier(self.dropout(self.features(image, present)))


def _set_strides(backbone: ResNet, size: tuple[int, int, int]) -> int:
    """Let each stage after the first halve the axes that are long enough; return the slices of the last maps.

    MONAI's stages halve every axis alike; their convolutions read the stride when they run.
    """
    lengths = size
    for stage in STAGES[1:]:
        stride = tuple(2 if length > LONG_ENOUGH else 1 for length in lengths)
        first = backbone.get_submodule(stage)[0]
        first.conv1.stride = first.downsample[0].stride = stride
        lengths = tuple(-(-length // step) for length, step in zip(lengths, stride, strict=True))
    return lengths[0]
