"""How the predictions of several fits become one number, said for each metric."""

from __future__ import annotations

import numpy as np

ADDED = "confusion matrices of all fits added"
PAIRS = "pairs scored by the same fit only, pooled over the fits"
PRECISIONS = "precision among the units of the same fit, averaged over the positives of all fits"
UNITS = "units of all fits together"

LEFT_OUT_ONE_BY_ONE = (
    "each fit tests one patient: scores of different fits have no common scale, and pooling them gives less than 0.5 "
    "by chance; use repeated k-fold (or leave-pair-out) instead"
)


def pooling(name: str) -> str:
    """Return how the metric called ``name`` is pooled over fits."""
    if "auc" in name:
        return PAIRS
    if "average_precision" in name:
        return PRECISIONS
    return UNITS if name in ("brier", "ece") else ADDED


def cannot_be_pooled(name: str, patients: np.ndarray, fits: np.ndarray) -> bool:
    """Return whether the metric depends on the order of scores of which no fit has those of two patients.

    Args:
        name: of the metric.
        patients: of each unit, shape (unit,).
        fits: number of the model that scored each unit, shape (unit,).
    """
    if pooling(name) not in (PAIRS, PRECISIONS) or len(np.unique(fits)) == 1:
        return False
    return all(len(set(patients[fits == fit])) == 1 for fit in np.unique(fits))
