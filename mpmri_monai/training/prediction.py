"""What a network says of samples, as rows of the predictions table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from mpmri_monai.sequences import Task
from mpmri_monai.training.dataset import SampleData, SampleDataset
from mpmri_monai.training.inferer import Inferer, lay_out
from mpmri_monai.training.loader import EvaluationLoader, prepare_batch
from mpmri_monai.transforms.averaging import CROPS, averaging_crops


class AveragingInferer(Inferer):
    """Inferer over stored crops, whole: the mean probability of all crops of `averaging_crops`, as its logarithm.

    The logarithm stands where other inferers give logits; its softmax is the mean probability.

    Args:
        size: of the network's input, as `as_size` takes it; of a plane.
    """

    def __init__(self, size: int | Sequence[int] = 32) -> None:
        super().__init__()
        self.size = size

    def __call__(self, inputs: Tensor, network: nn.Module, *args: Any, **kwargs: Any) -> Tensor:
        """Return log-probabilities (sample, class), float64, of stored crops (sample, channel, row, column)."""
        crops = averaging_crops(inputs, self.size)
        one_crop = super().__call__
        total = sum(torch.softmax(one_crop(crop, network, *args, **kwargs).double(), dim=1) for crop in crops)
        return torch.log(total / CROPS)


@torch.no_grad()
def predict(
    network: nn.Module,
    data: SampleData,
    device: str | torch.device,
    size: int | Sequence[int] = 32,
    averaging: bool = False,
) -> np.ndarray:
    """Return class probabilities (sample, class), float64, of ``data``; computed in float32.

    They are of the central crop of ``size``, the network's input as `as_size` takes it, or with ``averaging`` the mean
    over the crops of `averaging_crops`.
    """
    network = lay_out(network.eval())
    inferer = AveragingInferer(size) if averaging else Inferer()
    seen, outputs = data.image.shape[2:] if averaging else size, []
    for batch in EvaluationLoader(SampleDataset(data, device), size=seen):
        image, _, _, extra = prepare_batch(batch, device)
        outputs.append(torch.softmax(inferer(image, network, **extra).double(), dim=1).cpu().numpy())
    return np.concatenate(outputs)


def prediction_rows(
    data: SampleData, probabilities: np.ndarray, task: Task, sequences: Sequence[str], split: Mapping[str, object]
) -> pd.DataFrame:
    """Return the predictions table of ``data``.

    Args:
        data: the samples; its table names patient, study, lesion, sample, site and present_<sequence>.
        probabilities: (sample, class).
        task: whose classes name the probabilities.
        sequences: the manifest's, one present_<sequence> column each.
        split: the columns repeat, outer, inner and role.
    """
    table = data.table.reset_index(drop=True)
    names = [task.classes[label] if label >= 0 else "" for label in data.label]
    columns: dict[str, object] = {"task": task.name}
    columns |= {name: table[name] for name in ("patient", "study", "lesion", "sample", "site")}
    columns |= {name: split[name] for name in ("repeat", "outer", "inner", "role")}
    columns["label"] = names
    columns |= {f"p_{name}": probabilities[:, index] for index, name in enumerate(task.classes)}
    columns |= {f"present_{name}": table[f"present_{name}"] for name in sequences}
    return pd.DataFrame(columns, index=table.index)
