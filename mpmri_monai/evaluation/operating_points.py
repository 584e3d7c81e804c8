"""Sensitivity at stated specificities, with patient-bootstrap intervals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm, t

from mpmri_monai.errors import EvaluationError
from mpmri_monai.evaluation.bootstrap import CONFIDENCE, SAME
from mpmri_monai.evaluation.intervals import DEFINED
from mpmri_monai.evaluation.levels import RULES
from mpmri_monai.evaluation.roc import roc_steps, true_positives
from mpmri_monai.evaluation.scored import Redrawn, Scored, or_none, resampling, scored
from mpmri_monai.sequences import Task

SPECIFICITIES = (0.9, 0.85, 0.8)

CONVENTION = (
    "read off the ROC curve of each fitted model at the specificity that its own test units show, on straight lines "
    "between thresholds; the mean over the models is weighted by their positives. No threshold is carried from other "
    "data, so that this is a property of the ranking, not the performance of a threshold fixed beforehand"
)

NO_CURVE = "no fitted model scored both the class and the rest in several patients; use repeated k-fold instead"


def operating_points(
    predictions: pd.DataFrame,
    task: Task,
    level: str = "lesion",
    *,
    specificities: Sequence[float] = SPECIFICITIES,
    role: str = "test",
    bootstraps: int = 2000,
    seed: int = 0,
) -> dict[str, Any]:
    """Return the sensitivity for each class against the rest at given specificities, as JSON-like content.

    A binary task has its last class alone as the positive one.

    Args:
        predictions: see `mpmri_monai.evaluation.predictions`.
        task: the classes in order.
        level: ``slice``, ``lesion`` or ``patient``.
        specificities: each in (0, 1).
        role: ``test`` or ``val``.
        bootstraps: number of resamples of the patients.
        seed: of the resampling.

    Returns:
        ``{"level", "rule", "convention", "confidence", "bootstraps", "points": [{"class", "specificity", "value",
        "low", "high", "resamples", "patients", "why", "positives"}], "macro": [{"specificity", "value", "low", "high",
        "resamples", "patients", "why"}]}``: ``value`` is the sensitivity, ``patients`` have units of the class,
        ``positives`` are these units in all fits. It is None, and ``why`` says so, where no fit scored units of two
        patients, the class and the rest among them. ``low`` and ``high`` are None where the resamples between them
        agree, a tenth of them has no curve, or one patient has the class. The interval is the expanded percentile
        interval with one degree of freedom less than ``patients``: a point of a curve has no jackknife, on which the
        intervals of metrics rely. ``macro`` is the mean over the classes of ``points``, with the patients of the class
        that has fewest.

    Raises:
        EvaluationError: a specificity outside (0, 1); the table is not one of this task, level or role.
        LeakageError: a patient has two roles in one fit.
    """
    wrong = [value for value in specificities if not 0 < value < 1]
    if wrong or not specificities:
        raise EvaluationError(expected="specificities in (0, 1)", found=", ".join(map(str, wrong)) or "none")
    units = scored(predictions, task, level, role)
    drawn = resampling([units], bootstraps, np.random.default_rng(seed))
    weights = units.of_patients(drawn.weights)
    points, of_class, patients = [], [], []
    for k in range(len(task.classes)) if len(task.classes) > 2 else [len(task.classes) - 1]:
        positive = units.truth == k
        values = _sensitivities(units, k, weights, specificities)
        of_class.append(values)
        patients.append(len(set(units.patients[positive])))
        points += [
            {"class": task.classes[k], "specificity": specificity}
            | _point(drawn.split(values[:, index]), patients[-1])
            | {"positives": int(positive.sum())}
            for index, specificity in enumerate(specificities)
        ]
    mean = np.mean(of_class, axis=0)
    return {
        "level": level,
        "rule": RULES[level],
        "convention": CONVENTION,
        "confidence": CONFIDENCE,
        "bootstraps": bootstraps,
        "points": points,
        "macro": [
            {"specificity": specificity} | _point(drawn.split(mean[:, index]), min(patients))
            for index, specificity in enumerate(specificities)
        ],
    }


def _point(found: Redrawn, patients: int) -> dict[str, Any]:
    """Return a sensitivity with its interval from the number of patients who have the class."""
    defined = bool(np.isfinite(found.value))
    low, high = _percentiles(found.resampled, patients - 1) if defined else (None, None)
    return {
        "value": or_none(found.value),
        "low": low,
        "high": high,
        "resamples": int(np.isfinite(found.resampled).sum()),
        "patients": patients,
        "why": None if defined else NO_CURVE,
    }


def _percentiles(resampled: np.ndarray, freedom: int) -> tuple[float | None, float | None]:
    """Return the expanded percentile interval (Hesterberg 2015) over the resamples in which the value is defined.

    Its percentiles are those at which a normal quantile equals Student's, since plain ones are too close for few
    patients.
    """
    defined = resampled[np.isfinite(resampled)]
    if freedom < 1 or defined.size < DEFINED * resampled.size:
        return None, None
    tail = norm.cdf(-t.ppf((1 + CONFIDENCE) / 2, freedom))
    low, high = np.quantile(defined, [tail, 1 - tail])
    return (None, None) if high - low < SAME else (float(low), float(high))


def _sensitivities(units: Scored, k: int, weights: np.ndarray, specificities: Sequence[float]) -> np.ndarray:
    """Return the sensitivity for class ``k``, shape (resample, specificity); NaN where no fit has both classes."""
    rates = 1 - np.asarray(specificities)
    if not units.comparable("auc"):
        return np.full((len(weights), len(rates)), np.nan)
    found, positives = np.zeros((len(weights), len(rates))), np.zeros(len(weights))
    for fit in np.unique(units.fits):
        chosen = units.fits == fit
        false, true = roc_steps(units.truth[chosen] == k, units.probabilities[chosen, k], weights[:, chosen])
        for row in np.flatnonzero((false[:, -1] > 0) & (true[:, -1] > 0)):
            found[row] += true_positives(false[row], true[row], rates)
            positives[row] += true[row, -1]
    return np.divide(found, positives[:, None], out=np.full(found.shape, np.nan), where=positives[:, None] > 0)
