"""The paper's tables with our columns beside its own, and what follows from them in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from mpmri_monai.cohort import NOT_DISJOINT, load_manifest
from mpmri_monai.experiments.context import Content, Context
from mpmri_monai.experiments.paired_protocols import PARTS, Pair
from mpmri_monai.experiments.published import DETECTOR, GRADER, RECIPE, SOURCE, TABLES, Model, Row, Table
from mpmri_monai.experiments.question import SHORTER, Question
from mpmri_monai.experiments.repetitions import bundle_config, bundles_by_task
from mpmri_monai.experiments.summary import NOTHING, audited, baseline, mean_and_sd, small_classes, value_at
from mpmri_monai.experiments.tables_comparisons import comparisons
from mpmri_monai.experiments.tables_figures import figures
from mpmri_monai.experiments.tables_weights import without_weights
from mpmri_monai.experiments.texts import with_interval
from mpmri_monai.report.wording import plural

NO_RUN = "no finished run"

HEADER = (
    "model",
    "metric",
    "paper",
    "patients apart, slices",
    "mean ± SD",
    "patients apart, lesions",
    f"replica, slices ({NOT_DISJOINT})",
    f"replica, mean ± SD ({NOT_DISJOINT})",
    f"optimism, slices (replica is {NOT_DISJOINT})",
    "ceiling, lesions",
)
MARKED = [6, 7, 8]
"""Columns that are made from the replica."""


def content(context: Context, cells: Mapping[Model, tuple[str, str]]) -> Content:
    """Return the content of the report.

    Args:
        context: of the experiment; its finished runs are read.
        cells: the names of the patient-disjoint and of the replica's cell of each model that was trained.
    """
    pairs = paired(context, cells)
    done = {model: pair for model, pair in pairs.items() if min(pair.finished)}
    return {
        "title": f"Tables 4-7 of Jia et al. (2019) on {load_manifest(context.manifest).name}, under two protocols",
        "headline": [*headline(done), *floors(context, done)],
        "warnings": warnings(pairs, done),
        "limits": [*limits(done), *small_classes(pair.honest for pair in done.values())],
        "protocol": protocol(context),
        "tables": [
            optimism_table(done),
            parts_table(done),
            *(paper_table(table, done, without_weights(context)) for table in shown_tables(context)),
        ],
        "figures": figures(context, done),
        "comparisons": comparisons(done),
        "audit": [
            *audited(
                context, [run for pair in pairs.values() for run in context.runs(pair.patient)], ", patients apart"
            ),
            *audited(context, [run for pair in pairs.values() for run in context.runs(pair.sample)], ", replica"),
        ],
    }


def paired(context: Context, cells: Mapping[Model, tuple[str, str]]) -> dict[Model, Pair]:
    """Return both protocols of each model."""
    manifest = load_manifest(context.manifest)
    questions = {
        task: Question(bundle, bundle_config(bundle), manifest) for task, bundle in bundles_by_task(context).items()
    }
    return {model: Pair(context, questions[model.task], model, *names) for model, names in cells.items()}


def shown_tables(context: Context) -> list[Table]:
    """Return the tables of the paper that the given bundles can answer."""
    return [table for table in TABLES if table.task in bundles_by_task(context)]


def paper_table(table: Table, pairs: Mapping[Model, Pair], no_weights: str) -> dict[str, Any]:
    """Return one table of the paper with our columns, one row for each model and metric.

    Args:
        table: of the paper.
        pairs: finished models.
        no_weights: why no pretrained model was trained; empty where they were.
    """
    return {
        "key": f"table-{table.number}",
        "title": f"Table {table.number}. {table.title}",
        "caption": f"{table.note} Paper: {SOURCE}, mean over ten repetitions. Ours: value [95 % interval over the "
        "patients], all repetitions pooled; mean ± SD is over the repetitions and no interval. Optimism: replica minus "
        "patients apart, at slices, the patients redrawn for both at once.",
        "header": list(HEADER),
        "rows": [
            [row.name, shown, _published(row, metric), *_cells(row, metric, pairs, no_weights)]
            for row in table.rows
            for metric, shown in table.metrics.items()
            if row.model in pairs or metric in row.values or not row.values
        ],
        "marked_columns": MARKED,
    }


def _published(row: Row, metric: str) -> str:
    if metric not in row.values:
        return NOTHING
    mean, sd = row.values[metric]
    return f"{mean:.3f}" if sd is None else f"{mean:.3f} ± {sd:.3f}"


def _cells(row: Row, metric: str, pairs: Mapping[Model, Pair], no_weights: str) -> list[str]:
    """Return the seven cells that are ours."""
    if row.model not in pairs:
        why = no_weights if row.model.start == "pretrained" else ""
        return [why or NO_RUN, *[NOTHING] * 6]
    pair = pairs[row.model]
    top = (pair.ceiling or {}).get(metric)
    return [
        value_at(pair.honest, "slice", metric),
        mean_and_sd(pair.honest, "slice", metric),
        value_at(pair.honest, "lesion", metric),
        value_at(pair.replica, "slice", metric),
        mean_and_sd(pair.replica, "slice", metric),
        with_interval(pair.optimism["metrics"][metric]["optimism"]),
        NOTHING if top is None else with_interval(top, "mean"),
    ]


def optimism_table(pairs: Mapping[Model, Pair]) -> dict[str, Any]:
    """Return the optimism of every model, in accuracy and macro AUC of slices."""
    rows = []
    for pair in pairs.values():
        for metric, shown in (("accuracy", "accuracy"), ("macro_auc", "macro AUC")):
            sides = [value_at(result, "slice", metric) for result in (pair.honest, pair.replica)]
            cells = [*sides, with_interval(pair.optimism["metrics"][metric]["optimism"])]
            rows.append([pair.model.task, f"{pair.model.fusion}, {pair.model.network}", shown, *cells])
    return {
        "key": "optimism",
        "title": "How much better the published protocol looks than an honest one",
        "caption": "Both protocols train the same network, with the same recipe and seeds, on the same share of the "
        "same cohort, and are scored on slices. Value [95 % interval over the patients, redrawn for both protocols at "
        "once].",
        "header": [
            "task", "model", "metric", "patients apart", f"replica ({NOT_DISJOINT})",
            f"optimism (replica is {NOT_DISJOINT})",
        ],
        "rows": rows,
        "marked_columns": [4, 5],
    }  # fmt: skip


def parts_table(pairs: Mapping[Model, Pair]) -> dict[str, Any]:
    """Return what the optimism in accuracy is made of, one row for each model."""
    rows = []
    for pair in pairs.values():
        parts = pair.parts
        rows.append(
            [
                pair.model.task,
                f"{pair.model.fusion}, {pair.model.network}",
                *(f"{value:+.3f}" for value in parts.values()),
            ]
        )
    return {
        "key": "optimism-parts",
        "title": "What the optimism in accuracy is made of",
        "caption": "Copies: accuracy of the replica with stored copies scored as samples, minus without. Epoch: "
        "accuracy on the replica's test set at the epoch chosen on it, minus at the last one, mean over the "
        "repetitions. The rest is what samples of test patients in training are worth, and chance. Differences taken "
        "in this order, without intervals.",
        "header": ["task", "model", *(f"{name} ({NOT_DISJOINT})" for name in PARTS)],
        "rows": rows,
        "marked_columns": list(range(2, 2 + len(PARTS))),
    }


def headline(pairs: Mapping[Model, Pair]) -> list[str]:
    """Return the answer: the main model of each task, and the range over all of them."""
    sentences = [_main_sentence(pairs[model], row) for model, row in _main_rows() if model in pairs]
    for task in dict.fromkeys(model.task for model in pairs):
        gaps = [pair.optimism["metrics"]["accuracy"]["optimism"]["value"] for pair in pairs.values()
                if pair.model.task == task]  # fmt: skip
        sentences.append(
            f"{task}: over {len(gaps)} models the optimism in accuracy is {np.mean(gaps):.3f} on average, from "
            f"{min(gaps):.3f} to {max(gaps):.3f}."
        )
    return sentences or ["No model has a finished run under both protocols yet."]


def floors(context: Context, pairs: Mapping[Model, Pair]) -> list[str]:
    """Return the baseline of each task on the lesions and divisions of its main model, patients apart."""
    sentences = []
    for model, row in _main_rows():
        if model in pairs:
            floor = baseline(context, context.runs(pairs[model].patient))
            sentences.append(
                f"{model.task}, lesions, patients apart: accuracy "
                f"{value_at(pairs[model].honest, 'lesion', 'accuracy')} ({row.name}); baseline, logistic "
                f"regression on mean signals of all sequences and size: {value_at(floor, 'lesion', 'accuracy')}."
            )
    return sentences


def _main_rows() -> list[tuple[Model, Row]]:
    rows = {row.model: row for table in TABLES for row in table.rows if "accuracy" in row.values}
    return [(model, rows[model]) for model in (GRADER, DETECTOR)]


def _main_sentence(pair: Pair, row: Row) -> str:
    found = pair.optimism["metrics"]["accuracy"]["optimism"]
    return (
        f"{pair.model.task}, {row.name}: accuracy of slices {value_at(pair.honest, 'slice', 'accuracy')} with patients "
        f"apart and {value_at(pair.replica, 'slice', 'accuracy')} in the replica of the published protocol "
        f"({NOT_DISJOINT}): optimism {with_interval(found)}{shown_or_not(found)}. The paper reports "
        f"{_published(row, 'accuracy')} on its own patients."
    )


def shown_or_not(difference: Mapping[str, Any]) -> str:
    """Return the words that keep a difference from being believed whose interval holds zero, or is not there."""
    low, high = difference["low"], difference["high"]
    if low is None or high is None or low <= 0 <= high:
        return ", which is not shown to differ from zero"
    return ""


def warnings(pairs: Mapping[Model, Pair], done: Mapping[Model, Pair]) -> list[str]:
    """Return what a reader must know before the numbers."""
    found = [
        f"Columns of the replica are {NOT_DISJOINT}: samples of one patient train and test, stored copies are scored "
        "as samples, and the test set chose the epoch. They are here to measure what that does."
    ]
    if len(done) < len(pairs):
        found.append(f"{len(pairs) - len(done)} of {len(pairs)} models lack a finished run under one protocol.")
    uneven = [pair for pair in done.values() if len(set(pair.finished)) > 1]
    if uneven:
        found.append(f"{len(uneven)} models have more finished repetitions under one protocol than under the other.")
    return found


def limits(pairs: Mapping[Model, Pair]) -> list[str]:
    """Return what the numbers do not say."""
    said = dict.fromkeys(pair.optimism["limits"] for pair in pairs.values())
    return [
        "The paper's patients are not these: its numbers stand beside ours for orientation, and no difference between "
        "them is tested.",
        *(f"Optimism: {text}." for text in said),
    ]


def protocol(context: Context) -> list[str]:
    """Return both protocols in words."""
    epochs, views = (context.option(name, RECIPE[SHORTER[name]]) for name in ("epochs", "views"))
    repeats = max((len(context.runs(run.cell)) for run in context.runs()), default=0)
    return [
        f"Every model was trained {plural(repeats, 'time')} under each protocol. The k-th repetition has the same seed "
        "of weights and batches in all cells, and the same held-out patients (samples, in the replica) in all cells of "
        "a protocol.",
        "Both protocols: 3:2 division into training and test, stratified by class; no validation set, so that both "
        f"train on the same share; {epochs} epochs of Adam with the paper's learning rate, steps and batch size, "
        f"{views} views and random crops; the same samples, from the same store.",
        "Patients apart: patients are divided, stratified by their worst class; each sample is scored once, as it is; "
        "the last epoch's weights count, and see the test patients once.",
        f"Replica ({NOT_DISJOINT}): samples are divided, stratified by class; the six stored views of each test sample "
        "are scored as six samples; the weights of the epoch with the best accuracy on that test set count.",
        "The pyramid has the levels 1×1 and 2×2 of the paper's text for every network; the authors' code adds 3×3 "
        "when it trains from scratch. The classifier is linear in the embedding, as in their code.",
    ]
