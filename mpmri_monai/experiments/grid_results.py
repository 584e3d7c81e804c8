"""What a finished choice of a size says: what choosing came to outside, what was chosen, and how sure that is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from mpmri_monai.evaluation import inner_fits, ranking
from mpmri_monai.evaluation.scored import or_none
from mpmri_monai.experiments.context import Content
from mpmri_monai.experiments.grid_choice import CHOSEN, FIXED, Candidate, Grid
from mpmri_monai.experiments.nested import LEVEL, METRIC, OuterFold
from mpmri_monai.experiments.ranked import SURE, choices_table, ranking_rows, wins_bars
from mpmri_monai.experiments.start_results import against
from mpmri_monai.experiments.texts import NOT_DEFINED, NOTHING, with_interval
from mpmri_monai.report.wording import metric_name, plural

BY_GRID = "chosen on inner folds"

QUESTION = (
    "How many layers, filters and dense nodes should the network have, and what does choosing them reach on patients "
    "that took no part in the choice?"
)
BEST_OF_MANY = (
    "Which size is best: sizes are compared by short differences on few patients, and the first of the ranking is the "
    "best of many. The honest result is that of the choice, on patients who had no part in it."
)


def grid_content(grid: Grid) -> Content:
    """Return the content of the report.

    Raises:
        EvaluationError: no candidate could be scored on the inner folds of an outer fold, or an outer fit is missing.
    """
    choices = {fold: grid.choice(fold) for fold in grid.folds}
    tested = {BY_GRID: grid.tested(CHOSEN), fixed_title(grid): grid.tested(FIXED)}
    outer = grid.outer_results(tested, BY_GRID)
    ranked = _ranked(grid)
    return {
        "title": f"How large a network: {grid.question.title}",
        "question": [QUESTION],
        "headline": _headline(grid, choices, outer, ranked),
        "warnings": _warnings(grid),
        "limits": [BEST_OF_MANY],
        "protocol": _protocol(grid),
        "tables": [
            _outer_table(grid, outer),
            _choices_table(grid, choices, tested[BY_GRID]),
            _candidates_table(grid, choices, ranked),
        ],
        "figures": [*_curves(grid, ranked), *_wins(ranked)],
        "comparisons": [one["comparison"] for one in outer.values() if one["comparison"] is not None],
    }


def fixed_title(grid: Grid) -> str:
    """Return what the size that nobody searched for is called."""
    return f"the bundle's own ({grid.fixed})"


def _ranked(grid: Grid) -> pd.DataFrame:
    """Return the candidates as `ranking` does, by their inner folds; those of which a training failed are left out."""
    tables = {
        str(candidate): inner_fits(pd.concat(grid.validated[candidate.cell].values(), ignore_index=True))
        for candidate in grid.everywhere
    }
    return ranking(tables, grid.question.task, LEVEL, METRIC, role="val", seed=grid.context.seed)


def _headline(
    grid: Grid, choices: Mapping[OuterFold, Candidate], outer: Mapping[str, Any], ranked: pd.DataFrame
) -> list[str]:
    counted = ", ".join(f"{size} ({n})" for size, n in Counter(map(str, choices.values())).most_common())
    own = outer[BY_GRID]["metrics"]
    inside = np.mean([grid.value(candidate, fold) for fold, candidate in choices.items()])
    lines = [
        f"{plural(len(grid.candidates), 'network size')} tried in {plural(len(choices), 'outer fold')}; chosen on "
        f"inner folds alone: {counted}.",
        f"On patients that had no part in the choice: macro AUC {with_interval(own[METRIC])}, accuracy "
        f"{with_interval(own['accuracy'])}. On the inner folds the same choices had reached a macro AUC of "
        f"{inside:.3f}, which belongs to the best of many.",
    ]
    for title, found in outer.items():
        if found["comparison"] is not None:
            difference = against(found["comparison"]["metrics"][METRIC])
            lines.append(
                f"{title[0].upper()}{title[1:]}: macro AUC {with_interval(found['metrics'][METRIC])}; chosen minus "
                f"this {difference}."
            )
    first = ranked.iloc[0]
    lines.append(
        f"First on the inner folds: {first['name']}; if patients were drawn again it would be first in "
        f"{100 * first['p_win']:.0f} % of cases."
    )
    return lines


def _warnings(grid: Grid) -> list[str]:
    failed = [str(candidate) for candidate in grid.candidates if candidate not in grid.everywhere]
    if not failed:
        return []
    return [f"In some outer folds {'; '.join(failed)} could not be chosen: an inner fit is missing."]


def _protocol(grid: Grid) -> list[str]:
    epochs = grid.common.get("max_epochs", grid.question.config["max_epochs"])
    copies = grid.common.get("copies", grid.question.config.get("copies"))
    augmented = "" if copies is None else f", {copies} augmented copies of every sample an epoch"
    return [
        f"{grid.question.sentence} Fusion {grid.question.fusion}. {plural(epochs, 'epoch')}{augmented}; the last epoch "
        "counts, so that no patient chose one.",
        f"{len(grid.folds)} outer folds by patient. In each, every size was trained on {grid.inner_folds} inner folds "
        "of the other folds' patients; the one with the highest macro AUC there, comparing only cases that one model "
        "scored, is that fold's choice; of equals the smallest.",
        "The choice of each fold, and the bundle's own size, were trained again on all patients outside the fold, and "
        "scored on the fold's patients.",
    ]


def _shown_metrics(grid: Grid) -> list[str]:
    binary = len(grid.question.task.classes) == 2
    return [METRIC, "accuracy", *(("sensitivity", "specificity") if binary else ("balanced_accuracy",))]


def _outer_table(grid: Grid, outer: Mapping[str, Any]) -> dict[str, Any]:
    names = _shown_metrics(grid)
    rows = []
    for title, found in outer.items():
        difference, p = NOTHING, NOTHING
        if found["comparison"] is not None:
            compared = found["comparison"]["metrics"][METRIC]
            difference = against(compared)
            p = NOT_DEFINED if compared["p_holm"] is None else f"{compared['p_holm']:.3f}"
        rows.append([title, *(with_interval(found["metrics"][name]) for name in names), difference, p])
    return {
        "key": "outer",
        "title": "What choosing a size came to",
        "caption": "Cases of the outer folds' patients [95 % interval over patients]. The first row is the honest "
        "result of choosing: the size may be another in each fold.",
        "header": ["size", *map(metric_name, names), "chosen minus this, macro AUC", "p"],
        "rows": rows,
    }


def _choices_table(grid: Grid, choices: Mapping[OuterFold, Candidate], tested: pd.DataFrame) -> dict[str, Any]:
    found = {
        fold: (str(candidate), grid.value(candidate, fold), grid.outer_value(tested, fold))
        for fold, candidate in choices.items()
    }
    return choices_table(found, "size", "Macro AUC")


def _candidates_table(grid: Grid, choices: Mapping[OuterFold, Candidate], ranked: pd.DataFrame) -> dict[str, Any]:
    times = Counter(map(str, choices.values()))
    rows = [[*row, str(times[name])] for row, name in zip(ranking_rows(ranked), ranked["name"], strict=True)]
    return {
        "key": "candidates",
        "title": "All sizes on the inner folds",
        "caption": "Macro AUC over the inner folds of all outer folds [95 % interval over patients], and how often "
        "each would come first if patients were drawn again; trainings are not repeated. Sizes were chosen by "
        "these numbers, so that they are no estimate of what a size reaches on new patients.",
        "header": ["rank", "size", "macro AUC", *SURE, f"chosen in {len(choices)} folds"],
        "rows": rows,
    }


def _curves(grid: Grid, ranked: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the whole grid at a glance: a panel for each number of layers, a curve for each dense layer."""
    values = ranked.set_index("name")
    panels = []
    for layers in sorted({candidate.layers for candidate in grid.everywhere}):
        curves = []
        for dense in sorted({candidate.dense for candidate in grid.everywhere}):
            shown = [one for one in grid.everywhere if (one.layers, one.dense) == (layers, dense)]
            found = values.loc[[str(one) for one in shown]]
            bounds = {part: [or_none(value) for value in found[of]] for part, of in
                      (("mean", "value"), ("low", "low"), ("high", "high"))}  # fmt: skip
            curves.append({"name": f"{dense} dense nodes", "x": [one.filters for one in shown], **bounds})
        panels.append({"title": plural(layers, "layer"), "x_label": "filters", "curves": curves})
    return [
        {
            "key": "grid",
            "title": "The grid on the inner folds",
            "caption": "Macro AUC over the inner folds; bands are 95 % intervals over patients.",
            "kind": "curves",
            "data": {"panels": panels, "y_label": "macro AUC"},
        }
    ]


def _wins(ranked: pd.DataFrame) -> list[dict[str, Any]]:
    bars = wins_bars(ranked)
    return [
        {
            "key": "wins",
            "title": "How sure the order is",
            "caption": f"The first {len(bars)} of {len(ranked)} sizes: macro AUC on the inner folds with interval, and "
            "how often each would come first if patients were drawn again.",
            "kind": "wins",
            "data": {"bars": bars, "metric": "macro AUC"},
        }
    ]
