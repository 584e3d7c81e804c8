"""Batches of natural images made on the device: random crop and flip for training, the whole picture for testing."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from mpmri_monai.errors import ConfigError
from mpmri_monai.natural.images import SIDE
from mpmri_monai.training.determinism import seed_for
from mpmri_monai.transforms.batch import centre_crop, crop


class NaturalDataset(torch.utils.data.Dataset):
    """Pictures of one part as bytes on one device, with a border of zeros to crop from.

    Args:
        images: uint8 (image, channel, row, column).
        labels: int64 (image,).
        border: zeros on each side, at most the side of a picture (pixels).
        device: where the tensors lie.

    Raises:
        ConfigError: there is no such border.
    """

    def __init__(
        self, images: NDArray[np.uint8], labels: NDArray[np.int64], border: int = 0, device: str | torch.device = "cpu"
    ) -> None:
        if not 0 <= border <= SIDE:
            raise ConfigError(expected=f"a border, the jitter of the crops, from 0 to {SIDE} pixels", found=str(border))
        pictures = torch.from_numpy(np.ascontiguousarray(images)).to(device)
        self.images = functional.pad(pictures, (border, border, border, border))
        self.labels = torch.as_tensor(labels, dtype=torch.int64, device=device)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int | Tensor) -> dict[str, Tensor]:
        return {"image": self.images[index], "label": self.labels[index]}


class NaturalTrainingLoader:
    """Shuffled batches of random crops, mirrored at random where a mirror image is of the same class.

    Order, crops and flips depend on the seed and the epoch alone. Grey values are scaled to [0, 1], as those of MRI.

    Args:
        dataset: with a border of at least ``jitter``.
        batch_size: images a batch; the last, smaller one of an epoch is left out, as its statistics are noisier.
        jitter: largest shift of the crop (pixels).
        flip: whether to mirror half of the images.
        seed: with the epoch, decides all that is random.
    """

    def __init__(
        self, dataset: NaturalDataset, batch_size: int = 128, jitter: int = 4, flip: bool = True, seed: int = 0
    ) -> None:
        if not 1 <= batch_size <= len(dataset):
            raise ConfigError(expected=f"a batch_size from 1 to {len(dataset)}", found=str(batch_size))
        if not 0 <= jitter <= (dataset.images.shape[-1] - SIDE) // 2:
            raise ConfigError(expected="a jitter from 0 to the border of the images", found=str(jitter))
        self.dataset, self.batch_size, self.jitter, self.flip, self.seed = dataset, batch_size, jitter, flip, seed
        self.epoch = 1

    def __len__(self) -> int:
        return len(self.dataset) // self.batch_size

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        generator = torch.Generator().manual_seed(seed_for(self.seed, self.epoch))
        device, count = self.dataset.images.device, len(self.dataset)
        order = torch.randperm(count, generator=generator).to(device)
        shifts = torch.randint(-self.jitter, self.jitter + 1, (2, count), generator=generator).to(device)
        mirrored = (torch.rand(count, generator=generator) < 0.5).to(device)
        for start in range(0, len(self) * self.batch_size, self.batch_size):
            part = slice(start, start + self.batch_size)
            batch = self.dataset[order[part]]
            image = crop_from_border(batch["image"], shifts[0, part], shifts[1, part])
            if self.flip:
                image = torch.where(mirrored[part, None, None, None], image.flip(-1), image)
            yield {"image": image.float() / 255, "label": batch["label"]}


def crop_from_border(images: Tensor, row_shifts: Tensor, column_shifts: Tensor) -> Tensor:
    """Return 32×32 crops of ``images`` (batch, channel, row, column), shifted off the centre by whole pixels."""
    return crop(images, SIDE, row_shifts, column_shifts)


class NaturalEvaluationLoader:
    """Batches of whole pictures in the order of the dataset."""

    def __init__(self, dataset: NaturalDataset, batch_size: int = 1000) -> None:
        self.dataset, self.batch_size = dataset, batch_size

    def __len__(self) -> int:
        return math.ceil(len(self.dataset) / self.batch_size)

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        for start in range(0, len(self.dataset), self.batch_size):
            batch = self.dataset[torch.arange(start, min(start + self.batch_size, len(self.dataset)))]
            yield {"image": centre_crop(batch["image"], SIDE).float() / 255, "label": batch["label"]}
