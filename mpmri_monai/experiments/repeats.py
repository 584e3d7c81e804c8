"""The same bundle trained again and again on other divisions of the same patients: mean ± SD, intervals, bands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import pandas as pd

from mpmri_monai.evaluation import calibrate, evaluate
from mpmri_monai.experiments.context import Content, Context
from mpmri_monai.experiments.plan import Stage
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
    value_at,
)
from mpmri_monai.experiments.texts import with_interval
from mpmri_monai.sequences import Task

CELL = "repetition"
LEVEL = "lesion"


class Repeats:
    """Ten holdouts, by patient, of a bundle's own recipe."""

    name = "repeats"
    help = "ten repetitions of a bundle, 3:2 by patient: mean ± SD, pooled intervals, mean ROC (options: epochs, views)"
    options: Sequence[str] = ("epochs", "views")

    def stages(self, context: Context) -> list[Stage]:
        """Return the one stage of all repetitions."""
        question = Question.of(context)
        repeats = REPEATS if context.repeats is None else context.repeats
        runs = repetitions(CELL, question.bundle, recipe(context, question), repeats, context.seed)
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
            "tables": [metrics_by_level(result, floor, top)],
            "figures": [_epochs(context), _roc(predictions, question.task)],
            "calibration": calibrate(predictions, question.task, context.seed),
        }


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


def _epochs(context: Context) -> dict[str, Any]:
    shown = {"training": "train_accuracy"}
    if context.history(context.runs(CELL)[0])["val_accuracy"].notna().any():
        shown["validation"] = "val_accuracy"
    curves = [mean_over_epochs(context, CELL, column, name) for name, column in shown.items()]
    return {
        "key": "epochs",
        "title": "Accuracy over epochs",
        "caption": "Mean ± SD over the repetitions. Training accuracy is that of augmented samples during the epoch.",
        "kind": "epochs",
        "data": {"curves": curves},
    }


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
