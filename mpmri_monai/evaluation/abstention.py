"""Abstention: what is right among the answers that are left when the least certain lesions go to a doctor."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from mpmri_monai.evaluation.fitted import Fitted, NotFitted, Seen, patient_weights, patients_per_class
from mpmri_monai.evaluation.proportion import clustered_proportion
from mpmri_monai.evaluation.scored import Resampling, Scored, or_none

REFERRED = (0.0, 0.1, 0.2, 0.3, 0.5)
"""Shares of lesions that go to a doctor, in the table."""

COVERAGES = tuple(round(0.05 * step, 2) for step in range(1, 21))
"""Shares of lesions that are answered, on the curve."""

MINIMUM = 10
"""Calibration patients: with fewer, the least certain tenth is less than one of them."""

ROUNDING = 1e-9
"""Shares this close are equal; sums of weights round."""


@dataclass(frozen=True)
class CertaintyThresholds(Fitted):
    """A lesion goes to a doctor when its highest probability is below ``value[share]``.

    On the calibration patients, counting once each, at most that share of lesions is below.
    """

    kind: ClassVar[str] = "certainty_threshold"

    def answered(self, certainty: np.ndarray, share: float) -> np.ndarray:
        """Return which lesions are answered, bool (lesion,), when about ``share`` of them is to be referred."""
        return certainty >= self.value[_name(share)]

    @staticmethod
    def read_value(value: Any) -> dict[str, float]:
        return {_name(float(share)): float(threshold) for share, threshold in value.items()}


def fit_thresholds(lesions: Scored, source: str, salt: str) -> CertaintyThresholds | NotFitted:
    """Return the thresholds of certainty, or why there are none; arguments as for `temperature.fit_temperature`.

    Args:
        lesions: of the calibration patients, with the probabilities that are shown (calibrated, where they can be).
        source: where these patients come from, ``fitted.VAL`` or ``fitted.INNER``.
        salt: of the hashes of these.
    """
    if len(set(lesions.patients)) < MINIMUM:
        found = patients_per_class(lesions)
        needed = f"{MINIMUM} calibration patients"
        return NotFitted(CertaintyThresholds.kind, "too few calibration patients", needed, found)
    certainty = lesions.probabilities.max(axis=1)
    order = np.argsort(certainty, kind="stable")
    weights = patient_weights(lesions.patients)[order]
    below = (np.cumsum(weights) - weights) / weights.sum()  # share below each lesion, in ascending order
    values = {_name(share): float(certainty[order][below <= share + ROUNDING].max()) for share in REFERRED if share > 0}
    return CertaintyThresholds(lesions.task.name, lesions.task.classes, values, Seen.of(lesions, source, salt))


def abstention(lesions: Scored, drawn: Resampling, answered: dict[float, np.ndarray] | None = None) -> dict[str, Any]:
    """Return the risk-coverage curve, the area under it, and the table of what remains when the least certain go.

    Certainty is the highest probability p of a lesion; of two classes it orders lesions as the gap between their
    probabilities, 2p - 1, does. Lesions of all fits are on one scale. Risk is the share of wrong
    answers among those given, coverage the share of lesions that get one.

    Args:
        lesions: of the test patients, with the probabilities that are shown.
        drawn: resamples of their patients.
        answered: for each share of `REFERRED`, the lesions above the threshold that was fitted for it.

    Returns:
        ``{"aurc": {"value", "low", "high", …, "always_answering", "best"}, "curves": [{"name", "coverage", "risk",
        "low", "high"}], "table": [{"asked", "referred", "right", "by_threshold"}]}``. ``aurc`` is the mean risk over
        the thresholds that the lesions' certainties offer (Geifman and El-Yaniv, NeurIPS 2017); a certainty that says
        nothing has the risk of always answering, and one that puts every wrong answer last has ``best``. ``right`` is
        as of `clustered_proportion`, where the cut is at the test lesions' own quantile; ``by_threshold`` is
        ``{"referred", "right"}`` with the cut of the calibration patients, or None.
    """
    certainty = lesions.probabilities.max(axis=1)
    right = lesions.probabilities.argmax(axis=1) == lesions.truth
    kept = {share: _most_certain(certainty, 1 - share) for share in REFERRED}
    return {
        "aurc": _area(lesions, certainty, ~right, drawn),
        "curves": [_curve(certainty, right, lesions.patients)],
        "table": [
            {
                "asked": share,
                "referred": float(1 - kept[share].mean()),
                "right": _right_among(kept[share], right, lesions.patients),
                "by_threshold": _by_threshold(share, answered, right, lesions.patients),
            }
            for share in REFERRED
        ],
    }


def aurc(certainty: np.ndarray, wrong: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the area under the risk-coverage curve for each weighting, shape (resample,).

    Lesions of one certainty are answered or referred together, so that their order does not matter.

    Args:
        certainty: shape (lesion,).
        wrong: bool, shape (lesion,).
        weights: shape (resample, lesion).
    """
    order = np.argsort(-certainty, kind="stable")
    ordered = certainty[order]
    steps = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    mass = np.add.reduceat(weights[:, order], steps, axis=1)
    errors = np.cumsum(np.add.reduceat(weights[:, order] * wrong[order], steps, axis=1), axis=1)
    coverage = np.cumsum(mass, axis=1)
    risk = np.divide(errors, coverage, out=np.zeros_like(errors), where=coverage > 0)
    total = coverage[:, -1]
    return np.divide((mass * risk).sum(axis=1), total, out=np.full(len(total), np.nan), where=total > 0)


def _area(lesions: Scored, certainty: np.ndarray, wrong: np.ndarray, drawn: Resampling) -> dict[str, Any]:
    best = np.arange(len(wrong), 0, -1) - wrong * float(len(wrong))  # all different, every wrong answer last
    return {
        **drawn.interval("aurc", drawn.split(aurc(certainty, wrong, lesions.of_patients(drawn.weights)))),
        "always_answering": float(wrong.mean()),
        "best": or_none(aurc(best, wrong, np.ones((1, len(wrong))))[0]),
    }


def _curve(certainty: np.ndarray, right: np.ndarray, patients: np.ndarray) -> dict[str, Any]:
    masks = [_most_certain(certainty, coverage) for coverage in COVERAGES]
    shares = [_right_among(mask, right, patients) for mask in masks]
    return {
        "name": "least certain referred",
        "coverage": [float(mask.mean()) for mask in masks],
        "risk": [1 - share["value"] for share in shares],
        "low": [None if share["high"] is None else 1 - share["high"] for share in shares],
        "high": [None if share["low"] is None else 1 - share["low"] for share in shares],
    }


def _by_threshold(
    share: float, answered: dict[float, np.ndarray] | None, right: np.ndarray, patients: np.ndarray
) -> dict[str, Any] | None:
    if not answered or share not in answered:
        return None
    kept = answered[share]
    return {"referred": float(1 - kept.mean()), "right": _right_among(kept, right, patients)}


def _right_among(kept: np.ndarray, right: np.ndarray, patients: np.ndarray) -> dict[str, Any]:
    return clustered_proportion(right[kept], patients[kept])


def _most_certain(certainty: np.ndarray, coverage: float) -> np.ndarray:
    """Return the lesions that are answered at this coverage, bool (lesion,); at least one, and ties stay together."""
    count = max(1, math.ceil(coverage * len(certainty) - ROUNDING))
    return certainty >= np.sort(certainty)[::-1][count - 1]


def _name(share: float) -> str:
    return f"{share:g}"
