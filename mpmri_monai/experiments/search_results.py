"""What a finished search says: the nested result, how sure its ranking is, and what it cost."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from mpmri_monai.evaluation import inner_fits, ranking
from mpmri_monai.experiments.context import Content
from mpmri_monai.experiments.nested import LEVEL, METRIC, OuterFold
from mpmri_monai.experiments.ranked import SURE, ranking_rows, wins_bars
from mpmri_monai.experiments.search import CHOSEN, Search, outer_cell
from mpmri_monai.experiments.texts import number, with_interval
from mpmri_monai.sequences import fusion

SEARCHED = "chosen by the search"


def search_content(search: Search) -> Content:
    """Return the content of the report on a search whose outer fits are finished.

    Raises:
        EvaluationError: the search did not come to an end.
    """
    ranked = _ranking(search)
    winners = {fold: search.winner(fold) for fold in search.folds}
    outer = _outer_results(search)
    return {
        "title": f"Search for the best fusion: {search.question.title}",
        "headline": _headline(search, winners, outer, ranked),
        "warnings": _warnings(search, ranked),
        "protocol": _protocol(search),
        "tables": [
            _outer_table(outer),
            _winners_table(search, winners, ranked),
            _ranking_table(search, ranked),
            _budget_table(search),
        ],
        "figures": [_figure(ranked)],
        "comparisons": [comparison for found in outer.values() if (comparison := found["comparison"]) is not None],
    }


def _ranking(search: Search) -> pd.DataFrame:
    """Return the candidates of the first rung as `ranking` does, with ``ceiling`` (NaN where there is no truth).

    Only the first rung trained every fusion, on equal terms and in every outer fold; candidates of which a training
    failed are left out.
    """
    first = search.rungs[0]
    tables = {
        name: inner_fits(pd.concat(folds.values(), ignore_index=True))
        for name in search.fusions
        if len(folds := search.validated.get(search.cell(first, name), {})) == len(search.folds)
        and np.isfinite([search.value(first, name, fold) for fold in search.folds]).all()
    }
    table = ranking(tables, search.question.task, LEVEL, METRIC, role="val", seed=search.context.seed)
    everyone = next(iter(tables.values()))
    ceilings = [search.question.ceilings(fusion(name), everyone, search.context.seed) for name in table["name"]]
    return table.assign(ceiling=[np.nan if found is None else found[METRIC]["mean"] for found in ceilings])


def _outer_results(search: Search) -> dict[str, dict[str, Any]]:
    """Return what `Nested.outer_results` says of the search's choice and of what nobody searched for."""
    cells = {SEARCHED: CHOSEN, **{name: outer_cell(name) for name in search.compared}}
    return search.outer_results({title: search.context.predictions(cell) for title, cell in cells.items()}, SEARCHED)


def _headline(
    search: Search, winners: dict[OuterFold, str], outer: dict[str, dict[str, Any]], ranked: pd.DataFrame
) -> list[str]:
    chosen = outer[SEARCHED]["metrics"]
    counted = ", ".join(f"{name} ({count})" for name, count in Counter(winners.values()).most_common())
    lines = [
        f"{len(search.fusions)} fusions were searched in {len(search.folds)} outer folds; they ended with {counted}.",
        f"Scored on patients that had no part in the choice: macro AUC of lesions {with_interval(chosen[METRIC])}, "
        f"accuracy {with_interval(chosen['accuracy'])}.",
    ]
    for name in search.compared:
        found = outer[name]
        difference = found["comparison"]
        added = (
            f"; the search gained {with_interval(difference['metrics'][METRIC], 'difference')}" if difference else ""
        )
        lines.append(f"{name}, which nobody searched for: {with_interval(found['metrics'][METRIC])}{added}.")
    best = ranked.iloc[0]
    lines.append(
        f"First in the first rung: {best['name']}; if patients were redrawn it would be first again in "
        f"{best['p_win']:.0%} of cases, and lie between ranks {best['rank_low']:.0f} and {best['rank_high']:.0f}."
    )
    if ranked["ceiling"].notna().all() and len(ranked) > 2:
        rho = spearmanr(ranked["value"], ranked["ceiling"]).statistic
        lines.append(f"Rank correlation of the first rung with the phantom's ceilings: {rho:.2f}.")
    return lines


def _warnings(search: Search, ranked: pd.DataFrame) -> list[str]:
    left_out = len(search.fusions) - len(ranked)
    lines = ["Ranks are by inner validation after the first rung's short training; they are no estimate of results."]
    if left_out:
        lines.append(f"{left_out} fusions are not ranked, as a training failed or a fold lacked a class.")
    return lines


