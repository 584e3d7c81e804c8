"""The choice of a depth inside every outer fold: its plan, and what its finished runs say so far."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from mpmri_monai.errors import ConfigError, EvaluationError
from mpmri_monai.experiments.nested import Nested, OuterFold, best_of, whole_repeats
from mpmri_monai.experiments.plan import Run
from mpmri_monai.experiments.starts import DEEP, Start, pretrained_weights, scratch, training, tuned
from mpmri_monai.training.fine_tuning import read_depths

INIT = "he"
"""Random weights of the start from scratch: the network's own."""


@dataclass(frozen=True)
class Depths(Nested):
    """The plan of the choice of a depth, and what its finished runs say; attributes as `Nested`."""

    @cached_property
    def starts(self) -> list[Start]:
        """The candidates: the depths, of which all layers is the last, then scratch.

        Raises:
            ConfigError: a depth is none, or there are no weights to start from.
        """
        typed = self.context.option("depths", ",".join(map(str, range(DEEP + 1))))
        depths = {*read_depths(typed), DEEP}
        if min(depths) < 0 or max(depths) > DEEP:
            raise ConfigError(expected=f"depths from 0 to {DEEP}, such as 0,2,6", found=repr(typed), code="E_OPTION")
        weights = pretrained_weights(self.context, self.question)
        return [*(tuned(depth, weights) for depth in sorted(depths)), scratch(INIT)]

    @property
    def common(self) -> dict[str, object]:
        """What all candidates share."""
        return training(self.context, self.question)

    def inner_runs(self, start: Start, fold: OuterFold) -> list[Run]:
        """Return the trainings of one candidate on the inner folds of one outer fold."""
        return self.inner_trainings(inner_cell(start), fold, start.options, self.common)

    def outer_run(self, start: Start, fold: OuterFold) -> Run:
        """Return the training of one candidate on all patients outside one outer fold."""
        return self.outer_training(outer_cell(start), fold, start.options, self.common)

    def chosen(self, fold: OuterFold) -> Start:
        """Return the best candidate on the inner folds of one outer fold; of equals the shallowest.

        Raises:
            EvaluationError: none could be scored.
        """
        values = {start.name: self.inner_value(inner_cell(start), fold) for start in self.starts}
        best = best_of(values, "a depth")
        return next(start for start in self.starts if start.name == best)

    @cached_property
    def scored(self) -> dict[str, pd.DataFrame]:
        """Predictions of the outer fits by name of the candidate; of those that have any."""
        cells = {start.name: outer_cell(start) for start in self.starts}
        return {name: self.context.predictions(cell) for name, cell in cells.items() if self.context.runs(cell)}

    @cached_property
    def finished(self) -> dict[str, pd.DataFrame]:
        """Those of `scored` that tested every patient, in the repeats in which they did."""
        whole = {name: whole_repeats(table, self.outer_folds) for name, table in self.scored.items()}
        return {name: table for name, table in whole.items() if len(table)}

    @cached_property
    def predictions_of_choice(self) -> pd.DataFrame:
        """Predictions of the outer fits that were chosen, of the repeats in which all of them are finished.

        Raises:
            EvaluationError: there is no such repeat.
        """
        parts = []
        for fold in self.folds:
            table = self.scored.get(self.chosen(fold).name)
            if table is not None:
                parts.append(table[(table["repeat"] == fold.repeat) & (table["outer"] == fold.number)])
        whole = whole_repeats(pd.concat(parts, ignore_index=True), self.outer_folds) if parts else pd.DataFrame()
        if whole.empty:
            raise EvaluationError(
                expected="a finished training of what was chosen in every outer fold",
                found="none, or not of all folds",
                fix="look at the failed runs, and run the same command again",
                code="E_CELL_EMPTY",
            )
        return whole


def inner_cell(start: Start) -> str:
    """Name the inner fits of a candidate."""
    return f"inner-{start.name}"


def outer_cell(start: Start) -> str:
    """Name the outer fits of a candidate."""
    return f"outer-{start.name}"
