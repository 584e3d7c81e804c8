"""Ways to show a lesion side by side: scores of lesions and patients, and paired differences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from mpmri_monai.errors import EvaluationError
from mpmri_monai.evaluation import compare_many, evaluate
from mpmri_monai.evaluation.predictions import KEY_COLUMNS
from mpmri_monai.experiments.context import Content, Context
from mpmri_monai.experiments.nested import METRIC, whole_repeats
from mpmri_monai.experiments.question import Question
from mpmri_monai.experiments.start_results import against
from mpmri_monai.experiments.summary import NOTHING, small_classes
from mpmri_monai.experiments.texts import with_interval
from mpmri_monai.report.wording import metric_name
from mpmri_monai.sequences import Task

PLANES, AXIAL = "planes", "axial"
"""Cells that the others are compared with: slices as the first bundle samples them, the axial plane of the grid."""
UNFINISHED = "not all folds finished"

QUESTION = (
    "Does a network that sees a lesion in three planes, in several sizes or in 3D do better than one that sees axial "
    "slices, and is it the third dimension or something else?"
)
SAME_GRID = (
    "Shapes of the grid have the same samples, recipe and augmentation: differences among them are of what is shown, "
    "and of the network that it needs. The 2.5D bundle samples more slices of a lesion and has its own recipe, so that "
    "a difference from it is between two systems."
)

Results = Mapping[str, Mapping[str, Any]]
"""What `evaluate` gives, by title."""


def shapes_content(
    context: Context, question: Question, titles: Mapping[str, str], folds: int, grid: Mapping[str, float]
) -> Content:
    """Return the content of the report.

    Args:
        context: of the experiment.
        question: what all shapes are asked.
        titles: of the shapes, by cell.
        folds: that each repetition has.
        grid: of the samples that are no planes.

    Raises:
        EvaluationError: no shape has all folds finished.
    """
    task = question.task
    tables = _tested(context, titles, folds)
    results = {title: evaluate(table, task, seed=context.seed) for title, table in tables.items()}
    pairs, uneven = _pairs(tables, titles, task, context.seed)
    top = question.ceilings(question.fusion.split("-"), _lesions(tables), context.seed)
    return {
        "title": f"What a network is shown of a lesion: {question.title}",
        "question": [QUESTION],
        "headline": _headline(results, pairs, titles, top),
        "warnings": [*_unfinished(tables, titles), *uneven],
        "limits": [SAME_GRID, *small_classes(results.values())],
        "protocol": _protocol(question, folds, grid),
        "tables": [
            _scores_table(results, titles, task, top),
            *(_differences_table(pairs, titles, reference) for reference in (PLANES, AXIAL) if pairs.get(reference)),
        ],
        "figures": [_figure(results, top)],
        "comparisons": [
            {**one, "name": f"{one['name']} − {titles[reference]}, {one['level']}s"}
            for reference, levels in pairs.items()
            for comparisons in levels.values()
            for one in comparisons
        ],
    }


def as_lesions(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return predictions of lesions, without samples: a lesion has several slices but one crop in 3D.

    Probabilities are means over the samples, which is the rule for lesions in `evaluation.levels`.
    """
    probabilities = [column for column in predictions if column.startswith("p_")]
    present = [column for column in predictions if column.startswith("present_")]
    keys = [column for column in KEY_COLUMNS if column != "sample"]
    lesions = predictions.groupby(keys, sort=True, as_index=False).agg(
        dict.fromkeys(probabilities, "mean") | dict.fromkeys(present, "any")
    )
    return lesions.assign(sample="")


def _tested(context: Context, titles: Mapping[str, str], folds: int) -> dict[str, pd.DataFrame]:
    """Return the test lesions of every shape by title, of the repetitions that tested every patient."""
    found = {}
    for cell, title in titles.items():
        if context.runs(cell):
            predictions = context.predictions(cell)
            whole = whole_repeats(predictions[predictions["role"] == "test"], folds)
            if len(whole):
                found[title] = as_lesions(whole)
    if not found:
        raise EvaluationError(
            expected="a shape of which all folds are finished",
            found="none",
            fix="look at the failed runs, and run the same command again",
            code="E_CELL_EMPTY",
        )
    return found


