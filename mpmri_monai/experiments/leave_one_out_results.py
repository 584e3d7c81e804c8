"""What the repetitions of leaving each patient out say: scores of each, their range, and certainty."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from mpmri_monai.errors import EvaluationError
from mpmri_monai.evaluation import calibrate, evaluate
from mpmri_monai.evaluation.levels import UNIT
from mpmri_monai.evaluation.scored import scored
from mpmri_monai.experiments import mctl_tables_certainty as certainty
from mpmri_monai.experiments.context import Content, Context
from mpmri_monai.experiments.mctl_tables_arms import PUBLISHED_MCTL, PUBLISHED_TASK, TRANSFERRED
from mpmri_monai.experiments.nested import LEVEL
from mpmri_monai.experiments.question import Question, recipe
from mpmri_monai.experiments.summary import epoch_in_words, small_classes
from mpmri_monai.experiments.texts import NOT_DEFINED, NOTHING, number, value_range, with_interval
from mpmri_monai.report.wording import certainty_sentence, metric_name, plural
from mpmri_monai.sequences import Task

TITLE = "patients left out"
"""What the only curve and column of certainty are called."""

QUESTION = (
    "How well does a network that is fixed beforehand do on each patient when all others train it, and how far does "
    "that change when it is trained again?"
)
NO_AUC = (
    "No AUC is given. Each patient was scored by another network, and scores of different networks have no common "
    "scale. The network that leaves out a patient of one class has seen one case less of it and leans the other way, "
    "so that an AUC pooled over all patients is below 0.5 where the images say nothing. Folds of several patients have "
    "an AUC (`mpmri experiment repeats`, `grid`)."
)
FIXED_CHOICE = (
    "Whether another network would do better: this one was fixed beforehand. If it was chosen by looking at these "
    "patients, its score is too high, and a nested search (`mpmri experiment grid`) is the honest number."
)

PUBLISHED = {"accuracy": TRANSFERRED.published, **PUBLISHED_MCTL}
"""Ranges over 15 repetitions, in percent, that were reported of the transferred network on its own 50 patients."""


def leave_one_out_content(context: Context, question: Question, cells: Sequence[str], patients: int) -> Content:
    """Return the content of the report, from the repetitions of which every patient is finished.

    Args:
        context: of the experiment.
        question: of its bundle.
        cells: names of the repetitions' runs, in order.
        patients: of the cohort with a label of the task.

    Raises:
        EvaluationError: no repetition is whole.
    """
    whole = whole_repetitions(context, cells)
    predictions = pd.concat(whole.values(), ignore_index=True)
    names = shown_metrics(question.task)
    result = evaluate(predictions, question.task, seed=context.seed)
    by_repetition = pd.DataFrame(
        {cell: scored(table, question.task, LEVEL).values(names) for cell, table in whole.items()}
    ).T
    calibration = calibrate(predictions, question.task, context.seed)
    return {
        "title": f"Leave one patient out: {question.title}",
        "question": [QUESTION],
        "headline": [
            *_headline(result, by_repetition, names),
            certainty_sentence(calibration["abstention"]),
            _agreement(predictions, question.task),
        ],
        "warnings": _warnings(len(cells), len(whole), patients - result["levels"][LEVEL]["patients"]),
        "limits": [FIXED_CHOICE, certainty.ACROSS_NETWORKS, *small_classes([result])],
        "protocol": _protocol(context, question, len(whole), result["levels"][LEVEL]["patients"]),
        "tables": [
            _metrics_table(result, by_repetition, question.task),
            _repetitions_table(by_repetition),
            *certainty.certainty_table({TITLE: calibration["abstention"]}),
        ],
        "figures": certainty.certainty_figure({TITLE: calibration["abstention"]}),
        "calibration": calibration,
    }


def whole_repetitions(context: Context, cells: Sequence[str]) -> dict[str, pd.DataFrame]:
    """Return the predictions of the repetitions that tested every patient of whom there are samples, by cell.

    They are numbered as repeats. Every run has all these patients, in some role.

    Raises:
        EvaluationError: there is none.
    """
    tables = {
        cell: context.predictions(cell).assign(repeat=number) for number, cell in enumerate(cells) if context.runs(cell)
    }
    whole = {cell: table for cell, table in tables.items() if _tested(table) == set(table["patient"])}
    if not whole:
        raise EvaluationError(
            expected="a repetition in which each patient was tested",
            found="none",
            fix="look at the failed runs, and run the same command again",
            code="E_CELL_EMPTY",
        )
    return whole


def _tested(predictions: pd.DataFrame) -> set[str]:
    return set(predictions.loc[predictions["role"] == "test", "patient"])


def shown_metrics(task: Task) -> list[str]:
    """Return the metrics that need no order of scores over all patients."""
    if len(task.classes) == 2:
        return ["accuracy", "sensitivity", "specificity", "balanced_accuracy"]
    return ["accuracy", "balanced_accuracy", *(f"sensitivity_{name}" for name in task.classes)]


def _headline(result: Mapping[str, Any], by_repetition: pd.DataFrame, names: Sequence[str]) -> list[str]:
    level = result["levels"][LEVEL]
    several = len(by_repetition) > 1
    parts = [
        f"{metric_name(name).lower()} {with_interval(level['metrics'][name])}"
        + (f", {value_range(by_repetition[name])} over the repetitions" if several else "")
        for name in names[:3]
    ]
    return [
        f"{plural(level['n'], 'case')} of {plural(level['patients'], 'patient')}, each tested by a network that the "
        f"other patients trained, {plural(len(by_repetition), 'time')}: {'; '.join(parts)}.",
        "Intervals are over patients; the range is of the same patients, trained again from other seeds.",
    ]


def _warnings(planned: int, whole: int, without_samples: int) -> list[str]:
    warnings = []
    if planned != whole:
        warnings.append(f"{planned - whole} of {planned} repetitions did not test every patient, and are left out.")
    if without_samples:
        warnings.append(
            f"Of {plural(without_samples, 'patient')} with a label there is no sample: as many runs of each repetition "
            "had nobody to test."
        )
    return warnings


def _agreement(predictions: pd.DataFrame, task: Task) -> str:
    units = scored(predictions, task, LEVEL)
    answers = units.units.assign(answer=units.probabilities.argmax(axis=1)).groupby(UNIT[LEVEL])["answer"]
    same = int((answers.nunique() == 1).sum())
    return f"In {same} of {answers.ngroups} cases every repetition gave the same answer."


def _protocol(context: Context, question: Question, repeats: int, patients: int) -> list[str]:
    epochs = recipe(context, question).get("max_epochs", question.config["max_epochs"])
    val = question.config["split"]["val"]
    return [
        f"{question.sentence} Fusion {question.fusion}. {plural(epochs, 'epoch')}; the configuration of "
        f"{question.bundle.name}, fixed beforehand.",
        f"Each of {patients} patients is tested by a network of their own, {plural(repeats, 'time')}, from other seeds "
        "of weights, batches and augmentation. Nothing of the tested patient, and no augmented copy, takes part in it.",
        epoch_in_words(
            context.options.get("keep_best", question.config.get("keep_best", "auto")),
            f"{100 * val:.0f} % of the other patients" if val else "",
        ),
        "A value pools all repetitions; its interval redraws patients, each with all repetitions.",
        NO_AUC,
    ]


def _metrics_table(result: Mapping[str, Any], by_repetition: pd.DataFrame, task: Task) -> dict[str, Any]:
    found = result["levels"][LEVEL]["metrics"]
    beside = task.name == PUBLISHED_TASK
    rows = []
    for name in by_repetition:
        values = by_repetition[name]
        sd = values.std(ddof=1)
        spread = NOTHING if np.isnan(sd) else f"{values.mean():.3f} ± {sd:.3f}"
        published = [PUBLISHED.get(name, NOTHING)] if beside else []
        rows.append([metric_name(name), with_interval(found[name]), spread, value_range(values), *published])
    return {
        "key": "metrics",
        "title": "Scores of patients who were left out",
        "caption": "Value over all repetitions [95 % interval over patients]; mean ± SD and range over the "
        "repetitions, which are no intervals. "
        + ("The published ranges are of other patients, of a cohort that is not at hand. " if beside else "")
        + NO_AUC,
        "header": ["metric", "value", "mean ± SD", "range", *(["published range, %"] if beside else [])],
        "rows": rows,
    }


def _repetitions_table(by_repetition: pd.DataFrame) -> dict[str, Any]:
    return {
        "key": "repetitions",
        "title": "Every repetition",
        "caption": "The same patients, trained again from another seed.",
        "header": ["repetition", *map(metric_name, by_repetition)],
        "rows": [
            [cell.removeprefix("repeat"), *(number(value, NOT_DEFINED) for value in values)]
            for cell, *values in by_repetition.itertuples()
        ],
    }
