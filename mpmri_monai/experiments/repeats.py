"""The same bundle trained again and again on other divisions of the same patients: mean ± SD, intervals, bands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import pandas as pd

from mpmri_monai.errors import ConfigError
from mpmri_monai.evaluation import calibrate, evaluate, operating_points
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
    mean_over_epochs,
    mean_roc,
    metrics_by_level,
    small_classes,
    value_at,
)
from mpmri_monai.experiments.texts import with_interval
from mpmri_monai.sequences import Task

CELL, INNER = "repetition", "inner folds"
LEVEL = "lesion"


class Repeats:
    """Ten holdouts, by patient, of a bundle's own recipe."""

    name = "repeats"
    help = (
        "ten repetitions of a bundle, 3:2 by patient: mean ± SD, pooled intervals, mean ROC (options: epochs, views; "
        "inner_folds=N calibrates on inner folds, which N more trainings each hold out, instead of validation patients)"
    )
    options: Sequence[str] = ("epochs", "views", "inner_folds")

    def stages(self, context: Context) -> list[Stage]:
        """Return the one stage of all repetitions."""
        question = Question.of(context)
        repeats = REPEATS if context.repeats is None else context.repeats
        runs = repetitions(CELL, question.bundle, recipe(context, question), repeats, context.seed)
        folds = context.option("inner_folds", 0)
        runs = [fit for run in runs for fit in with_inner_fits(run, folds)] if folds else runs
        return [Stage(f"repetitions of {question.fusion}", len(runs), runs[0], partial(list, runs))]

    def collect(self, context: Context) -> Content:
        """Return metrics with intervals and bands over the repetitions, beside baseline and ceiling."""
        question = Question.of(context)
        predictions = context.predictions(CELL)
        result = evaluate(predictions, question.task, seed=context.seed)
        floor = baseline(context, context.runs(CELL))
        tested = predictions[predictions["role"] == "test"]
        top = question.ceilings(question.fusion.split("-"), tested, context.seed)
        return {
            "title": f"Repetitions: {question.title}",
            "headline": _headline(result, floor, top),
            "protocol": [f"{question.sentence} Fusion {question.fusion}.", *holdouts_in_words(context, CELL)],
            "limits": small_classes([result]),
            "tables": [metrics_by_level(result, floor, top), _operating(predictions, question.task, context.seed)],
            "figures": [*_epochs(context), _roc(predictions, question.task)],
            "calibration": calibrate(self._with_inner(context, predictions), question.task, context.seed),
        }

    def _with_inner(self, context: Context, predictions: pd.DataFrame) -> pd.DataFrame:
        """Return the predictions and those of the inner fits, if there are any, which calibration then takes."""
        inner = [context.run_predictions(run) for run in context.runs(INNER)]
        return pd.concat([predictions, *inner], ignore_index=True)


def with_inner_fits(run: Run, folds: int) -> list[Run]:
    """Return the outer fit of a repetition, trained without validation patients, and its ``folds`` inner fits.

    Raises:
        ConfigError: one fold, which would hold out everybody.
    """
    if folds < 2:
        raise ConfigError(expected="inner_folds of at least 2, or 0 for none", found=str(folds), code="E_OPTION")
    nested = {**run.options, "split#val": 0.0, "split#inner_folds": folds}
    inner = [
        replace(run, name=f"{run.name}-inner{fold}", cell=INNER, options={**nested, "split#inner": fold})
        for fold in range(folds)
    ]
    return [replace(run, options={**nested, "split#inner": -1}), *inner]


def _headline(result: Mapping[str, Any], floor: Mapping[str, Any], top: Mapping[str, Any] | None) -> list[str]:
    def both(of: Mapping[str, Any]) -> str:
        return f"accuracy {value_at(of, LEVEL, 'accuracy')}, macro AUC {value_at(of, LEVEL, 'macro_auc')}"

    level = result["levels"][LEVEL]
    sentences = [
        f"On {level['n']} lesions of {level['patients']} patients, each tested when held out: {both(result)}.",
        f"Baseline on the same lesions and divisions, logistic regression on mean signals and size: {both(floor)}.",
    ]
    spread = mean_and_sd(result, LEVEL, "accuracy")
    if spread != NOTHING:
        sentences.insert(1, f"Over the repetitions the accuracy is {spread} (mean ± SD, which is no interval).")
    if top is not None:
        sentences.append(
            f"Ceiling, from the truth of the phantom: accuracy {with_interval(top['accuracy'], 'mean')}, macro AUC "
            f"{with_interval(top['macro_auc'], 'mean')}."
        )
    return sentences


def _operating(predictions: pd.DataFrame, task: Task, seed: int) -> dict[str, Any]:
    found = operating_points(predictions, task, LEVEL, seed=seed)
    rates = dict.fromkeys(point["specificity"] for point in found["points"])
    return {
        "key": "operating-points",
        "title": "Sensitivity of lesions at stated specificities",
        "caption": f"Each class against the rest [95 % interval over the patients]; {found['convention']}.",
        "header": ["class", *(f"at {100 * rate:.0f} % specificity" for rate in rates)],
        "rows": [
            [name, *(with_interval(point) for point in found["points"] if point["class"] == name)]
            for name in dict.fromkeys(point["class"] for point in found["points"])
        ],
    }


def _epochs(context: Context) -> list[dict[str, Any]]:
    """Return the figure of accuracy over the epochs; none where a classical head has no epochs, or runs stopped early
    in different ones, over which there is no mean."""
    runs = context.runs(CELL)
    if not all((context.folder(run) / "history.csv").is_file() for run in runs):
        return []
    histories = [context.history(run) for run in runs]
    if len({len(history) for history in histories}) > 1:
        return []
    shown = {"training": "train_accuracy"}
    if all(history["val_accuracy"].notna().any() for history in histories):
        shown["validation"] = "val_accuracy"
    curves = [mean_over_epochs(context, CELL, column, name) for name, column in shown.items()]
    return [
        {
            "key": "epochs",
            "title": "Accuracy over epochs",
            "caption": "Mean ± SD over the repetitions. Training accuracy is that of augmented samples during the "
            "epoch.",
            "kind": "epochs",
            "data": {"curves": curves},
        }
    ]


def _roc(predictions: pd.DataFrame, task: Task) -> dict[str, Any]:
    classes = task.classes if len(task.classes) > 2 else task.classes[-1:]
    curves = [mean_roc(predictions, task, name, LEVEL, name) for name in classes]
    return {
        "key": "roc",
        "title": "Mean ROC of lesions",
        "caption": "Each class against the rest; mean ± SD over the repetitions, which is no interval.",
        "kind": "roc_band",
        "data": {"curves": curves},
    }
