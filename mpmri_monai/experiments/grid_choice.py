"""The choice of a network's size inside every outer fold: its plan, and what its finished runs say so far."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from mpmri_monai.errors import ConfigError, EvaluationError
from mpmri_monai.experiments.context import Context
from mpmri_monai.experiments.nested import Nested, OuterFold, best_of, whole_repeats
from mpmri_monai.experiments.plan import Run
from mpmri_monai.experiments.question import recipe, weights_option
from mpmri_monai.report.wording import plural

MOST_LAYERS = 3
"""Convolution layers of the largest MCTL network."""
VALUES = {"layers": "1,2,3", "filters": "16,32,64", "dense": "16,32,64"}
"""What is searched when nothing else is asked for: the grid of the method."""
CHOSEN, FIXED = "chosen", "fixed"
"""Cells of the outer fits: of each fold's choice, and of the bundle's own size in every fold."""


class Candidate(NamedTuple):
    """The size of one network."""

    layers: int
    filters: int
    dense: int

    @property
    def cell(self) -> str:
        """Names the inner fits of the candidate."""
        return f"layers{self.layers}-filters{self.filters}-dense{self.dense}"

    def __str__(self) -> str:
        return f"{plural(self.layers, 'layer')}, {self.filters} filters, {self.dense} dense"


@dataclass(frozen=True)
class Grid(Nested):
    """The plan of the choice among network sizes, and what its finished runs say; attributes as `Nested`."""

    division = 5, 3

    @cached_property
    def candidates(self) -> list[Candidate]:
        """Every combination, the smallest network first.

        Raises:
            ConfigError: a number that is none, or more layers than there can be.
        """
        layers, filters, dense = (_numbers(self.context, name) for name in VALUES)
        if layers[-1] > MOST_LAYERS:
            raise ConfigError(
                expected=f"1 to {MOST_LAYERS} layers for --option layers", found=str(layers[-1]), code="E_OPTION"
            )
        return [Candidate(*sizes) for sizes in product(layers, filters, dense)]

    @cached_property
    def fixed(self) -> Candidate:
        """The size that the bundle has by itself.

        Raises:
            ConfigError: the bundle's network has no such sizes.
        """
        config = self.question.config
        lacking = [name for name in VALUES if name not in config]
        if lacking:
            raise ConfigError(
                expected="a bundle whose network has layers, filters and dense nodes, such as mctl_brain",
                found=f"no {', '.join(lacking)} in the configuration of {self.question.bundle.name}",
                code="E_OPTION",
            )
        return Candidate(*(config[name] for name in VALUES))

    @property
    def weights(self) -> set[str]:
        """What the bundle's own size and the candidates start from."""
        return {self._options(candidate)["pretrained"] for candidate in (self.fixed, *self.candidates)}

    @cached_property
    def common(self) -> dict[str, Any]:
        """What all candidates share."""
        return recipe(self.context, self.question)

    def inner_runs(self, candidate: Candidate, fold: OuterFold) -> list[Run]:
        """Return the trainings of one candidate on the inner folds of one outer fold."""
        return self.inner_trainings(candidate.cell, fold, self._options(candidate), self.common)

    def outer_run(self, cell: str, candidate: Candidate, fold: OuterFold) -> Run:
        """Return the training of one candidate on all patients outside one outer fold, as one of ``cell``."""
        return self.outer_training(cell, fold, self._options(candidate), self.common)

    def _options(self, candidate: Candidate) -> dict[str, Any]:
        sizes = candidate._asdict()
        return {**sizes, "pretrained": weights_option(self.context, **sizes)}

    def value(self, candidate: Candidate, fold: OuterFold) -> float:
        """Return the macro AUC that a candidate reached on the inner folds; NaN where it could not be scored."""
        return self.inner_value(candidate.cell, fold)

    def choice(self, fold: OuterFold) -> Candidate:
        """Return the best candidate on the inner folds of one outer fold; of equals the smallest.

        Raises:
            EvaluationError: none could be scored.
        """
        values = {candidate.cell: self.value(candidate, fold) for candidate in self.candidates}
        best = best_of(values, "a network")
        return next(candidate for candidate in self.candidates if candidate.cell == best)

    @cached_property
    def everywhere(self) -> list[Candidate]:
        """The candidates that could be scored on the inner folds of every outer fold."""
        return [
            candidate
            for candidate in self.candidates
            if np.isfinite([self.value(candidate, fold) for fold in self.folds]).all()
        ]

    def tested(self, cell: str) -> pd.DataFrame:
        """Return the predictions of the outer fits of a cell, of the repeats that tested every patient.

        Raises:
            EvaluationError: there is no such repeat.
        """
        whole = whole_repeats(self.context.predictions(cell), self.outer_folds)
        if whole.empty:
            raise EvaluationError(
                expected=f"a finished training of every outer fold ({cell})",
                found="not of all folds",
                fix="look at the failed runs, and run the same command again",
                code="E_CELL_EMPTY",
            )
        return whole


def _numbers(context: Context, name: str) -> list[int]:
    """Return the numbers of an option, ascending, each once."""
    typed = context.option(name, VALUES[name])
    try:
        numbers = sorted({int(part) for part in typed.split(",")})
    except ValueError:
        numbers = [0]
    if numbers[0] < 1:
        raise ConfigError(
            expected=f"numbers from 1 on for --option {name}, such as {VALUES[name]}",
            found=repr(typed),
            code="E_OPTION",
        )
    return numbers
