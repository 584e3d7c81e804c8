"""The search for a fusion inside every outer fold: its plan, and what its finished runs say so far."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

from mpmri_monai.errors import ConfigError, EvaluationError
from mpmri_monai.experiments.halving import Rung, best_first, rungs
from mpmri_monai.experiments.nested import Nested, OuterFold
from mpmri_monai.experiments.plan import Run
from mpmri_monai.experiments.question import recipe
from mpmri_monai.sequences import fusion, fusion_name

SIZES = {"singles": 1, "pairs": 2, "triples": 3}
EVERYTHING = "nine"
RUNG_EPOCHS = "6,15,30"
SEARCH_VIEWS = 2
"""Views of a sample an epoch while searching: a third of the paper's six, at a third of the cost."""

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


@dataclass(frozen=True)
class Search(Nested):
    """The plan of one search, and what its finished runs say; attributes as `Nested`."""

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
    def compared(self) -> list[str]:
        """Fusions that nobody searched for, scored on the same outer folds: the bundle's own, and all sequences."""
        return list(dict.fromkeys([self.question.fusion, fusion_name(self.question.manifest.sequences)]))

    def cell(self, rung: Rung, name: str) -> str:
        """Name the inner runs of one candidate in one rung."""
        return f"rung{rung.number}-{name}"

    def inner_runs(self, rung: Rung, name: str, fold: OuterFold) -> list[Run]:
        """Return the trainings of one candidate on the inner folds of one outer fold."""
        cell = self.cell(rung, name)
        options = {"max_epochs": rung.epochs, "views": self.context.option("views", SEARCH_VIEWS)}
        return self.inner_trainings(cell, fold, {"fusion": name}, options)

    def outer_run(self, cell: str, name: str, fold: OuterFold) -> Run:
        """Return the training of one fusion on all patients outside one outer fold, by the bundle's own recipe."""
        options = {key: value for key, value in recipe(self.context, self.question).items() if key != "views"}
        return self.outer_training(cell, fold, {"fusion": name}, options)

    def value(self, rung: Rung, name: str, fold: OuterFold) -> float:
        """Return what one candidate reached in one rung of one search; NaN where it could not be scored."""
        return self.inner_value(self.cell(rung, name), fold)

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
