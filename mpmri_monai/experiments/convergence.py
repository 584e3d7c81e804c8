"""How fast each start learns: the AUC of validation patients over the epochs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from mpmri_monai.errors import EvaluationError
from mpmri_monai.evaluation import evaluate
from mpmri_monai.experiments.context import Content, Context
from mpmri_monai.experiments.plan import Run, Stage
from mpmri_monai.experiments.question import Question
from mpmri_monai.experiments.repetitions import repetitions
from mpmri_monai.experiments.start_results import AUC, names_of, training_accuracy
from mpmri_monai.experiments.starts import (
    OPTIONS,
    SAME_RECIPE,
    Start,
    five_starts,
    scratch,
    training,
    training_in_words,
)
from mpmri_monai.experiments.summary import mean_over_epochs
from mpmri_monai.experiments.texts import with_interval

REPEATS = 5
COLUMN = "val_macro_auc"
TEST, VALIDATION = 0.2, 0.2
"""Shares of the patients in the test set, and of the others in the validation set, as in Tajbakhsh et al. (2016)."""
HOLDOUT = {
    "split#test": TEST,
    "split#val": VALIDATION,
    "val_interval": 1,
    "patience": 0,
    "checkpoint#keep_best": False,
}
"""Every epoch is validated, and none is chosen: what is reported after the last epoch is no best of many."""
REFERENCE = scratch("he")
NEVER = "not within the epochs"


class Convergence:
    """Five starts on the same holdouts by patient, watched over the epochs."""

    name = "convergence"
    help = (
        "validation AUC over the epochs: scratch (Gaussian, Xavier, He) against shallow and deep tuning of pretrained "
        "weights (options: depth of shallow tuning, epochs, views; pretrained=FILE; recipe=layerwise|paper)"
    )
    options: Sequence[str] = ("depth", *OPTIONS)

    def stages(self, context: Context) -> list[Stage]:
        """Return the one stage of all starts, repetition by repetition."""
        question = Question.of(context)
        repeats = REPEATS if context.repeats is None else context.repeats
        starts, common = five_starts(context, question), {**training(context, question), **HOLDOUT}
        cells = [
            repetitions(start.name, question.bundle, {**start.options, **common}, repeats, context.seed)
            for start in starts
        ]
        runs: list[Run] = [run for repetition in zip(*cells, strict=True) for run in repetition]
        return [Stage(f"{len(starts)} starts, validated after every epoch", len(runs), runs[-1], partial(list, runs))]

    def collect(self, context: Context) -> Content:
        """Return the curves with their bands, and how soon each reaches where scratch ends."""
        question = Question.of(context)
        starts = [start for start in five_starts(context, question) if context.runs(start.name)]
        if not starts:
            raise EvaluationError(expected="finished runs", found="none", code="E_CELL_EMPTY")
        curves = {start.name: mean_over_epochs(context, start.name, COLUMN, start.title) for start in starts}
        auc = names_of(question.task)[AUC]
        return {
            "title": f"Convergence: {question.title}",
            "headline": _headline(starts, curves, auc),
            "warnings": _warnings(context, starts),
            "limits": [
                SAME_RECIPE,
                "Validation patients are few, and what is shown is the AUC of single slices: a curve's steps are those "
                "of a few patients. The band is the SD over repetitions, and no interval.",
            ],
            "protocol": _protocol(context, question, starts),
            "tables": [_table(context, question, starts, curves)],
            "figures": [_figure(curves, auc)],
        }


@dataclass(frozen=True)
class Curve:
    """What a mean curve over the epochs says in numbers."""

    epochs: Sequence[int]
    mean: np.ndarray

    @classmethod
    def of(cls, curve: Mapping[str, Any]) -> Curve:
        return cls(curve["epoch"], np.array(curve["mean"], float))

    @property
    def last(self) -> float:
        return float(self.mean[-1])

    def reaches(self, value: float) -> int | None:
        """Return the first epoch from which on the curve never falls below ``value`` again, or None."""
        below = np.flatnonzero(~(self.mean >= value))
        first = below[-1] + 1 if below.size else 0
        return None if first == len(self.mean) else int(self.epochs[first])


def _headline(starts: Sequence[Start], curves: Mapping[str, Any], auc: str) -> list[str]:
    names = {start.name for start in starts}
    if REFERENCE.name not in names:
        return [f"No finished run of {REFERENCE.title}, with which the others are compared."]
    end = Curve.of(curves[REFERENCE.name])
    lines = [f"{REFERENCE.title} ends at a validation {auc} of {end.last:.3f} after {end.epochs[-1]} epochs."]
    for start in starts:
        if start.name != REFERENCE.name:
            curve = Curve.of(curves[start.name])
            reached = curve.reaches(end.last)
            when = "does not stay above that" if reached is None else f"stays above that from epoch {reached} on"
            lines.append(f"{start.title} {when}, and ends at {curve.last:.3f}.")
    return lines


def _warnings(context: Context, starts: Sequence[Start]) -> list[str]:
    counts = {len(context.runs(start.name)) for start in starts}
    return ["Starts have different numbers of finished repetitions."] if len(counts) > 1 else []


def _protocol(context: Context, question: Question, starts: Sequence[Start]) -> list[str]:
    return [
        training_in_words(context, question),
        f"{max(len(context.runs(start.name)) for start in starts)} repetitions, each with another division by patient, "
        f"the same for all starts: {100 * TEST:.0f} % of the patients to test, {100 * VALIDATION:.0f} % of the others "
        "to validate after every epoch. No epoch was chosen.",
    ]


def _table(context: Context, question: Question, starts: Sequence[Start], curves: Mapping[str, Any]) -> dict[str, Any]:
    auc = names_of(question.task)[AUC]
    end = Curve.of(curves[REFERENCE.name]).last if REFERENCE.name in curves else np.inf
    rows = []
    for start in starts:
        curve, predictions = Curve.of(curves[start.name]), context.predictions(start.name)
        of_role = {
            role: evaluate(predictions, question.task, role=role, seed=context.seed)["levels"]
            for role in ("val", "test")
        }
        reached = curve.reaches(end)
        rows.append(
            [
                start.title,
                f"{curve.mean[0]:.3f}",
                f"{curve.mean.mean():.3f}",
                with_interval(of_role["val"]["slice"]["metrics"][AUC]),
                with_interval(of_role["test"]["lesion"]["metrics"][AUC]),
                NEVER if reached is None else str(reached),
                training_accuracy(context, start.name),
            ]
        )
    return {
        "key": "convergence",
        "title": "How fast each start learns",
        "caption": f"{auc} [95 % interval over patients]. The first two are means over the repetitions, of the mean "
        f"curve; the epoch is that from which it stays above where {REFERENCE.title} ends.",
        "header": [
            "start", "validation slices, epoch 1", "mean over the epochs", "validation slices, last epoch",
            "test lesions, last epoch", "epoch", "training accuracy",
        ],
        "rows": rows,
    }  # fmt: skip


def _figure(curves: Mapping[str, Any], auc: str) -> dict[str, Any]:
    return {
        "key": "convergence",
        "title": "Validation AUC over the epochs",
        "caption": "Slices of validation patients; mean ± SD over the repetitions, which is no interval.",
        "kind": "epochs",
        "data": {"curves": list(curves.values()), "y_label": f"validation {auc}"},
    }
