"""Which sequences to fuse: a search that is itself validated, since the best of many is always partly luck.

Nested validation (Varma and Simon 2006): in every outer fold the search sees the patients of the other folds alone. It
trains on part of their inner folds, ranks the fusions on the rest, and the one it ends with is trained again on all of
them and scored on the outer fold's patients, which had no part in choosing it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from mpmri_monai.experiments.context import Content, Context
from mpmri_monai.experiments.halving import Rung
from mpmri_monai.experiments.plan import Run, Stage
from mpmri_monai.experiments.question import Question
from mpmri_monai.experiments.search import CHOSEN, Search, outer_cell
from mpmri_monai.experiments.search_results import search_content


class FusionSearch:
    """Successive halving over fusions inside every outer fold; each fold's winner is scored outside."""

    name = "fusion-search"
    help = (
        "which fusion is best, chosen on inner folds and scored on outer ones (options: candidates=triples|pairs|"
        "singles|nine|T2-OUT-S4,…; rungs=6,15,30; folds, inner_folds, views of the search; epochs of the last training)"
    )
    options = ("candidates", "rungs", "folds", "inner_folds", "views", "epochs")

    def stages(self, context: Context) -> Sequence[Stage]:
        """Return one stage a rung, and that of the outer fits."""
        search = Search(context, Question.of(context))
        inner = [
            Stage(
                title=f"rung {rung.number + 1}: {rung.candidates} fusions, {rung.epochs} epochs",
                count=rung.candidates * len(search.folds) * search.inner_folds,
                example=search.inner_runs(rung, search.fusions[0], search.folds[0])[0],
                runs=partial(_rung_runs, context, rung),
                adaptive=rung.number > 0,
            )
            for rung in search.rungs
        ]
        outer = Stage(
            title="the winners of the outer folds, and fusions that were not searched for",
            count=len(search.folds) * (1 + len(search.compared)),
            example=search.outer_run(CHOSEN, search.fusions[0], search.folds[0]),
            runs=partial(_outer_runs, context),
            adaptive=True,
        )
        return [*inner, outer]

    def collect(self, context: Context) -> Content:
        """Return the nested result, the ranking with its uncertainty, and what the search cost."""
        return search_content(Search(context, Question.of(context)))


def _rung_runs(context: Context, rung: Rung) -> list[Run]:
    search = Search(context, Question.of(context))
    runs = []
    for fold in search.folds:
        going_on = search.ranked(rung.number - 1, fold)[: rung.candidates]
        runs += [run for name in going_on for run in search.inner_runs(rung, name, fold)]
    return runs


def _outer_runs(context: Context) -> list[Run]:
    search = Search(context, Question.of(context))
    runs = [search.outer_run(CHOSEN, search.winner(fold), fold) for fold in search.folds]
    return runs + [search.outer_run(outer_cell(name), name, fold) for name in search.compared for fold in search.folds]
