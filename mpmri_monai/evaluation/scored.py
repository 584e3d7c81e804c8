"""The units of a predictions table as arrays, and their metrics when patients are drawn again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import t

from mpmri_monai.errors import EvaluationError
from mpmri_monai.evaluation import metrics
from mpmri_monai.evaluation.bootstrap import CONFIDENCE, SAME, left_out, redrawn, strata
from mpmri_monai.evaluation.intervals import DEFINED, interval, jackknife_variance
from mpmri_monai.evaluation.levels import (
    FIT,
    UNIT,
    at_level,
    check_complete,
    check_no_copies,
    levels_of,
    tested_rows,
)
from mpmri_monai.evaluation.pooling import cannot_be_pooled
from mpmri_monai.evaluation.predictions import PROBABILITY, check_predictions
from mpmri_monai.sequences import Task

CHUNK = 4_000_000
"""Elements of the weights that are worked on at once: 32 MB in float64."""

LOWER_IS_BETTER = ("brier", "ece")


@dataclass(frozen=True)
class Redrawn:
    """A number of the patients as they are, redrawn, and with each left out."""

    value: float
    resampled: np.ndarray
    """Shape (resample,)."""
    jackknife: np.ndarray
    """Shape (patient,)."""

    def __sub__(self, other: Redrawn) -> Redrawn:
        return Redrawn(self.value - other.value, self.resampled - other.resampled, self.jackknife - other.jackknife)


@dataclass(frozen=True)
class Resampling:
    """Resamples of the patients of one or several tables."""

    weights: pd.DataFrame
    """A column a patient; a row of ones, a row for each resample, then one for each patient who is left out."""
    stratum: np.ndarray
    """Of each patient, shape (patient,)."""

    @property
    def patients(self) -> pd.Index:
        """The patients, in the order of the columns."""
        return self.weights.columns

    def split(self, values: np.ndarray) -> Redrawn:
        """Return what a function of the weights gave for each of their rows, shape (row,), by the kinds of rows."""
        return Redrawn(float(values[0]), values[1 : -len(self.stratum)], values[-len(self.stratum) :])

    def interval(self, name: str, found: Redrawn) -> dict[str, Any]:
        """Return a metric with its interval, as `evaluate` gives it."""
        return interval(name, found.value, found.resampled, found.jackknife, self.stratum)

    def of_difference(self, found: Redrawn) -> tuple[float | None, float | None]:
        """Return the interval of a difference of metrics: value ± t · standard error.

        As for single metrics, but on the scale of the metric, since a difference has no bounds to keep. Both ends are
        None where the difference is not defined, here or in more than a few resamples, or all resamples agree.
        """
        variance, freedom = self.variance(found)
        return around(found.value, variance, freedom)

    def variance(self, found: Redrawn) -> tuple[float, float]:
        """Return the variance from the patients, as for single metrics, and its degrees of freedom.

        It is NaN where the number is not defined, here or in too many resamples, and 0 where all resamples agree.
        """
        defined = found.resampled[np.isfinite(found.resampled)]
        if not np.isfinite(found.value) or not np.isfinite(found.jackknife).all():
            return float("nan"), 1.0
        if defined.size < DEFINED * found.resampled.size:
            return float("nan"), 1.0
        if np.ptp(defined) < SAME or np.ptp(found.jackknife) < SAME:
            return 0.0, 1.0
        jackknife, freedom = jackknife_variance(found.jackknife, self.stratum)
        return max(float(np.var(defined)), jackknife), freedom


@dataclass(frozen=True)
class Scored:
    """One row for each unit and fit, in the order of fit and unit."""

    task: Task
    level: str
    units: pd.DataFrame
    """Columns ``repeat, outer``, the names of the unit, ``label``, ``p_<class>``."""
    truth: np.ndarray
    """Class index, shape (unit,)."""
    probabilities: np.ndarray
    """Shape (unit, class)."""
    fits: np.ndarray
    """Number of the model that scored the unit, shape (unit,)."""
    samples: pd.DataFrame
    """The samples that the units were made from, by fit and name; none in a table of lesions."""

    @property
    def patients(self) -> np.ndarray:
        """Patient of each unit, shape (unit,)."""
        return self.units["patient"].to_numpy()

    @property
    def decided(self) -> np.ndarray:
        """Index of the most probable class, shape (unit,)."""
        return self.probabilities.argmax(axis=1)

    @property
    def each_patient_once(self) -> bool:
        """Whether no patient has two rows: units are then independent."""
        return not self.units["patient"].duplicated().any()

    @property
    def one_fit(self) -> bool:
        """Whether one model scored every unit."""
        return len(np.unique(self.fits)) == 1

    def of_patients(self, weights: pd.DataFrame) -> np.ndarray:
        """Return the weights of the units, shape (row, unit), from those of their patients, a column each."""
        return weights.to_numpy()[:, weights.columns.get_indexer(pd.Index(self.patients))]

    def comparable(self, name: str) -> bool:
        """Return whether the models' scores allow the metric; see `pooling.cannot_be_pooled`."""
        return not cannot_be_pooled(name, self.patients, self.fits)

    def measured(self, names: Sequence[str] | None, weights: pd.DataFrame) -> dict[str, np.ndarray]:
        """Return the named metrics, each with shape (row,), NaN where one is not defined.

        Metrics of the order of scores are not defined where every model was tested on one patient.

        Args:
            names: of the metrics; None for all that the task has.
            weights: a column for each patient; there may be others than here.

        Raises:
            EvaluationError: a metric that the task does not have.
        """
        step = max(1, CHUNK // len(self.truth))
        blocks = [self._all(weights.iloc[start : start + step]) for start in range(0, len(weights), step)]
        names = list(blocks[0]) if names is None else names
        unknown = [name for name in names if name not in blocks[0]]
        if unknown:
            near = get_close_matches(unknown[0], blocks[0], n=1)
            raise EvaluationError(
                expected=f"metrics of task {self.task.name} among {', '.join(blocks[0])}",
                found=repr(unknown[0]),
                fix=f"did you mean {near[0]!r}?" if near else None,
            )
        return {
            name: np.concatenate([block[name] for block in blocks])
            if self.comparable(name)
            else np.full(len(weights), np.nan)
            for name in names
        }

    def values(self, names: Sequence[str]) -> dict[str, float]:
        """Return the named metrics of the patients as they are; NaN where one is not defined."""
        once = pd.DataFrame(np.ones((1, len(set(self.patients)))), columns=sorted(set(self.patients)))
        return {name: float(values[0]) for name, values in self.measured(names, once).items()}

    def redrawn(self, names: Sequence[str] | None, drawn: Resampling) -> dict[str, Redrawn]:
        """Return the named metrics of the patients as they are, redrawn, and with each left out."""
        return {name: drawn.split(values) for name, values in self.measured(names, drawn.weights).items()}

    def _all(self, weights: pd.DataFrame) -> dict[str, np.ndarray]:
        return metrics.all_metrics(self.truth, self.probabilities, self.fits, self.of_patients(weights), self.task)


def scored(predictions: pd.DataFrame, task: Task, level: str, role: str = "test", unit: str = "patient") -> Scored:
    """Return the labelled units of one role at one level, over all outer fits.

    Args:
        predictions: see `mpmri_monai.evaluation.predictions`.
        task: the classes in order.
        level: ``slice``, ``lesion`` or ``patient``.
        role: ``test`` or ``val``.
        unit: what was divided: ``patient``, or ``lesion`` or ``sample`` in a protocol that is not patient-disjoint.

    Raises:
        EvaluationError: the table is not one of this task, has no such level or role, or misses predictions; with
            ``unit`` patient, stored copies stand among the samples.
        LeakageError: a patient has two roles in one fit, and ``unit`` is ``patient``.
    """
    rows = scored_rows(predictions, task, role, unit)
    levels = levels_of(rows, task)
    if level not in levels:
        raise EvaluationError(expected=f"a level that the predictions have: {', '.join(levels)}", found=repr(level))
    return units_of(rows, task, level)


def scored_rows(predictions: pd.DataFrame, task: Task, role: str = "test", unit: str = "patient") -> pd.DataFrame:
    """Return the rows that `scored` takes, checked; arguments and errors as there."""
    rows = tested_rows(check_predictions(predictions, "predictions"), task, role, unit)
    if unit == "patient":
        check_no_copies(rows)
    check_complete(rows, role, unit)
    return rows


def units_of(rows: pd.DataFrame, task: Task, level: str) -> Scored:
    """Return the units at one of `levels_of` the rows, which are from `scored_rows`."""
    units = at_level(rows, task, level)
    return Scored(
        task=task,
        level=level,
        units=units,
        truth=units["label"].map({name: index for index, name in enumerate(task.classes)}).to_numpy(int),
        probabilities=units[[PROBABILITY + name for name in task.classes]].to_numpy(float),
        fits=units.groupby(FIT).ngroup().to_numpy(),
        samples=rows.loc[rows["sample"] != "", [*FIT, *UNIT["slice"]]],
    )


def resampling(tables: Sequence[Scored], bootstraps: int, rng: np.random.Generator) -> Resampling:
    """Return resamples of the patients of all tables, drawn as for the intervals of `evaluate`."""
    if bootstraps < 1:
        raise EvaluationError(expected="at least 1 bootstrap resample", found=str(bootstraps))
    by_patient = strata(pd.concat([table.units[["patient", "label"]] for table in tables]), tables[0].task)
    stratum = by_patient.to_numpy()
    weights = np.vstack([np.ones(len(stratum)), redrawn(stratum, bootstraps, rng), left_out(stratum)])
    return Resampling(pd.DataFrame(weights, columns=by_patient.index), stratum)


def around(value: float, variance: float, freedom: float) -> tuple[float | None, float | None]:
    """Return value ± t · √variance; both are None where there is no variance."""
    if not SAME**2 < variance < np.inf:
        return None, None
    reach = t.ppf((1 + CONFIDENCE) / 2, freedom) * np.sqrt(variance)
    return float(value - reach), float(value + reach)


def or_none(value: float) -> float | None:
    """Return the value for JSON: None where it is not defined."""
    return float(value) if np.isfinite(value) else None
