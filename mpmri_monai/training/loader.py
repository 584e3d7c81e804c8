"""Batches made on the device from tensors that lie there already: no workers, no copies, one order for an epoch."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import ignite.distributed as idist
import torch
from torch import Tensor

from mpmri_monai.errors import ConfigError
from mpmri_monai.training.dataset import SampleDataset
from mpmri_monai.training.determinism import seed_for
from mpmri_monai.transforms.batch import Augmentation, centre_crop

BALANCES = ("none", "downsample", "weights")
"""How training treats classes of unequal size: as they are, by drawing as many of each, or by the loss's weights."""


class TrainingLoader:
    """Batches of augmented crops. An epoch visits each sample as often as the augmentation says, each time otherwise.

    Balanced by ``downsample``, an epoch visits as many samples of every class as the smallest class has, drawn anew
    each epoch, so that over the epochs every sample is seen (Tajbakhsh et al. 2016).

    Order and augmentation depend on the seed and the epoch alone, so that a resumed run goes on as if never stopped.
    In distributed training each process takes its share of the epoch.

    Args:
        dataset: the samples of role ``train``.
        batch_size: samples a batch and process.
        augmentation: makes of stored crops what the network sees: `Views` or `RigidAugmentation`.
        seed: with the epoch, decides all that is random.
        balance: ``none``, ``downsample``, or ``weights``, which is the loss's matter: every sample is visited.
        sequence_dropout: probability that a sequence which is there is taken to be absent (`drop_sequences`), drawn
            anew for each visit; 0 drops none.

    Raises:
        ConfigError: a value that means nothing, or no samples.
    """

    def __init__(
        self,
        dataset: SampleDataset,
        batch_size: int,
        augmentation: Augmentation,
        seed: int = 0,
        balance: str = "none",
        sequence_dropout: float = 0.0,
    ) -> None:
        check_balance(balance)
        check_sequence_dropout(sequence_dropout)
        if batch_size < 1:
            raise ConfigError(expected="a batch_size of at least 1", found=str(batch_size))
        if len(dataset) == 0:
            raise ConfigError(expected="samples to train on", found="none")
        self.dataset, self.batch_size, self.augmentation = dataset, batch_size, augmentation
        self.seed, self.balance, self.epoch = seed, balance, 1
        self.sequence_dropout = sequence_dropout
        self._labels = dataset.tensors["label"].cpu()

    def __len__(self) -> int:
        visits = self._samples_an_epoch() * self.augmentation.visits
        return math.ceil(math.ceil(visits / idist.get_world_size()) / self.batch_size)

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        generator = torch.Generator().manual_seed(seed_for(self.seed, self.epoch))
        drawn = self._draw(generator)
        variants = self.augmentation.variants(len(drawn), generator).flatten()
        samples = drawn.repeat_interleave(self.augmentation.visits)
        order = torch.randperm(len(samples), generator=generator)
        order = _share_of_process(order)
        for start in range(0, len(order), self.batch_size):
            chosen = order[start : start + self.batch_size]
            batch = self.dataset[samples[chosen]]
            batch["image"] = self.augmentation(batch["image"], variants[chosen], generator)
            if self.sequence_dropout:
                batch["present"] = drop_sequences(batch["present"], self.sequence_dropout, generator)
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
    """Batches of central crops in the order of the dataset: what validation, test and inference see.

    Args:
        dataset: the samples.
        batch_size: samples a batch.
        size: of the network's input, as `as_size` takes it.
    """

    def __init__(self, dataset: SampleDataset, batch_size: int = 64, size: int | Sequence[int] = 32) -> None:
        self.dataset, self.batch_size, self.size = dataset, batch_size, size

    def __len__(self) -> int:
        return math.ceil(len(self.dataset) / self.batch_size)

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        for start in range(0, len(self.dataset), self.batch_size):
            batch = self.dataset[torch.arange(start, min(start + self.batch_size, len(self.dataset)))]
            batch["image"] = centre_crop(batch["image"], self.size)
            yield batch


def check_balance(balance: str) -> None:
    """Raise ConfigError for a way of balancing that there is not."""
    if balance not in BALANCES:
        raise ConfigError(expected=f"a balance among {', '.join(BALANCES)}", found=repr(balance))


def check_sequence_dropout(share: float) -> None:
    """Raise ConfigError for what is no probability of dropping a sequence, or always drops all that it may."""
    if not 0 <= share < 1:
        raise ConfigError(expected="a sequence_dropout of at least 0 and below 1", found=repr(share), code="E_OPTION")


def drop_sequences(present: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Return ``present`` with sequences dropped at random, so that a network learns to do without any of them.

    Each is dropped with the same probability, independently, but never all of a sample: of those that would all be
    dropped, one stays, each with the same chance (after Neverova et al., "ModDrop", TPAMI 38(8), 2016).

    Args:
        present: bool (batch, channel).
        share: probability, in [0, 1).
        generator: on the CPU, so that random numbers do not depend on the device.
    """
    drawn = torch.rand(present.shape, generator=generator).to(present.device).masked_fill(~present, -1.0)
    return present & ((drawn >= share) | (drawn == drawn.amax(dim=1, keepdim=True)))


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
