"""How well each way of training does by which sequences are left, as tables, a figure and sentences."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import Any

import pandas as pd

from mpmri_monai.evaluation import compare, evaluate
from mpmri_monai.evaluation.comparison import add_holm
from mpmri_monai.experiments.context import Content
from mpmri_monai.experiments.missing_predictions import MOST_SUBSETS, Kept, subsets
from mpmri_monai.experiments.question import Question
from mpmri_monai.experiments.start_results import against
from mpmri_monai.experiments.summary import NOTHING
from mpmri_monai.experiments.texts import with_interval
from mpmri_monai.sequences import fusion_name

LEVEL = "lesion"
METRICS = {"macro_auc": "macro AUC", "accuracy": "accuracy"}

Tables = Mapping[str, Mapping[Kept, pd.DataFrame]]
"""Test predictions by way of training and by what is left; the first way is early fusion."""
Results = Mapping[str, Mapping[Kept, Mapping[str, Any]]]
"""Metrics of lesions with intervals, by the same."""


def missing_content(question: Question, tables: Tables, runs: Mapping[str, int], dropout: float, seed: int) -> Content:
    """Return what the experiment found.

    Args:
        question: bundle, task and cohort.
        tables: predictions.
        runs: finished trainings of each way.
        dropout: of sequences, where training drops them.
        seed: of the resampling.
    """
    whole = tuple(question.fusion.split("-"))
    order = subsets(whole)
    results = {arm: {kept: _measured(of_arm[kept], question, seed) for kept in order} for arm, of_arm in tables.items()}
    first = next(iter(tables.values()))
    tops = {kept: question.ceilings(kept, _tested(first[kept]), seed) for kept in order}
    patients = {kept: _tested(first[kept])["patient"].nunique() for kept in order}
    return {
        "title": f"Missing sequences: {question.title}",
        "question": "What is the answer still worth when a patient lacks sequences, and which way of training helps?",
        "headline": _headline(results, whole),
        "warnings": _warnings(patients, whole, runs),
        "protocol": _protocol(question, runs, dropout),
        "tables": [_table(metric, results, tops, patients, whole) for metric in METRICS]
        + _comparisons(tables, question, whole, seed),
        "figures": [_figure(metric, results, tops, whole) for metric in METRICS],
    }


def _measured(table: pd.DataFrame, question: Question, seed: int) -> Mapping[str, Any]:
    return evaluate(table, question.task, seed=seed)["levels"][LEVEL]["metrics"]


def _tested(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["role"] == "test"]


def _in_words(kept: Kept, whole: Kept) -> str:
    """Return ``nothing`` or the sequences that are missing."""
    return ", ".join(name for name in whole if name not in kept) or "nothing"


def _worst_loss(results: Results, arm: str, whole: Kept) -> Kept | None:
    """Return what is left where one missing sequence costs an arm most macro AUC; None where no AUC is defined."""
    values = {kept: found["macro_auc"]["value"] for kept, found in results[arm].items() if len(kept) == len(whole) - 1}
    defined = {kept: value for kept, value in values.items() if value is not None}
    return min(defined, key=defined.__getitem__) if defined else None


def _headline(results: Results, whole: Kept) -> list[str]:
    shown = "; ".join(f"{arm} {with_interval(found[whole]['macro_auc'])}" for arm, found in results.items())
    lines = [f"Macro AUC of lesions where nothing of {fusion_name(whole)} was taken away: {shown}."]
    kept = _worst_loss(results, next(iter(results)), whole)
    if kept is not None:
        shown = "; ".join(f"{arm} {with_interval(found[kept]['macro_auc'])}" for arm, found in results.items())
        lines.append(f"Early fusion suffers most from one missing sequence without {_in_words(kept, whole)}: {shown}.")
    return lines


def _warnings(patients: Mapping[Kept, int], whole: Kept, runs: Mapping[str, int]) -> list[str]:
    fewer = [fusion_name(kept) for kept, count in patients.items() if count < patients[whole]]
    texts = []
    if fewer:
        texts.append(
            f"Some patients were never given all sequences; those with none of what is left are not in the rows of "
            f"{', '.join(fewer)}, which so are about fewer patients."
        )
    if len(set(runs.values())) > 1:
        shown = ", ".join(f"{arm} {count}" for arm, count in runs.items())
        texts.append(f"Not all trainings finished ({shown}): the ways of training are not on equal terms.")
    return texts


def _protocol(question: Question, runs: Mapping[str, int], dropout: float) -> list[str]:
    count = len(question.fusion.split("-"))
    tried = "Every subset is tried" if 2**count - 1 <= MOST_SUBSETS else "One sequence is left out, or all but one"
    return [
        f"{question.sentence} Fusion {question.fusion}.",
        f"{max(runs.values())} holdouts by patient, the same for every way of training, with the same seeds. Sequences "
        f"were taken from the test patients alone. {tried}; what a patient never had stays missing.",
        "Early fusion: sequences as channels of one network, with a learned constant where one is absent. Any subset: "
        "one encoder for each sequence alike, attention over those that are there.",
        f"Dropout: in training each sequence is taken for absent with probability {dropout:g}, never all of a sample.",
        "Intervals redraw patients, each with all lesions and repetitions.",
    ]


def _table(
    metric: str, results: Results, tops: Mapping[Kept, Any], patients: Mapping[Kept, int], whole: Kept
) -> dict[str, Any]:
    rows = []
    for kept in patients:
        bound = (tops[kept] or {}).get(metric)
        rows.append(
            [
                _in_words(kept, whole),
                fusion_name(kept),
                str(patients[kept]),
                *(with_interval(found[kept][metric]) for found in results.values()),
                NOTHING if bound is None else with_interval(bound, "mean"),
            ]
        )
    return {
        "key": f"missing-{metric.replace('_', '-')}",
        "title": f"{METRICS[metric]} of lesions by what is missing",
        "caption": "Value [95 % interval over the patients], all repetitions pooled. Ceiling: what a classifier that "
        "knew the generating model would reach, if every patient had what is left.",
        "header": ["missing", "left", "patients", *results, "ceiling"],
        "rows": rows,
    }


def _comparisons(tables: Tables, question: Question, whole: Kept, seed: int) -> list[dict[str, Any]]:
    """Return the paired differences between ways of training, where all were tested on the same lesions."""
    tested = [_tested(of_arm[whole])[["repeat", "patient"]] for of_arm in tables.values()]
    if len({frozenset(units.itertuples(index=False, name=None)) for units in tested}) > 1:
        return []
    found = [
        (kept, arm, other, _difference(tables[arm][kept], tables[other][kept], question, seed))
        for other, arm in combinations(tables, 2)
        for kept in next(iter(tables.values()))
    ]
    add_holm([comparison for *_, comparison in found])
    rows = [
        [_in_words(kept, whole), arm, other, *(against(comparison["metrics"][metric]) for metric in METRICS)]
        for kept, arm, other, comparison in found
    ]
    return [
        {
            "key": "missing-differences",
            "title": "One way of training against another, on the same lesions",
            "caption": "Paired difference [95 % interval over the patients]. “Better” and “worse” are said where the "
            "interval leaves out zero and the p-value, corrected by Holm's method over all rows, is below 0.05.",
            "header": ["missing", "trained as", "against", *METRICS.values()],
            "rows": rows,
        }
    ]


def _difference(table: pd.DataFrame, other: pd.DataFrame, question: Question, seed: int) -> dict[str, Any]:
    return compare(table, other, question.task, LEVEL, metrics=tuple(METRICS), seed=seed)


def _figure(metric: str, results: Results, tops: Mapping[Kept, Any], whole: Kept) -> dict[str, Any]:
    bars = []
    for arm, of_arm in results.items():
        for kept, found in of_arm.items():
            bound = (tops[kept] or {}).get(metric)
            values = {part: found[metric][part] for part in ("value", "low", "high")}
            ceiling = None if bound is None else bound["mean"]
            name = "all there" if kept == whole else f"without {_in_words(kept, whole)}"
            bars.append({"name": name, **values, "ceiling": ceiling, "group": arm})
    return {
        "key": f"missing-{metric.replace('_', '-')}",
        "title": f"{METRICS[metric]} of lesions by what is missing",
        "caption": "95 % intervals over the patients.",
        "kind": "bars",
        "data": {"metric": METRICS[metric], "bars": bars},
    }
