"""A lesion as all that follows asks of it: its samples, and the probabilities that a network gives them together."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from mpmri_monai.errors import ConfigError
from mpmri_monai.training.inferer import laid_out


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

    def seen_as(self, image: Tensor) -> Lesion:
        """Return the lesion with other pixels."""
        return replace(self, image=image)

    def without(self, channel: int) -> Lesion:
        """Return the lesion as if one channel had not been acquired; what its pixels hold does not matter then."""
        present = self.present.clone()
        present[:, channel] = False
        return replace(self, present=present)


@torch.no_grad()
def probabilities(network: nn.Module, lesion: Lesion) -> Tensor:
    """Return the mean class probabilities over a lesion's samples, float64 (class,)."""
    logits = network(laid_out(lesion.image), present=lesion.present, extent_mm=lesion.extent_mm)
    return torch.softmax(logits.double(), dim=1).mean(dim=0)