def _protocol(search: Search) -> list[str]:
    rungs = "; ".join(f"{rung.candidates} fusions for {rung.epochs} epochs" for rung in search.rungs)
    return [
        f"{search.question.sentence} {len(search.fusions)} candidates.",
        f"{len(search.folds)} outer folds by patient. In each, successive halving saw the other folds' patients alone, "
        f"in {search.inner_folds} inner folds: {rungs}. Fusions were ranked by the macro AUC of lesions, comparing "
        "only lesions that one inner model scored.",
        "The best fusion of the last rung was trained again on all patients outside the outer fold, with the bundle's "
        "own recipe and its last epoch, and scored on the outer fold's patients.",
        "Chance to win: how often a fusion comes first when patients are drawn again with replacement, every fusion "
        "scored on the same draws. Trainings are not repeated, so that the true chance is less certain than shown.",
    ]


def _outer_table(outer: dict[str, dict[str, Any]]) -> dict[str, Any]:
    rows = [
        [
            title,
            with_interval(found["metrics"][METRIC]),
            with_interval(found["metrics"]["accuracy"]),
            with_interval(found["comparison"]["metrics"][METRIC], "difference") if found["comparison"] else "",
        ]
        for title, found in outer.items()
    ]
    return {
        "key": "outer",
        "title": "On patients of the outer folds",
        "caption": "Lesion level [95 % interval over patients]. The first row is the honest result of searching: its "
        "fusion may be another in each fold.",
        "header": ["fusion", "macro AUC", "accuracy", "search minus this, macro AUC"],
        "rows": rows,
    }


def _winners_table(search: Search, winners: dict[OuterFold, str], ranked: pd.DataFrame) -> dict[str, Any]:
    ceilings = ranked.set_index("name")["ceiling"]
    tested = search.context.predictions(CHOSEN)
    last = search.rungs[-1]
    rows = []
    for fold, name in winners.items():
        rows.append(
            [
                f"{fold.repeat + 1}.{fold.number + 1}",
                name,
                number(search.value(last, name, fold)),
                number(search.outer_value(tested, fold)),
                number(ceilings.get(name, np.nan)),
                number(ceilings.max()),
            ]
        )
    return {
        "key": "winners",
        "title": "What each outer fold's search ended with",
        "caption": "Macro AUC of lesions. The inner value belongs to the best of many and is too high for that reason; "
        "the ceiling is what a perfect observer of these sequences reaches on the phantom's lesions.",
        "header": ["repeat.fold", "fusion", "inner, last rung", "outer", "ceiling", "best ceiling of all candidates"],
        "rows": rows,
    }


def _ranking_table(search: Search, ranked: pd.DataFrame) -> dict[str, Any]:
    rows = [
        [*row, str(_reached(search, name)), number(ceiling)]
        for row, name, ceiling in zip(ranking_rows(ranked), ranked["name"], ranked["ceiling"], strict=True)
    ]
    return {
        "key": "ranking",
        "title": "All fusions after the first rung",
        "caption": "Macro AUC of lesions over the inner folds of all outer folds [95 % interval over patients]; last "
        f"column but one: in how many of {len(search.folds)} outer folds the fusion reached the last rung.",
        "header": ["rank", "fusion", "macro AUC", *SURE, "last rung in folds", "ceiling"],
        "rows": rows,
    }


def _reached(search: Search, name: str) -> int:
    last = search.rungs[-1]
    return sum(name in search.ranked(last.number - 1, fold)[: last.candidates] for fold in search.folds)


def _budget_table(search: Search) -> dict[str, Any]:
    inner = len(search.folds) * search.inner_folds
    rows = []
    for rung in search.rungs:
        trainings = rung.candidates * inner
        counts = (rung.number + 1, rung.candidates, rung.epochs, trainings, trainings * rung.epochs)
        rows.append([str(count) for count in counts])
    spent = sum(rung.candidates * rung.epochs for rung in search.rungs) * inner
    full = len(search.fusions) * search.rungs[-1].epochs * inner
    return {
        "key": "budget",
        "title": "What the search cost",
        "caption": f"{spent} epochs of inner trainings; giving every fusion the last rung's epochs would take {full}, "
        f"{full / spent:.1f} times as many.",
        "header": ["rung", "fusions", "epochs each", "trainings", "epochs"],
        "rows": rows,
    }


def _figure(ranked: pd.DataFrame) -> dict[str, Any]:
    bars = wins_bars(ranked)
    return {
        "key": "wins",
        "title": "How sure the ranking is",
        "caption": f"The first {len(bars)} of {len(ranked)} fusions after the first rung: macro AUC of lesions with "
        "interval and ceiling, and how often each would come first if patients were redrawn.",
        "kind": "wins",
        "data": {"bars": bars},
    }
