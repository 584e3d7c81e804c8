"""A lesion as all that follows asks of it: its samples, and the probabilities that a network gives them together."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from mpmri_monai.errors import ConfigError
from mpmri_monai.training.inferer import laid_out

BATCH = 64
"""Samples that go through the network together."""


@dataclass(frozen=True)
class Lesion:
    """The samples of one lesion, all on one device, as a network takes them."""

    image: Tensor
    """float (sample, channel, row, column) or (sample, channel, depth, row, column), in [0, 1]."""
    present: Tensor
    """bool (sample, channel)."""
    extent_mm: Tensor
    """float (sample,)."""

    def __post_init__(self) -> None:
        samples, channels = self.image.shape[:2]
        found = f"image {tuple(self.image.shape)}, present {tuple(self.present.shape)}, extent_mm {len(self.extent_mm)}"
        fits = self.present.shape == (samples, channels) and self.extent_mm.shape == (samples,)
        if self.image.ndim not in (4, 5) or not fits or samples == 0:
            raise ConfigError(
                expected="image (sample, channel, …), present (sample, channel) and extent_mm (sample,) of a lesion",
                found=found,
            )

    @property
    def one(self) -> Tensor:
        """The pixels as one copy, (1, sample, channel, …)."""
        return self.image[None]

    def seen_as(self, image: Tensor) -> Lesion:
        """Return the lesion with other pixels."""
        return replace(self, image=image)

    def without(self, channel: int) -> Lesion:
        """Return the lesion as if one channel had not been acquired; what its pixels hold does not matter then."""
        present = self.present.clone()
        present[:, channel] = False
        return replace(self, present=present)


@torch.no_grad()
def probabilities(network: nn.Module, lesion: Lesion, images: Tensor) -> Tensor:
    """Return the mean class probabilities over a lesion's samples, float64 (copy, class), of copies of its pixels.

    Copies go through the network together, as many as make a batch: few large steps take less time than many small.

    Args:
        network: as trained, in evaluation.
        lesion: whose presence and extent hold for every copy.
        images: (copy, sample, channel, …).
    """
    return torch.cat([_at_once(network, lesion, part) for part in images.split(copies_at_once(lesion))])


def copies_at_once(lesion: Lesion) -> int:
    """Return how many copies of a lesion's samples make a batch."""
    return max(1, BATCH // len(lesion.image))


def _at_once(network: nn.Module, lesion: Lesion, images: Tensor) -> Tensor:
    copies = len(images)
    logits = network(
        laid_out(images.flatten(0, 1)),
        present=lesion.present.repeat(copies, 1),
        extent_mm=lesion.extent_mm.repeat(copies),
    )
    return torch.softmax(logits.double(), dim=1).unflatten(0, (copies, -1)).mean(dim=1)
