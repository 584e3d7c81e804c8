"""Batches made on the device from tensors that lie there already: no workers, no copies, one order for an epoch."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import ignite.distributed as idist
import torch
from torch import Tensor

from mpmri_monai.errors import ConfigError
from mpmri_monai.training.dataset import SampleDataset
from mpmri_monai.training.determinism import seed_for
from mpmri_monai.transforms.batch import VIEWS, augment, centre_crop

BALANCES = ("none", "downsample", "weights")
"""How training treats classes of unequal size: as they are, by drawing as many of each, or by the loss's weights."""


class TrainingLoader:
    """Batches of augmented crops. An epoch visits each sample ``views`` times, each time in another of the six views.

    Balanced by ``downsample``, an epoch visits as many samples of every class as the smallest class has, drawn anew
    each epoch, so that over the epochs every sample is seen (Tajbakhsh et al. 2016).

    Order, views and crops depend on the seed and the epoch alone, so that a resumed run goes on as if never stopped.
    In distributed training each process takes its share of the epoch.

    Args:
        dataset: the samples of role ``train``.
        batch_size: samples a batch and process.
        views: 1 to 6; with 6 every view of every sample is seen each epoch.
        pixels: side of the network's input.
        jitter: largest shift of the crop in pixels; 2 is the paper's crop of 32 from 36.
        seed: with the epoch, decides all that is random.
        balance: ``none``, ``downsample``, or ``weights``, which is the loss's matter: every sample is visited.

    Raises:
        ConfigError: a value that means nothing, or no samples.
    """

    def __init__(
        self,
        dataset: SampleDataset,
        batch_size: int = 16,
        views: int = 6,
        pixels: int = 32,
        jitter: int = 2,
        seed: int = 0,
        balance: str = "none",
    ) -> None:
        check_balance(balance)
        if not 1 <= views <= VIEWS:
            raise ConfigError(expected=f"views between 1 and {VIEWS}", found=str(views))
        if batch_size < 1:
            raise ConfigError(expected="a batch_size of at least 1", found=str(batch_size))
        if jitter < 0:
            raise ConfigError(expected="a jitter of 0 pixels or more", found=str(jitter))
        if len(dataset) == 0:
            raise ConfigError(expected="samples to train on", found="none")
        self.dataset, self.batch_size, self.views = dataset, batch_size, views
        self.pixels, self.jitter, self.seed = pixels, jitter, seed
        self.balance, self.epoch = balance, 1
        self._labels = dataset.tensors["label"].cpu()

    def __len__(self) -> int:
        visits = self._samples_an_epoch() * self.views
        return math.ceil(math.ceil(visits / idist.get_world_size()) / self.batch_size)

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        generator = torch.Generator().manual_seed(seed_for(self.seed, self.epoch))
        drawn = self._draw(generator)
        views = torch.rand((len(drawn), VIEWS), generator=generator).argsort(dim=1)[:, : self.views].flatten()
        samples = drawn.repeat_interleave(self.views)
        order = torch.randperm(len(samples), generator=generator)
        order = _share_of_process(order)
        for start in range(0, len(order), self.batch_size):
            chosen = order[start : start + self.batch_size]
            batch = self.dataset[samples[chosen]]
            batch["image"] = augment(batch["image"], views[chosen], self.pixels, self.jitter, generator)
            yield batch

    def _samples_an_epoch(self) -> int:
        if self.balance != "downsample":
            return len(self.dataset)
        sizes = self._labels.unique(return_counts=True)[1]
        return len(sizes) * int(sizes.min())

    def _draw(self, generator: torch.Generator) -> Tensor:
        """Return the indices of the samples that one epoch visits."""
        if self.balance != "downsample":
            return torch.arange(len(self.dataset))
        classes, sizes = self._labels.unique(return_counts=True)
        mixed = torch.randperm(len(self.dataset), generator=generator)
        return torch.cat([mixed[self._labels[mixed] == label][: int(sizes.min())] for label in classes])


class EvaluationLoader:
    """Batches of central crops in the order of the dataset: what validation, test and inference see."""

    def __init__(self, dataset: SampleDataset, batch_size: int = 64, pixels: int = 32) -> None:
        self.dataset, self.batch_size, self.pixels = dataset, batch_size, pixels

    def __len__(self) -> int:
        return math.ceil(len(self.dataset) / self.batch_size)

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        for start in range(0, len(self.dataset), self.batch_size):
            batch = self.dataset[torch.arange(start, min(start + self.batch_size, len(self.dataset)))]
            batch["image"] = centre_crop(batch["image"], self.pixels)
            yield batch


def check_balance(balance: str) -> None:
    """Raise ConfigError for a way of balancing that there is not."""
    if balance not in BALANCES:
        raise ConfigError(expected=f"a balance among {', '.join(BALANCES)}", found=repr(balance))


def prepare_batch(
    batch: dict[str, Tensor], device: str | torch.device | None = None, non_blocking: bool = False, **to: Any
) -> tuple[Tensor, Tensor, tuple, dict[str, Tensor]]:
    """Hand a batch to MONAI's engines: image, label, and what the network takes by name."""
    moved = {name: tensor.to(device=device, non_blocking=non_blocking, **to) for name, tensor in batch.items()}
    return moved["image"], moved["label"], (), {"present": moved["present"], "extent_mm": moved["extent_mm"]}


def _share_of_process(order: Tensor) -> Tensor:
    world, rank = idist.get_world_size(), idist.get_rank()
    if world == 1:
        return order
    padded = torch.cat([order, order[: -len(order) % world]])  # equal shares, or processes would wait for ever
    return padded[rank::world]
