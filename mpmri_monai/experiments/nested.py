"""Choices that are themselves validated: outer folds that a choice does not see, and inner ones that it is made on.

The best of many is partly the luckiest of them, so that what it reached while it was chosen is too high (Varma and
Simon 2006). What is chosen in an outer fold, on inner folds of the other patients, is scored on that fold's patients.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, NamedTuple

import pandas as pd

from mpmri_monai.errors import EvaluationError
from mpmri_monai.evaluation import compare, evaluate, inner_fits
from mpmri_monai.evaluation.comparison import add_holm
from mpmri_monai.evaluation.scored import scored
from mpmri_monai.experiments.context import Context
from mpmri_monai.experiments.halving import best_first
from mpmri_monai.experiments.plan import Run
from mpmri_monai.experiments.question import Question, positive_option

FOLDS, INNER_FOLDS = 3, 2

NO_VALIDATION = 1_000_000
"""Epochs between validations: an inner fit chooses no epoch, so that watching it would only take time."""

LEVEL, METRIC = "lesion", "macro_auc"
"""What candidates are ranked by. Accuracy would mostly count the commonest class."""


def best_of(values: Mapping[str, float], what: str) -> str:
    """Return the name of the highest value; of equals the first.

    Args:
        values: by candidate; NaN where it could not be scored.
        what: a candidate is, in words.

    Raises:
        EvaluationError: none could be scored.
    """
    best = best_first(values)[0]
    if math.isnan(values[best]):
        raise EvaluationError(
            expected=f"{what} whose inner trainings all ended",
            found="none",
            fix="look at the failed runs",
            code="E_CELL_EMPTY",
        )
    return best


class OuterFold(NamedTuple):
    """The patients that one choice does not see."""

    repeat: int
    number: int

    def __str__(self) -> str:
        return f"repeat{self.repeat}-fold{self.number}"


@dataclass(frozen=True)
class Nested:
    """Trainings on inner and outer folds, and what the finished ones say.

    Attributes:
        context: of the experiment.
        question: the bundle's task on the cohort.
        division: outer and inner folds where the options give none.
    """

    context: Context
    question: Question
    division: ClassVar[tuple[int, int]] = FOLDS, INNER_FOLDS

    @cached_property
    def folds(self) -> list[OuterFold]:
        """One choice each."""
        repeats = 1 if self.context.repeats is None else self.context.repeats
        return [OuterFold(repeat, number) for repeat in range(repeats) for number in range(self.outer_folds)]

    @property
    def outer_folds(self) -> int:
        """Folds that the patients are divided into, in each repetition."""
        return positive_option(self.context, "folds", self.division[0], least=2)

    @property
    def inner_folds(self) -> int:
        """Folds that each choice divides its patients into."""
        return positive_option(self.context, "inner_folds", self.division[1], least=2)

    def inner_trainings(
        self, cell: str, fold: OuterFold, candidate: Mapping[str, Any], options: Mapping[str, Any]
    ) -> list[Run]:
        """Return the trainings of one candidate on the inner folds of one outer fold.

        Args:
            cell: names the candidate, and how long it is trained.
            fold: the outer fold.
            candidate: overrides of the training configuration that make the candidate.
            options: those that all candidates share.
        """
        unwatched = {**options, "val_interval": NO_VALIDATION}
        return [
            self._run(f"{cell}/{fold}-inner{k}", cell, fold, candidate, {**unwatched, "split#inner": k})
            for k in range(self.inner_folds)
        ]

    def outer_training(
        self, cell: str, fold: OuterFold, candidate: Mapping[str, Any], options: Mapping[str, Any]
    ) -> Run:
        """Return the training of one candidate on all patients outside one outer fold; as `inner_trainings`."""
        return self._run(f"{cell}/{fold}", cell, fold, candidate, {**options, "split#inner": -1})

    def _run(
        self, name: str, cell: str, fold: OuterFold, candidate: Mapping[str, Any], options: Mapping[str, Any]
    ) -> Run:
        split = {
            "split#folds": self.outer_folds,
            "split#inner_folds": self.inner_folds,
            "split#repeats": 1 + max(repeat for repeat, _ in self.folds),
            "split#repeat": fold.repeat,
            "split#fold": fold.number,
            "split#val": 0.0,
        }
        return Run(name, cell, self.question.bundle, {**candidate, "seed": self.context.seed, **split, **options})

    @cached_property
    def validated(self) -> dict[str, dict[OuterFold, pd.DataFrame]]:
        """Inner validation predictions by cell and outer fold; only of folds of which every inner run is finished."""
        parts: dict[str, dict[OuterFold, list[pd.DataFrame]]] = {}
        for run in self.context.runs():
            if run.options["split#inner"] >= 0:
                fold = OuterFold(run.options["split#repeat"], run.options["split#fold"])
                rows = self.context.run_predictions(run)
                parts.setdefault(run.cell, {}).setdefault(fold, []).append(rows[rows["role"] == "val"])
        return {
            cell: {
                fold: pd.concat(tables, ignore_index=True)
                for fold, tables in folds.items()
                if len(tables) == self.inner_folds
            }
            for cell, folds in parts.items()
        }

    @cached_property
    def values(self) -> dict[str, dict[OuterFold, float]]:
        """Macro AUC of lesions over the inner folds, by cell and outer fold; NaN where a class was missing."""
        return {
            cell: {
                fold: scored(inner_fits(table), self.question.task, LEVEL, "val").values([METRIC])[METRIC]
                for fold, table in folds.items()
            }
            for cell, folds in self.validated.items()
        }

    def inner_value(self, cell: str, fold: OuterFold) -> float:
        """Return what the candidate of a cell reached on the inner folds; NaN where it could not be scored."""
        return self.values.get(cell, {}).get(fold, math.nan)

    def outer_value(self, predictions: pd.DataFrame, fold: OuterFold) -> float:
        """Return the macro AUC of lesions on the patients of one outer fold; NaN where there are none."""
        own = predictions[(predictions["repeat"] == fold.repeat) & (predictions["outer"] == fold.number)]
        return scored(own, self.question.task, LEVEL).values([METRIC])[METRIC] if len(own) else math.nan

    def outer_results(self, tables: Mapping[str, pd.DataFrame], chosen: str) -> dict[str, dict[str, Any]]:
        """Return metrics with intervals on the outer folds, and the paired difference of what was chosen from the rest.

        Args:
            tables: predictions of the outer fits by what they are called, those of the choice among them.
            chosen: what these are called.

        Returns:
            ``{name: {"metrics", "comparison"}}``, metrics of lesions as in `evaluate`; the comparison is ``chosen``
            minus this one, corrected by Holm's method, and None for ``chosen`` and where a training failed.
        """
        task, seed = self.question.task, self.context.seed
        tested = {name: table[table["role"] == "test"] for name, table in tables.items()}
        results: dict[str, dict[str, Any]] = {}
        for name, table in tested.items():
            comparison = None
            if name != chosen and _fits(table) == _fits(tested[chosen]):  # others where a training failed
                comparison = {"name": f"{chosen} − {name}", **compare(tested[chosen], table, task, LEVEL)}
            metrics = evaluate(table, task, seed=seed)["levels"][LEVEL]["metrics"]
            results[name] = {"metrics": metrics, "comparison": comparison}
        add_holm([found["comparison"] for found in results.values() if found["comparison"] is not None])
        return results


def whole_repeats(predictions: pd.DataFrame, folds: int) -> pd.DataFrame:
    """Return the rows of the repeats of which all ``folds`` are there: in others not every patient was tested."""
    there = predictions.groupby("repeat")["outer"].nunique()
    return predictions[predictions["repeat"].isin(there.index[there == folds])]


def _fits(predictions: pd.DataFrame) -> set[tuple[int, int]]:
    """Return the repeat and outer fold of every row, each pair once."""
    return set(zip(predictions["repeat"], predictions["outer"], strict=True))
