"""What is left when a patient lacks sequences: early fusion beside a network that takes any subset of them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from mpmri_monai.errors import ConfigError
from mpmri_monai.experiments.context import Content, Context
from mpmri_monai.experiments.missing_predictions import predictions_by_subset
from mpmri_monai.experiments.missing_results import missing_content
from mpmri_monai.experiments.plan import Run, Stage
from mpmri_monai.experiments.question import Question, recipe
from mpmri_monai.experiments.repetitions import repetitions
from mpmri_monai.training.loader import check_sequence_dropout

REPEATS = 5
DROPOUT = 0.3
"""Probability that training takes a sequence for absent: of three, it sees all in a third of its visits."""
ARMS = {
    "early fusion": ("early", "spp_resnet", False),
    "early fusion, dropout": ("early-dropout", "spp_resnet", True),
    "any subset": ("subset", "subset", True),
}
"""By name: the cell, the architecture, and whether training drops sequences. The second tells what the training is
worth from what the network is worth."""


class Missing:
    """Trains the same holdouts of a bundle in three ways, then takes sequences away from the test patients."""

    name = "missing"
    help = (
        "performance by which sequences are missing at test time: early fusion, the same with sequence dropout, and "
        "the network for any subset (options: epochs, views, sequence_dropout)"
    )
    options: Sequence[str] = ("epochs", "views", "sequence_dropout")

    def stages(self, context: Context) -> list[Stage]:
        """Return one stage for each way of training; leaving sequences out is part of collecting."""
        question = Question.of(context)
        return [_stage(context, question, arm) for arm in ARMS]

    def collect(self, context: Context) -> Content:
        """Return accuracy and macro AUC of lesions by what is left, of every way of training, side by side."""
        question = Question.of(context)
        tables = {arm: predictions_by_subset(context, cell) for arm, (cell, _, _) in ARMS.items()}
        counts = {arm: len(context.runs(cell)) for arm, (cell, _, _) in ARMS.items()}
        return missing_content(question, tables, counts, _dropout(context), context.seed)


def _stage(context: Context, question: Question, arm: str) -> Stage:
    cell, architecture, drops = ARMS[arm]
    options: dict[str, Any] = {"architecture": architecture, "sequence_dropout": _dropout(context) if drops else 0.0}
    lacking = [name for name in options if name not in question.config]
    if lacking or len(_fusion(question)) < 2:
        raise ConfigError(
            expected="a bundle with architecture and sequence_dropout, and a fusion of at least two sequences",
            found=f"{question.bundle.name} with the fusion {question.fusion}"
            + (f" and no {', '.join(lacking)}" if lacking else ""),
            fix="take bundles/hcc_grade or hcc_detection, or add --fusion",
            code="E_OPTION",
        )
    repeats = REPEATS if context.repeats is None else context.repeats
    options = {**recipe(context, question), **options}
    runs: list[Run] = repetitions(cell, question.bundle, options, repeats, context.seed)
    return Stage(arm, len(runs), runs[0], partial(list, runs))


def _fusion(question: Question) -> list[str]:
    return question.fusion.split("-")


def _dropout(context: Context) -> float:
    share = context.option("sequence_dropout", DROPOUT)
    check_sequence_dropout(share)
    return share
