"""The search for a fusion inside every outer fold: its plan, and what its finished runs say so far."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Any, NamedTuple

import pandas as pd

from mpmri_monai.errors import ConfigError, EvaluationError
from mpmri_monai.evaluation import inner_fits
from mpmri_monai.evaluation.scored import scored
from mpmri_monai.experiments.context import Context
from mpmri_monai.experiments.halving import Rung, best_first, rungs
from mpmri_monai.experiments.plan import Run
from mpmri_monai.experiments.question import Question, recipe
from mpmri_monai.sequences import fusion, fusion_name

SIZES = {"singles": 1, "pairs": 2, "triples": 3}
EVERYTHING = "nine"
FOLDS, INNER_FOLDS = 3, 2
RUNG_EPOCHS = "6,15,30"
SEARCH_VIEWS = 2
"""Views of a sample an epoch while searching: a third of the paper's six, at a third of the cost."""

NO_VALIDATION = 1_000_000
"""Epochs between validations: an inner fit chooses no epoch, so that watching it would only take time."""

LEVEL, METRIC = "lesion", "macro_auc"
"""What fusions are ranked by. Accuracy would mostly count the commonest grade."""

CHOSEN = "chosen"


def candidates(wanted: str, sequences: Sequence[str]) -> list[str]:
    """Return the fusions that ``wanted`` names, canonical, each once, in its order.

    Args:
        wanted: ``triples``, ``pairs``, ``singles``, ``nine`` (all sequences at once), fusions such as ``T2-OUT-S4``, or
            several of these with commas between.
        sequences: those of the cohort.

    Raises:
        ConfigError: a word or sequence is unknown.
    """
    found: dict[str, None] = {}
    for word in wanted.replace(" ", "").split(","):
        if word in SIZES:
            found |= dict.fromkeys(map(fusion_name, combinations(sequences, SIZES[word])))
        else:
            names = tuple(sequences) if word == EVERYTHING else fusion(word, sequences)
            found[fusion_name(sorted(names, key=list(sequences).index))] = None
    return list(found)


class OuterFold(NamedTuple):
    """The patients that one search does not see."""

    repeat: int
    number: int

    def __str__(self) -> str:
        return f"repeat{self.repeat}-fold{self.number}"


@dataclass(frozen=True)
class Search:
    """The plan of one search, and what its finished runs say.

    Attributes:
        context: of the experiment.
        question: the bundle's task on the cohort.
    """

    context: Context
    question: Question

    @cached_property
    def fusions(self) -> list[str]:
        """The candidates."""
        return candidates(self.context.option("candidates", "triples"), self.question.manifest.sequences)

    @cached_property
    def rungs(self) -> list[Rung]:
        """The rounds of the halving."""
        typed = self.context.option("rungs", RUNG_EPOCHS)
        try:
            epochs = [int(part) for part in typed.split(",")]
        except ValueError as error:
            raise ConfigError(
                expected="epochs of the rungs, such as 4,10,30", found=repr(typed), code="E_OPTION"
            ) from error
        return rungs(len(self.fusions), epochs)

    @cached_property
    def folds(self) -> list[OuterFold]:
        """One search each."""
        repeats = 1 if self.context.repeats is None else self.context.repeats
        return [OuterFold(repeat, number) for repeat in range(repeats) for number in range(self.outer_folds)]

    @property
    def outer_folds(self) -> int:
        """Folds that the patients are divided into, in each repetition."""
        return self.context.option("folds", FOLDS)

    @property
    def inner_folds(self) -> int:
        """Folds that each search divides its patients into."""
        return self.context.option("inner_folds", INNER_FOLDS)

    @cached_property
    def compared(self) -> list[str]:
        """Fusions that nobody searched for, scored on the same outer folds: the bundle's own, and all sequences."""
        return list(dict.fromkeys([self.question.fusion, fusion_name(self.question.manifest.sequences)]))

    def cell(self, rung: Rung, name: str) -> str:
        """Name the inner runs of one candidate in one rung."""
        return f"rung{rung.number}-{name}"

    def inner_runs(self, rung: Rung, name: str, fold: OuterFold) -> list[Run]:
        """Return the trainings of one candidate on the inner folds of one outer fold."""
        cell = self.cell(rung, name)
        options = {
            "max_epochs": rung.epochs,
            "views": self.context.option("views", SEARCH_VIEWS),
            "val_interval": NO_VALIDATION,
        }
        return [
            self._run(f"{cell}/{fold}-inner{k}", cell, name, fold, {**options, "split#inner": k})
            for k in range(self.inner_folds)
        ]

    def outer_run(self, cell: str, name: str, fold: OuterFold) -> Run:
        """Return the training of one fusion on all patients outside one outer fold, by the bundle's own recipe."""
        options = {key: value for key, value in recipe(self.context, self.question).items() if key != "views"}
        return self._run(f"{cell}/{fold}", cell, name, fold, {**options, "split#inner": -1})

    def _run(self, run: str, cell: str, name: str, fold: OuterFold, options: dict[str, Any]) -> Run:
        split = {
            "split#folds": self.outer_folds,
            "split#inner_folds": self.inner_folds,
            "split#repeats": 1 + max(repeat for repeat, _ in self.folds),
            "split#repeat": fold.repeat,
            "split#fold": fold.number,
            "split#val": 0.0,
        }
        return Run(run, cell, self.question.bundle, {"fusion": name, "seed": self.context.seed, **split, **options})

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

    def value(self, rung: Rung, name: str, fold: OuterFold) -> float:
        """Return what one candidate reached in one rung of one search; NaN where it could not be scored."""
        return self.values.get(self.cell(rung, name), {}).get(fold, math.nan)

    def ranked(self, number: int, fold: OuterFold) -> list[str]:
        """Return all fusions as the search in one outer fold ranks them after rung ``number``, the best first.

        Those that reached a later rung come before those that did not.
        """
        order = self.fusions
        for rung in self.rungs[: number + 1]:
            going_on = order[: rung.candidates]
            reached = {name: self.value(rung, name, fold) for name in going_on}
            order = best_first(reached) + order[rung.candidates :]
        return order

    def winner(self, fold: OuterFold) -> str:
        """Return the fusion that the search in one outer fold ends with.

        Raises:
            EvaluationError: none could be scored.
        """
        best = self.ranked(len(self.rungs) - 1, fold)[0]
        if math.isnan(self.value(self.rungs[-1], best, fold)):
            raise EvaluationError(
                expected="a fusion whose trainings all ended",
                found="none",
                fix="look at the failed runs",
                code="E_CELL_EMPTY",
            )
        return best


def outer_cell(name: str) -> str:
    """Name the outer fits of a fusion that was not searched for."""
    return f"outer-{name}"
