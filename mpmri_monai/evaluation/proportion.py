"""Intervals of shares of lesions, where lesions (and repeats) of one patient are alike."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.stats import beta, t

from mpmri_monai.evaluation.bootstrap import CONFIDENCE

TAIL = (1 - CONFIDENCE) / 2


def clustered_proportion(hits: np.ndarray, patients: np.ndarray) -> dict[str, Any]:
    """Return a share with the exact binomial interval of its effective number of lesions.

    Korn and Graubard (Survey Methodology 24, 1998): the number of lesions is divided by the design effect, which the
    spread between patients gives, and by the penalty for few patients; Clopper and Pearson's interval follows. It
    covers at least its confidence also for shares near 1 and few patients, where resampling patients covers less.
    A share of exactly 0 or 1 shows no spread: its effective number is that of the patients, as if all lesions of a
    patient were always alike.

    Args:
        hits: bool, shape (lesion,).
        patients: of each lesion, shape (lesion,).

    Returns:
        ``{"value", "low", "high", "n", "patients"}``; value None without a lesion, low and high None with one patient.
    """
    n, hits = len(hits), np.asarray(hits, bool)
    names, owner = np.unique(patients, return_inverse=True)
    found = {"value": None, "low": None, "high": None, "n": n, "patients": len(names)}
    if n == 0:
        return found
    share = float(hits.mean())
    if len(names) == 1:
        return found | {"value": share}
    count = _effective_number(hits, share, owner, len(names))
    successes = share * count
    low = 0.0 if successes <= 0 else float(beta.ppf(TAIL, successes, count - successes + 1))
    high = 1.0 if share >= 1 else float(beta.ppf(1 - TAIL, successes + 1, count - successes))
    return found | {"value": share, "low": low, "high": high}


def _effective_number(hits: np.ndarray, share: float, owner: np.ndarray, patients: int) -> float:
    """Return how many independent lesions tell as much as these do."""
    n = len(hits)
    residuals = np.bincount(owner, weights=hits - share)
    variance = patients / (patients - 1) * (residuals**2).sum() / n**2
    if share in (0.0, 1.0) or variance == 0:
        return float(patients)
    penalty = (t.ppf(1 - TAIL, n - 1) / t.ppf(1 - TAIL, patients - 1)) ** 2 if n > patients else 1.0
    return float(min(share * (1 - share) / variance * penalty, n))
