"""The reliability diagram: how often a network is right when it says how sure it is."""

from __future__ import annotations

from typing import Any

import numpy as np

from mpmri_monai.evaluation.metrics import ECE_BINS
from mpmri_monai.evaluation.proportion import clustered_proportion
from mpmri_monai.evaluation.scored import Scored


def reliability(lesions: Scored) -> dict[str, Any]:
    """Return the reliability diagram of the top class (Guo et al., ICML 2017).

    Returns:
        ``{"bins": [{"confidence", "accuracy", "low", "high", "n", "patients"}]}``, the bins of the expected calibration
        error that hold a lesion: mean probability of the predicted class, and the share of right answers with the
        interval of `clustered_proportion`.
    """
    confidence = lesions.probabilities.max(axis=1)
    right = lesions.probabilities.argmax(axis=1) == lesions.truth
    number = np.clip(np.ceil(confidence * ECE_BINS).astype(int) - 1, 0, ECE_BINS - 1)  # as in `metrics.ece`
    bins = []
    for index in np.unique(number):
        inside = number == index
        share = clustered_proportion(right[inside], lesions.patients[inside])
        bins.append({"confidence": float(confidence[inside].mean()), "accuracy": share.pop("value"), **share})
    return {"bins": bins}
