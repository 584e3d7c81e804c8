"""Metrics that steer a training run; results are computed from the predictions table by the evaluation room."""

from __future__ import annotations

import math

import numpy as np
import torch
from ignite.metrics import EpochMetric
from monai.handlers import from_engine
from sklearn.metrics import roc_auc_score
from torch import Tensor


class MacroAUC(EpochMetric):
    """Mean over classes of the one-vs-rest area under the ROC curve; NaN when a class is absent or a score is NaN."""

    def __init__(self) -> None:
        super().__init__(_macro_auc, output_transform=from_engine(["pred", "label"]), check_compute_fn=False)


def _macro_auc(logits: Tensor, labels: Tensor) -> float:
    probabilities = torch.softmax(logits.double(), dim=1).cpu().numpy()
    truth = labels.cpu().numpy()
    if not np.isfinite(probabilities).all():
        return math.nan
    areas = []
    for index in range(probabilities.shape[1]):
        of_class = truth == index
        if of_class.all() or not of_class.any():
            return math.nan
        areas.append(roc_auc_score(of_class, probabilities[:, index]))
    return float(sum(areas) / len(areas))


def larger_unless_nan(current: float, best: float) -> bool:
    """Return whether ``current`` beats ``best``; a metric that is not defined beats nothing and is beaten by any."""
    if math.isnan(current):
        return False
    return math.isnan(best) or current > best
