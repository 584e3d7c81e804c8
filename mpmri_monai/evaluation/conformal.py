"""Conformal sets: the classes that a lesion may have, right for a stated share of new patients."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from scipy.stats import beta

from mpmri_monai.evaluation.fitted import Fitted, NotFitted, Seen, patient_weights, patients_per_class
from mpmri_monai.evaluation.scored import Scored

ALPHA = 0.1
"""Sets miss the true class of at most this share of lesions."""

MINIMUM = math.ceil(1 / ALPHA) - 1
"""Calibration patients; with fewer, n / (n + 1) < 1 - alpha, the quantile is infinite, and a set holds every class."""

MINIMUM_PER_CLASS = 20
"""Calibration patients of each class for class-conditional sets: with the 9 that the quantile takes, it is the worst of
9 scores, and one calibration in twenty covers less than 72 %; with 20, less than 78 % (`coverage_range`)."""

ROUNDING = 1e-9
"""Sums of weights this close to 1 - alpha have reached it."""


@dataclass(frozen=True)
class ConformalSets(Fitted):
    """Sets of classes with 1 - p(class) ≤ quantile(class), and the most probable class in any case.

    The score is that of the least ambiguous sets (Sadinle, Lei and Wasserman, JASA 2019). Without the most probable
    class a set could be empty, which answers nothing; to add it can only raise the coverage. ``value`` holds ``alpha``
    and the ``quantiles`` of the classes; marginal sets have the same for all. Sets are made from the network's own
    probabilities, not from those scaled by a temperature: the guarantee wants a score that was made without the
    calibration patients.
    """

    def __post_init__(self) -> None:
        if set(self.quantiles) != set(self.classes):
            raise ValueError(f"quantiles of {', '.join(self.quantiles)} for the classes {', '.join(self.classes)}")

    @property
    def alpha(self) -> float:
        """Share of new patients' lesions whose true class the sets may miss."""
        return self.value["alpha"]

    @property
    def quantiles(self) -> dict[str, float]:
        """Highest 1 - p of a member, by class."""
        return self.value["quantiles"]

    def sets(self, probabilities: np.ndarray) -> np.ndarray:
        """Return which classes the set of each lesion holds, bool (lesion, class).

        Args:
            probabilities: mean over the slices of a lesion, shape (lesion, class).
        """
        quantiles = np.array([self.quantiles[name] for name in self.classes])
        members = 1 - probabilities <= quantiles
        members[np.arange(len(members)), probabilities.argmax(axis=1)] = True
        return members

    @staticmethod
    def read_value(value: Any) -> dict[str, Any]:
        alpha = float(value["alpha"])
        quantiles = {str(name): float(quantile) for name, quantile in value["quantiles"].items()}
        if not all(0 <= number <= 1 for number in (alpha, *quantiles.values())):
            raise ValueError("alpha or a quantile outside [0, 1]")
        return {"alpha": alpha, "quantiles": quantiles}


class MarginalSets(ConformalSets):
    """Sets that hold the true class of 1 - alpha of all lesions."""

    kind: ClassVar[str] = "conformal_marginal"

    @property
    def calibration_patients(self) -> int:
        """Patients behind the quantile."""
        return len(self.seen.hashes)


class ClassConditionalSets(ConformalSets):
    """Sets that hold the true class of 1 - alpha of the lesions of each class."""

    kind: ClassVar[str] = "conformal_by_class"

    @property
    def calibration_patients(self) -> int:
        """Patients behind the quantile of the class that has fewest."""
        return min(self.seen.per_class.values())


def fit_marginal(lesions: Scored, source: str, salt: str) -> MarginalSets | NotFitted:
    """Return marginal sets, or why there are none; arguments as for `temperature.fit_temperature`."""
    found = patients_per_class(lesions)
    if len(set(lesions.patients)) < MINIMUM:
        return NotFitted(MarginalSets.kind, "too few calibration patients", f"{MINIMUM} calibration patients", found)
    quantile = hierarchical_quantile(_scores(lesions), lesions.patients)
    value = {"alpha": ALPHA, "quantiles": dict.fromkeys(lesions.task.classes, quantile)}
    return MarginalSets(lesions.task.name, lesions.task.classes, value, Seen.of(lesions, source, salt))


def fit_by_class(lesions: Scored, source: str, salt: str) -> ClassConditionalSets | NotFitted:
    """Return class-conditional sets, or why there are none; arguments as for `temperature.fit_temperature`."""
    found = patients_per_class(lesions)
    if min(found.values()) < MINIMUM_PER_CLASS:
        needed = f"{MINIMUM_PER_CLASS} calibration patients of each class"
        return NotFitted(ClassConditionalSets.kind, "too few calibration patients", needed, found)
    scores = _scores(lesions)
    quantiles = {
        name: hierarchical_quantile(scores[lesions.truth == number], lesions.patients[lesions.truth == number])
        for number, name in enumerate(lesions.task.classes)
    }
    value = {"alpha": ALPHA, "quantiles": quantiles}
    return ClassConditionalSets(lesions.task.name, lesions.task.classes, value, Seen.of(lesions, source, salt))


def hierarchical_quantile(scores: np.ndarray, patients: np.ndarray, alpha: float = ALPHA) -> float:
    """Return the conformal quantile where one patient may have several lesions.

    Each of K patients has the weight 1 / (K + 1), shared by its lesions, and the new patient's is at infinity; the
    quantile is the smallest score at which the weights reach 1 - alpha (Lee, Barber and Willett, arXiv 2306.06342). A
    lesion drawn from a new patient is then covered with probability ≥ 1 - alpha, if patients are exchangeable. With one
    lesion a patient it is the ordinary split-conformal quantile, the ⌈(K + 1)(1 - alpha)⌉-th smallest score.

    Args:
        scores: 1 - p of the true class, shape (lesion,).
        patients: of each lesion, shape (lesion,).
        alpha: see `ALPHA`.

    Returns:
        The quantile; infinite with fewer than ⌈1 / alpha⌉ - 1 patients.
    """
    weights = patient_weights(patients)
    order = np.argsort(scores, kind="stable")
    reached = np.cumsum(weights[order]) / (weights.sum() + 1) >= 1 - alpha - ROUNDING
    return float(scores[order][reached.argmax()]) if reached.any() else math.inf


def coverage_range(patients: int, alpha: float = ALPHA) -> tuple[float, float]:
    """Return between what the coverage lies for 90 % of calibration sets of this many patients, one lesion each.

    The guarantee is a mean over calibration sets. One of n has the coverage Beta(n + 1 - l, l) with l = ⌊(n + 1) alpha⌋
    (Vovk, Machine Learning 92, 2013), which is wide for few patients.
    """
    misses = math.floor((patients + 1) * alpha + ROUNDING)
    low, high = beta.ppf([0.05, 0.95], patients + 1 - misses, misses)
    return float(low), float(high)


def _scores(lesions: Scored) -> np.ndarray:
    return 1 - lesions.probabilities[np.arange(len(lesions.truth)), lesions.truth]
