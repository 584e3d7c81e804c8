"""The units of a predictions table as arrays, and their metrics when patients are drawn again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches

import numpy as np
import pandas as pd

from mpmri_monai.errors import EvaluationError
from mpmri_monai.evaluation import metrics
from mpmri_monai.evaluation.bootstrap import CONFIDENCE, SAME, resamples
from mpmri_monai.evaluation.levels import FIT, at_level, levels_of, tested_rows
from mpmri_monai.evaluation.predictions import PROBABILITY, check_predictions
from mpmri_monai.sequences import Task

CHUNK = 4_000_000
"""Elements of the weights that are worked on at once: 32 MB in float64."""

LOWER_IS_BETTER = ("brier", "ece")


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

    @property
    def patients(self) -> np.ndarray:
        """Patient of each unit, shape (unit,)."""
        return self.units["patient"].to_numpy()

    @property
    def each_patient_once(self) -> bool:
        """Whether no patient has two rows: units are then independent."""
        return not self.units["patient"].duplicated().any()

    @property
    def one_fit(self) -> bool:
        """Whether one model scored every unit."""
        return len(np.unique(self.fits)) == 1

    def measured(self, names: Sequence[str], weights: np.ndarray) -> dict[str, np.ndarray]:
        """Return the named metrics, each with shape (resample,), for weights of shape (resample, unit).

        Raises:
            EvaluationError: a metric that the task does not have.
        """
        found = metrics.all_metrics(self.truth, self.probabilities, self.fits, weights, self.task)
        unknown = [name for name in names if name not in found]
        if unknown:
            near = get_close_matches(unknown[0], found, n=1)
            raise EvaluationError(
                expected=f"metrics of task {self.task.name} among {', '.join(found)}",
                found=repr(unknown[0]),
                fix=f"did you mean {near[0]!r}?" if near else None,
            )
        return {name: found[name] for name in names}

    def values(self, names: Sequence[str]) -> dict[str, float]:
        """Return the named metrics of the units as they are; NaN where one is not defined."""
        found = self.measured(names, np.ones((1, len(self.truth))))
        return {name: float(value[0]) for name, value in found.items()}

    def redrawn(self, names: Sequence[str], patients: pd.Index, counts: np.ndarray) -> dict[str, np.ndarray]:
        """Return the named metrics for redrawn patients, each with shape (resample,).

        Args:
            names: of the metrics.
            patients: every patient of the units, and maybe others.
            counts: how often each resample draws each of ``patients``, shape (resample, patient).
        """
        owner = patients.get_indexer(pd.Index(self.patients))
        step = max(1, CHUNK // len(self.truth))
        blocks = [self.measured(names, counts[start : start + step][:, owner]) for start in range(0, len(counts), step)]
        return {name: np.concatenate([block[name] for block in blocks]) for name in names}


def scored(predictions: pd.DataFrame, task: Task, level: str, role: str = "test") -> Scored:
    """Return the labelled units of one role at one level, over all outer fits.

    Raises:
        EvaluationError: the table is not one of this task, or has no such level or role.
        LeakageError: a patient has two roles in one fit.
    """
    rows = tested_rows(check_predictions(predictions, "predictions"), task, role)
    levels = levels_of(rows, task)
    if level not in levels:
        raise EvaluationError(expected=f"a level that the predictions have: {', '.join(levels)}", found=repr(level))
    units = at_level(rows, task, level)
    return Scored(
        task=task,
        level=level,
        units=units,
        truth=units["label"].map({name: index for index, name in enumerate(task.classes)}).to_numpy(int),
        probabilities=units[[PROBABILITY + name for name in task.classes]].to_numpy(float),
        fits=units.groupby(FIT).ngroup().to_numpy(),
    )


def draws(tables: Sequence[Scored], bootstraps: int, rng: np.random.Generator) -> tuple[pd.Index, np.ndarray]:
    """Return the patients of all tables and how often each resample draws each, as `resamples` does."""
    if bootstraps < 1:
        raise EvaluationError(expected="at least 1 bootstrap resample", found=str(bootstraps))
    together = pd.concat([table.units[["patient", "label"]] for table in tables])
    return resamples(together, tables[0].task, bootstraps, rng)


def percentiles(resampled: np.ndarray) -> tuple[float | None, float | None]:
    """Return the percentile interval over the resamples in which the value is defined.

    Both ends are None where there is none, or where all agree: they then say nothing about the spread.
    """
    defined = resampled[np.isfinite(resampled)]
    if defined.size == 0 or np.ptp(defined) < SAME:
        return None, None
    low, high = np.quantile(defined, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def or_none(value: float) -> float | None:
    """Return the value for JSON: None where it is not defined."""
    return float(value) if np.isfinite(value) else None
