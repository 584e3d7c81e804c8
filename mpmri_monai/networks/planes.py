"""2.5D views of a 3D crop for the 2D network: central planes, three views, or several sizes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from mpmri_monai.errors import ConfigError
from mpmri_monai.networks.spp_resnet import SPPResNet
from mpmri_monai.networks.volume import checked_size, refuse_other_size

KINDS = {"axial": 1, "three_view": 3, "three_view_bag": 3, "multi_size": 3}
"""Planes that each kind takes from a crop."""
SHARES = (1, 2 / 3, 1 / 2)
"""Sides of the crops of ``multi_size``, as shares of the whole side."""


class PlanesNetwork(SPPResNet):
    """SPPResNet on planes that it takes from 3D crops itself, so that every loader of crops serves it.

    * ``axial``: the central slice; of an even number the second of the two in the middle, so that an odd one is better.
    * ``three_view``: the central axial, coronal and sagittal planes as channels. Coronal and sagittal ones, of few
      slices, are stretched linearly to the square of the axial one.
    * ``three_view_bag``: the same three planes through one network; the mean of their logits.
    * ``multi_size``: crops of the central slice of the whole, 2/3 and 1/2 of the side, stretched to the whole side,
      as channels.

    The state dict is that of an SPPResNet with one channel for each plane and sequence (all sequences of the first
    plane first), for a bag one for each sequence, so weights of the 2D network start this one too.

    Args:
        kind: of the views.
        size: (depth, row, column) of the crops; as many rows as columns.
        in_channels: sequences of the fusion.
        arguments: further ones of `SPPResNet`.

    Raises:
        ConfigError: for an unknown kind, a size that is no square, or arguments that SPPResNet refuses.
    """

    def __init__(
        self, kind: str, size: Sequence[int], in_channels: int = 3, num_classes: int = 3, **arguments: Any
    ) -> None:
        if kind not in KINDS:
            raise ConfigError(expected=f"views among {', '.join(KINDS)}", found=repr(kind))
        size = checked_size(size)
        if size[1] != size[2]:
            raise ConfigError(
                expected="crops with as many rows as columns", found="×".join(map(str, size)), code="E_SIZE"
            )
        pictures = 1 if kind == "three_view_bag" else KINDS[kind]
        super().__init__(pictures * in_channels, num_classes, **arguments)
        self.kind, self.size = kind, size

    def views(self, image: Tensor) -> Tensor:
        """Return the planes, (batch, plane, channel, side, side), of crops (batch, channel, depth, row, column).

        Raises:
            ConfigError: E_SIZE, the crops are of another size than the network.
        """
        refuse_other_size(image, self.size)
        depth, side, _ = self.size
        axial = image[:, :, depth // 2]
        if self.kind == "axial":
            planes = [axial]
        elif self.kind == "multi_size":
            planes = [_central(axial, max(1, round(share * side))) for share in SHARES]
        else:
            planes = [axial, image[:, :, :, side // 2], image[..., side // 2]]
        return torch.stack([_stretched(plane, side) for plane in planes], dim=1)

    def embed(self, image: Tensor, present: Tensor | None = None) -> Tensor:
        """Return the embedding (batch, embedding) of crops in [0, 1]; of a bag, the mean over its planes."""
        return self._embeddings(image, present).mean(dim=1)

    def features(self, image: Tensor, present: Tensor | None = None) -> Tensor:
        """Return what the head sees of ``image``: the embedding, rectified with embedding_relu.

        Of a bag, the mean over its planes. The head is linear, so what it gives is the mean of the planes' logits.
        """
        return self.rectify(self._embeddings(image, present)).mean(dim=1)

    def _embeddings(self, image: Tensor, present: Tensor | None) -> Tensor:
        """Return the embedding of each picture that the 2D network sees, (batch, picture, embedding)."""
        views = self.views(image)
        samples, planes = views.shape[:2]
        if self.kind == "three_view_bag":
            views, shown = views.flatten(0, 1), present if present is None else present.repeat_interleave(planes, dim=0)
        else:
            views, shown = views.flatten(1, 2), present if present is None else present.repeat(1, planes)
        return super().embed(views, shown).unflatten(0, (samples, -1))


def _central(plane: Tensor, side: int) -> Tensor:
    top, left = ((length - side) // 2 for length in plane.shape[-2:])
    return plane[..., top : top + side, left : left + side]


def _stretched(plane: Tensor, side: int) -> Tensor:
    """Return ``plane`` (batch, channel, row, column) interpolated linearly to ``side`` rows and columns."""
    if plane.shape[-2:] == (side, side):
        return plane
    return functional.interpolate(plane, (side, side), mode="bilinear", align_corners=False)
