"""Samples of one role, whole in memory, as the network's loaders want them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.utils.data import Dataset

from mpmri_monai.errors import StoreError

NO_LABEL = -1


@dataclass(frozen=True)
class SampleData:
    """Stored crops of some samples with one fusion's channels.

    Attributes:
        image: float32 (sample, channel, row, column) or (sample, channel, depth, row, column) in [0, 1]; 0 where the
            sequence is absent.
        present: bool (sample, channel).
        label: int64 (sample,), index into the task's classes, or -1 when unknown.
        extent_mm: float32 (sample,), largest extent of the lesion.
        table: one row a sample, in the same order, with at least patient, study, lesion, sample and site.
    """

    image: np.ndarray
    present: np.ndarray
    label: np.ndarray
    extent_mm: np.ndarray
    table: pd.DataFrame

    def __post_init__(self) -> None:
        lengths = {len(self.image), len(self.present), len(self.label), len(self.extent_mm), len(self.table)}
        if len(lengths) != 1:
            raise StoreError(expected="as many labels and flags as images", found=f"lengths {sorted(lengths)}")


class SampleDataset(Dataset):
    """Samples as tensors on one device; item ``i`` is the dictionary image, present, label, extent_mm.

    Args:
        data: what to hold.
        device: where the tensors lie; crops are small, so that a cohort fits on a GPU whole.
    """

    def __init__(self, data: SampleData, device: str | torch.device = "cpu") -> None:
        self.data = data
        self.tensors: dict[str, Tensor] = {
            "image": torch.as_tensor(data.image, dtype=torch.float32, device=device),
            "present": torch.as_tensor(data.present, dtype=torch.bool, device=device),
            "label": torch.as_tensor(data.label, dtype=torch.int64, device=device),
            "extent_mm": torch.as_tensor(data.extent_mm, dtype=torch.float32, device=device),
        }

    def __len__(self) -> int:
        return len(self.data.table)

    def __getitem__(self, index: int | Tensor) -> dict[str, Tensor]:
        return {name: tensor[index] for name, tensor in self.tensors.items()}