def _lesions(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    return next(iter(tables.values()))


def _pairs(
    tables: Mapping[str, pd.DataFrame], titles: Mapping[str, str], task: Task, seed: int
) -> tuple[dict[str, dict[str, list[dict[str, Any]]]], list[str]]:
    """Return comparisons by reference and level, and a warning for every shape that has not the same lesions."""
    found: dict[str, dict[str, list[dict[str, Any]]]] = {}
    warnings = []
    levels = ("lesion", "patient") if task.patient_level else ("lesion",)
    for reference in (PLANES, AXIAL):
        title = titles.get(reference)
        if title not in tables:
            continue
        alike = {name: table for name, table in tables.items() if _units(table) == _units(tables[title])}
        if reference == AXIAL:
            alike.pop(titles[PLANES], None)
        warnings += [
            f"{name} has other lesions or folds than {title}, so that they are not compared."
            for name in tables
            if name not in alike and reference == PLANES
        ]
        if len(alike) > 1:
            found[reference] = {
                level: compare_many(alike, title, task, level, seed=seed)["comparisons"] for level in levels
            }
    return found, warnings


def _units(table: pd.DataFrame) -> set[tuple[Any, ...]]:
    return set(table[["repeat", "outer", "patient", "study", "lesion", "label"]].itertuples(index=False, name=None))


def _headline(
    results: Results, pairs: Mapping[str, Any], titles: Mapping[str, str], top: Mapping[str, Any] | None
) -> list[str]:
    values = {title: result["levels"]["lesion"]["metrics"][METRIC] for title, result in results.items()}
    lines = [f"{_capital(title)}: macro AUC of lesions {with_interval(value)}." for title, value in values.items()]
    for reference, levels in pairs.items():
        verdicts = [f"{one['name']} {against(one['metrics'][METRIC])}" for one in levels["lesion"]]
        lines.append(f"Minus {titles[reference]}, macro AUC of the same lesions: {'; '.join(verdicts)}.")
    if top is not None:
        lines.append(f"Ceiling, from the truth of the phantom: macro AUC {with_interval(top[METRIC], 'mean')}.")
    return lines


def _unfinished(tables: Mapping[str, pd.DataFrame], titles: Mapping[str, str]) -> list[str]:
    short = [title for title in titles.values() if title not in tables]
    return [f"Not every fold is finished of: {'; '.join(short)}."] if short else []


def _protocol(question: Question, folds: int, grid: Mapping[str, float]) -> list[str]:
    size = f"{grid['slices']} planes {grid['depth_mm']:g} mm apart of {grid['pixels']} × {grid['pixels']} points"
    return [
        f"{question.sentence} Fusion {question.fusion}. {folds} folds by patient, the same for every shape; no patient "
        "validates, the last epoch counts. Random weights.",
        f"2.5D: slices as {question.bundle.name} samples and trains them; the mean probability over the slices is the "
        f"lesion's. All others see one crop around the lesion, {size} {grid['plane_mm']:g} mm apart, with intensities "
        "as in the slices.",
        SAME_GRID,
    ]


def _shown_metrics(task: Task) -> list[str]:
    return [METRIC, "accuracy", *(["quadratic_kappa"] if task.ordered else [])]


def _scores_table(
    results: Results, titles: Mapping[str, str], task: Task, top: Mapping[str, Any] | None
) -> dict[str, Any]:
    levels = list(next(iter(results.values()))["levels"])
    columns = [(level, metric) for level in levels for metric in _shown_metrics(task)]
    rows = []
    for title in titles.values():
        if title not in results:
            rows.append([title, UNFINISHED, *[NOTHING] * (len(columns) - 1)])
            continue
        found = results[title]["levels"]
        rows.append([title, *(with_interval(found[level]["metrics"][metric]) for level, metric in columns)])
    if top is not None:
        bounds = [(top.get(metric) if level == "lesion" else None) for level, metric in columns]
        rows.append(["ceiling", *(NOTHING if one is None else with_interval(one, "mean") for one in bounds)])
    return {
        "key": "shapes",
        "title": "Every shape on the same folds",
        "caption": "Value [95 % interval over patients]. Ceiling: what the phantom's truth allows.",
        "header": ["shape", *(f"{metric_name(metric)}, {level}s" for level, metric in columns)],
        "rows": rows,
    }


def _differences_table(pairs: Mapping[str, Any], titles: Mapping[str, str], reference: str) -> dict[str, Any]:
    levels = pairs[reference]
    header = [f"{metric_name(metric)}, {level}s" for level in levels for metric in (METRIC, "accuracy")]
    rows = []
    for number, one in enumerate(levels["lesion"]):
        found = [comparisons[number]["metrics"] for comparisons in levels.values()]
        rows.append([one["name"], *(against(metrics[name]) for metrics in found for name in (METRIC, "accuracy"))])
    return {
        "key": f"minus-{reference}",
        "title": f"Each shape minus {titles[reference]}",
        "caption": "Paired difference [95 % interval over patients]; better or worse where the interval leaves out "
        "zero and p, corrected by Holm's method over the shapes, is below 0.05. Trainings are not repeated.",
        "header": ["shape", *header],
        "rows": rows,
    }


def _figure(results: Results, top: Mapping[str, Any] | None) -> dict[str, Any]:
    bars = []
    for title, result in results.items():
        for level, found in result["levels"].items():
            metric = found["metrics"][METRIC]
            ceiling = top[METRIC]["mean"] if top is not None and level == "lesion" else None
            bounds = {key: metric[key] for key in ("value", "low", "high")}
            bars.append({"name": title, "group": f"{level}s", "ceiling": ceiling, **bounds})
    return {
        "key": "shapes",
        "title": "Macro AUC by what the network is shown",
        "caption": "95 % intervals over patients; the tick is the ceiling of lesions.",
        "kind": "bars",
        "data": {"metric": "macro AUC", "bars": bars},
    }


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]
