"""Temperature scaling: one number that makes a network's probabilities as sure as they may be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import softmax

from mpmri_monai.evaluation.fitted import Fitted, NotFitted, Seen, patient_weights, patients_per_class
from mpmri_monai.evaluation.predictions import DECIMALS
from mpmri_monai.evaluation.scored import Scored

MINIMUM_PER_CLASS = 5
"""Patients of each class. One number takes few patients; with fewer than these, one surprising lesion decides it."""

LIMITS = (0.1, 10.0)
"""Temperatures tried. An optimum at a limit is none: the likelihood keeps rising beyond."""

AT_LIMIT = 1.01
"""A temperature within this factor of a limit lies at it; the search ends that close."""

FLOOR = 0.5 * 10.0**-DECIMALS
"""Stands for a written probability of 0, which is anything below half of the last digit."""


@dataclass(frozen=True)
class Temperature(Fitted):
    """Probabilities p become softmax(log p / T); ``value`` is T (Guo et al., ICML 2017, equation 9).

    The network's logits are log p up to a constant, which softmax does not see. The most probable class stays so.
    """

    kind: ClassVar[str] = "temperature"

    def scaled(self, probabilities: np.ndarray) -> np.ndarray:
        """Return the calibrated probabilities of lesions, shape (lesion, class)."""
        return softmax(_log(probabilities) / self.value, axis=1)

    @staticmethod
    def read_value(value: Any) -> float:
        if not LIMITS[0] <= float(value) <= LIMITS[1]:
            raise ValueError(f"temperature {value}, not between {LIMITS[0]:g} and {LIMITS[1]:g}")
        return float(value)


def fit_temperature(lesions: Scored, source: str, salt: str) -> Temperature | NotFitted:
    """Return the temperature with the least negative log-likelihood, every patient counting once.

    Args:
        lesions: of the calibration patients.
        source: where these come from, ``fitted.VAL`` or ``fitted.INNER``.
        salt: of the hashes of these.
    """
    found, needed = patients_per_class(lesions), f"{MINIMUM_PER_CLASS} calibration patients of each class"
    if min(found.values()) < MINIMUM_PER_CLASS:
        return NotFitted(Temperature.kind, "too few calibration patients", needed, found)
    unbound = NotFitted(
        Temperature.kind,
        "the calibration lesions set no bound to it: (nearly) all are right, or the probabilities say nothing",
        "calibration lesions of which some are right and some wrong",
        found,
    )
    if (lesions.probabilities.argmax(axis=1) == lesions.truth).all():  # the colder, the likelier
        return unbound
    weights = patient_weights(lesions.patients)

    def loss(log_temperature: float) -> float:
        return nll(lesions.truth, softmax(_log(lesions.probabilities) / np.exp(log_temperature), axis=1), weights)

    best = float(np.exp(minimize_scalar(loss, bounds=tuple(np.log(LIMITS)), method="bounded").x))
    if not LIMITS[0] * AT_LIMIT < best < LIMITS[1] / AT_LIMIT:
        return unbound
    return Temperature(lesions.task.name, lesions.task.classes, best, Seen.of(lesions, source, salt))


def nll(truth: np.ndarray, probabilities: np.ndarray, weights: np.ndarray) -> float | np.ndarray:
    """Return the weighted mean of -log p of the true class, in nats.

    Args:
        truth: class index, shape (lesion,).
        probabilities: shape (lesion, class).
        weights: shape (lesion,), or (resample, lesion) for one mean each.
    """
    surprise = -_log(probabilities)[np.arange(len(truth)), truth]
    return weights @ surprise / weights.sum(axis=-1)


def _log(probabilities: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(probabilities, FLOOR))
