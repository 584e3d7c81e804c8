"""How large a network: layers × filters × dense nodes on inner folds, and what the choice reaches outside them.

A grid search whose best cell is reported with the score that it was chosen by is too good: see `experiments.nested`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import groupby

from mpmri_monai.experiments.context import Content, Context
from mpmri_monai.experiments.grid_choice import CHOSEN, FIXED, Candidate, Grid
from mpmri_monai.experiments.grid_results import grid_content
from mpmri_monai.experiments.leave_one_out import labelled_patients
from mpmri_monai.experiments.plan import Run, Stage
from mpmri_monai.experiments.question import Question, refuse_seen
from mpmri_monai.report.wording import plural


class GridSearch:
    """Every size on the inner folds of every outer fold; each fold's choice and the bundle's own size outside."""

    name = "grid"
    help = (
        "which layers × filters × dense nodes, chosen on inner folds and scored on outer ones, against the bundle's "
        "own (options: layers=1,2,3; filters, dense=16,32,64; folds, inner_folds, epochs, copies; pretrained=FILE, in "
        "which {layers} and {filters} may stand)"
    )
    options: Sequence[str] = ("layers", "filters", "dense", "folds", "inner_folds", "epochs", "copies", "pretrained")

    def stages(self, context: Context) -> list[Stage]:
        """Return a stage for every number of layers and filters, on which the time depends, and that outside."""
        grid = Grid(context, Question.of(context))
        for weights in grid.weights:
            refuse_seen(weights, labelled_patients(grid.question))
        outer = Stage(
            title="the choices of the outer folds, and the bundle's own size",
            count=2 * len(grid.folds),
            example=grid.outer_run(FIXED, grid.fixed, grid.folds[0]),
            runs=partial(_outer_runs, context),
            adaptive=True,
        )
        by_time = groupby(grid.candidates, key=_takes_time)
        return [*(_inner_stage(grid, list(alike)) for _, alike in by_time), outer]

    def collect(self, context: Context) -> Content:
        """Return the nested result, the choices, and how sure the order of the candidates is."""
        return grid_content(Grid(context, Question.of(context)))


def _takes_time(candidate: Candidate) -> tuple[int, int]:
    return candidate.layers, candidate.filters


def _inner_stage(grid: Grid, alike: Sequence[Candidate]) -> Stage:
    """Return the inner fits of candidates that take about the same time, by that of the largest."""
    runs = [run for fold in grid.folds for candidate in alike for run in grid.inner_runs(candidate, fold)]
    largest = alike[-1]
    return Stage(
        title=f"{plural(largest.layers, 'layer')}, {largest.filters} filters on inner folds",
        count=len(runs),
        example=grid.inner_runs(largest, grid.folds[0])[0],
        runs=partial(list, runs),
    )


def _outer_runs(context: Context) -> list[Run]:
    grid = Grid(context, Question.of(context))
    return [
        *(grid.outer_run(CHOSEN, grid.choice(fold), fold) for fold in grid.folds),
        *(grid.outer_run(FIXED, grid.fixed, fold) for fold in grid.folds),
    ]
