"""Each sequence of a cohort alone: what it tells by itself, beside what the phantom's truth allows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import pandas as pd

from mpmri_monai.errors import EvaluationError
from mpmri_monai.evaluation import evaluate, ranking
from mpmri_monai.experiments.context import Content, Context
from mpmri_monai.experiments.plan import Run, Stage
from mpmri_monai.experiments.published import REPEATS
from mpmri_monai.experiments.question import Question, recipe
from mpmri_monai.experiments.repetitions import repetitions
from mpmri_monai.experiments.summary import (
    NOTHING,
    baseline,
    holdouts_in_words,
    mean_and_sd,
    small_classes,
    value_at,
)
from mpmri_monai.experiments.texts import with_interval

LEVEL = "lesion"
METRICS = {"accuracy": "accuracy", "balanced_accuracy": "balanced accuracy", "macro_auc": "macro AUC"}


class Single:
    """Ten holdouts, by patient, of a bundle's own recipe with one channel, for every sequence of the cohort."""

    name = "single"
    help = "each sequence of the cohort alone: accuracy and AUC with intervals and ceilings (options: epochs, views)"
    options: Sequence[str] = ("epochs", "views")

    def stages(self, context: Context) -> list[Stage]:
        """Return the one stage of all sequences, repetition by repetition."""
        question = Question.of(context)
        repeats = REPEATS if context.repeats is None else context.repeats
        cells = [
            repetitions(name, question.bundle, {**recipe(context, question), "fusion": name}, repeats, context.seed)
            for name in question.manifest.sequences
        ]
        runs: list[Run] = [run for repetition in zip(*cells, strict=True) for run in repetition]
        return [Stage(f"{len(cells)} sequences alone", len(runs), runs[0], partial(list, runs))]

    def collect(self, context: Context) -> Content:
        """Return the sequences side by side, ranked, with how sure the ranking is."""
        question = Question.of(context)
        names = [name for name in question.manifest.sequences if context.runs(name)]
        if not names:
            raise EvaluationError(expected="finished runs", found="none", code="E_CELL_EMPTY")
        tables = {name: context.predictions(name) for name in names}
        results = {name: evaluate(table, question.task, seed=context.seed) for name, table in tables.items()}
        tops = {name: question.ceilings([name], _tested(table), context.seed) for name, table in tables.items()}
        floor = baseline(context, context.runs(names[0]))
        return {
            "title": f"Single sequences: {question.title}",
            "headline": _headline(results, floor),
            "warnings": _warnings(question, names),
            "protocol": [f"{question.sentence} One channel at a time.", *holdouts_in_words(context, names[0])],
            "limits": small_classes(results.values()),
            "tables": [_table(results, tops, floor), *_ranked(context, question, tables)],
            "figures": [_bars(results, tops, metric) for metric in ("accuracy", "macro_auc")],
        }


def _tested(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["role"] == "test"]


def _best(results: Mapping[str, Any], metric: str) -> str:
    values = {name: result["levels"][LEVEL]["metrics"][metric]["value"] for name, result in results.items()}
    return max(values, key=lambda name: -1.0 if values[name] is None else values[name])


def _headline(results: Mapping[str, Any], floor: Mapping[str, Any]) -> list[str]:
    best = _best(results, "macro_auc")
    found = results[best]
    return [
        f"The highest macro AUC of lesions from one sequence is that of {best}: {value_at(found, LEVEL, 'macro_auc')}, "
        f"accuracy {value_at(found, LEVEL, 'accuracy')}. It is the best of {len(results)}, and partly so by luck.",
        "Baseline from the mean signals of all sequences and the size: macro AUC "
        f"{value_at(floor, LEVEL, 'macro_auc')}, accuracy {value_at(floor, LEVEL, 'accuracy')}.",
    ]


def _warnings(question: Question, names: Sequence[str]) -> list[str]:
    missing = [name for name in question.manifest.sequences if name not in names]
    return [f"No finished run of {', '.join(missing)}."] if missing else []


def _table(results: Mapping[str, Any], tops: Mapping[str, Any], floor: Mapping[str, Any]) -> dict[str, Any]:
    rows = []
    for name, result in results.items():
        for metric, shown in METRICS.items():
            bound = (tops[name] or {}).get(metric)
            rows.append(
                [
                    name,
                    shown,
                    value_at(result, "slice", metric),
                    value_at(result, LEVEL, metric),
                    mean_and_sd(result, LEVEL, metric),
                    NOTHING if bound is None else with_interval(bound, "mean"),
                ]
            )
    rows += [["baseline", shown, NOTHING, value_at(floor, LEVEL, metric), mean_and_sd(floor, LEVEL, metric), NOTHING]
             for metric, shown in METRICS.items()]  # fmt: skip
    return {
        "key": "single",
        "title": "Each sequence alone",
        "caption": "Value [95 % interval over the patients], all repetitions pooled. Mean ± SD is over the "
        "repetitions: no interval. Ceiling: what a classifier that knew the generating model would reach from this "
        "sequence.",
        "header": ["sequence", "metric", "slices", "lesions", "lesions, mean ± SD", "ceiling, lesions"],
        "rows": rows,
    }


def _ranked(context: Context, question: Question, tables: Mapping[str, pd.DataFrame]) -> list[dict[str, Any]]:
    """Return the ranking by macro AUC, where every sequence was tested on the same patients in each repetition."""
    tested = [_tested(table)[["repeat", "patient"]].itertuples(index=False, name=None) for table in tables.values()]
    if len(tables) < 2 or len(set(map(frozenset, tested))) > 1:
        return []
    found = ranking(tables, question.task, LEVEL, "macro_auc", seed=context.seed)
    rows = [[_cell(cell) for cell in row] for row in found.itertuples(index=False)]
    return [
        {
            "key": "ranking",
            "title": "How sure the ranking is",
            "caption": "Macro AUC of lesions; how often each sequence would come first if patients were redrawn.",
            "header": [str(name).replace("_", " ") for name in found.columns],
            "rows": rows,
        }
    ]


def _cell(value: str | float) -> str:
    if isinstance(value, str):
        return value
    return NOTHING if pd.isna(value) else f"{value:.3g}"


def _bars(results: Mapping[str, Any], tops: Mapping[str, Any], metric: str) -> dict[str, Any]:
    bars = []
    for name, result in results.items():
        found = result["levels"][LEVEL]["metrics"][metric]
        bound = (tops[name] or {}).get(metric)
        bounds = {key: found[key] for key in ("value", "low", "high")}
        bars.append({"name": name, **bounds, "ceiling": None if bound is None else bound["mean"], "group": "lesions"})
    return {
        "key": f"single-{metric}",
        "title": f"{METRICS[metric]} of lesions from one sequence",
        "caption": "95 % intervals over the patients.",
        "kind": "bars",
        "data": {"metric": METRICS[metric], "bars": bars},
    }
