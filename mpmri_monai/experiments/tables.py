"""The paper's tables 4 to 7 and its figures on a given cohort, under two protocols that differ in nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from mpmri_monai.errors import ConfigError
from mpmri_monai.experiments.context import Content, Context
from mpmri_monai.experiments.plan import Run, Stage
from mpmri_monai.experiments.published import LEARNING_RATE, RECIPE, REPEATS, Model, models
from mpmri_monai.experiments.question import positive_option
from mpmri_monai.experiments.repetitions import bundles_by_task, repetitions
from mpmri_monai.experiments.tables_content import content
from mpmri_monai.experiments.tables_weights import pretrained_file, without_weights

HOLDOUT = {
    "split#file": "",
    "split#folds": 0,
    "split#leave_out": "",
    "split#inner_folds": 0,
    "split#test": 0.4,
    "split#val": 0.0,
    "split#by_site": False,
    "permutation": -1,
}
"""3:2, as in the paper, and nobody set aside to validate: both protocols train on the same share."""
BACKGROUND = {"samples#background_kinds": ["liver"]}
"""Of the paper: discs in the liver. The bundle that is slid over a study has harder ones by default."""

PATIENT, SAMPLE = "patient", "sample"
PROTOCOLS: Mapping[str, Mapping[str, Any]] = {
    PATIENT: {"split#unit": "patient"},
    SAMPLE: {"split#unit": "sample", "checkpoint#best_by": "val_accuracy"},
}
"""All that the two protocols differ in. ``sample`` is the published one: samples are what is split, their stored copies
are scored as samples, and the epoch with the best accuracy on the test set counts. ``patient`` keeps all of a patient
on one side, scores each sample once, and takes the last epoch, which needs no choice."""


class Tables:
    """Both columns of the paper's tables 4 to 7, each model trained once for each repetition and protocol."""

    name = "tables"
    help = (
        "the paper's tables 4-7 and figures 4, 7-10: its numbers, ours with patients apart, and a replica of its "
        "sample-level protocol (options: pretrained=FILE, where {pooling} and {embedding} may stand, instead of the "
        "shipped ones; epochs, views)"
    )
    options: Sequence[str] = ("pretrained", "epochs", "views")

    def stages(self, context: Context) -> list[Stage]:
        """Return one stage for each task."""
        stages = []
        for task, bundle in bundles_by_task(context).items():
            if runs := planned_runs(context, task, bundle):
                models_of_task = len({run.cell for run in runs}) // len(PROTOCOLS)
                stages.append(
                    Stage(
                        f"{task}: {models_of_task} models under two protocols", len(runs), runs[-1], partial(list, runs)
                    )
                )
        if not stages:
            raise ConfigError(
                expected="a bundle of one of the paper's tasks, hcc_vs_bg or hcc_grade",
                found=", ".join(bundle.name for bundle in context.bundles) or "no bundle",
                fix="give --bundle bundles/hcc_detection --bundle bundles/hcc_grade",
                code="E_OPTION",
            )
        return stages

    def collect(self, context: Context) -> Content:
        """Return tables and figures from the runs that are finished; a model without any says so."""
        cells = {model: (cell_name(model, PATIENT), cell_name(model, SAMPLE)) for model in trained_models(context)}
        return content(context, cells)


def trained_models(context: Context) -> list[Model]:
    """Return the models of the given bundles' tasks: from scratch, and pretrained ones where all have their weights."""
    starts = ("scratch",) if without_weights(context) else ("scratch", "pretrained")
    return [model for model in models() if model.task in bundles_by_task(context) and model.start in starts]


def planned_runs(context: Context, task: str, bundle: Path) -> list[Run]:
    """Return the runs of one task, repetition by repetition, so that whole repetitions are finished first."""
    repeats = REPEATS if context.repeats is None else context.repeats
    cells = [
        repetitions(cell_name(model, protocol), bundle, cell_options(context, model, protocol), repeats, context.seed)
        for model in trained_models(context)
        if model.task == task
        for protocol in PROTOCOLS
    ]
    return [run for repetition in zip(*cells, strict=True) for run in repetition]


def cell_name(model: Model, protocol: str) -> str:
    """Return the name of the runs of a model under a protocol."""
    return f"{model.name}/{protocol}"


def cell_options(context: Context, model: Model, protocol: str) -> dict[str, Any]:
    """Return the overrides of the training configuration that make a model of the paper under a protocol."""
    own = {key: value for key, value in asdict(model).items() if key in ("task", "fusion", "pooling", "embedding")}
    recipe = {
        **RECIPE,
        "max_epochs": positive_option(context, "epochs", RECIPE["max_epochs"]),
        "views": positive_option(context, "views", RECIPE["views"]),
        "learning_rate": LEARNING_RATE[model.start],
        "pretrained": str(pretrained_file(context, model)) if model.start == "pretrained" else "scratch",
    }
    return {**own, **recipe, **HOLDOUT, **BACKGROUND, **PROTOCOLS[protocol]}
