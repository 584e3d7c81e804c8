"""What intervals of fixed predictions leave out: the same patients held out, trained again from other starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from mpmri_monai.errors import ConfigError
from mpmri_monai.evaluation.repeats_summary import retraining
from mpmri_monai.experiments.context import Content, Context
from mpmri_monai.experiments.plan import Run, Stage
from mpmri_monai.experiments.question import Question, positive_option, recipe
from mpmri_monai.experiments.texts import NOT_DEFINED

STARTS = 5
FOLDS = 5
LEVELS = ("slice", "lesion")


class Retraining:
    """k folds over the patients, trained from several seeds of weights and batches; the division never changes."""

    name = "retraining"
    help = (
        "the same folds trained from five seeds: how much intervals of fixed predictions leave out "
        "(options: folds, epochs, views; --repeats is the number of seeds)"
    )
    options: Sequence[str] = ("folds", "epochs", "views")

    def stages(self, context: Context) -> list[Stage]:
        """Return the one stage of all folds and seeds.

        Raises:
            ConfigError: fewer than two seeds.
        """
        if starts(context) < 2:
            raise ConfigError(expected="at least 2 seeds to compare (--repeats)", found="1", code="E_OPTION")
        runs = planned_runs(context)
        return [Stage(f"{starts(context)} seeds on the same folds", len(runs), runs[0], partial(list, runs))]

    def collect(self, context: Context) -> Content:
        """Return both parts of the variance of every metric; only seeds of which all folds are finished count."""
        question, folds = Question.of(context), positive_option(context, "folds", FOLDS, least=2)
        cells = [cell for cell in map(cell_name, range(starts(context))) if len(context.runs(cell)) == folds]
        if len(cells) < 2:
            return {
                "title": f"Training again: {question.title}",
                "headline": [f"{len(cells)} seeds have all their folds finished; two are needed to compare."],
            }
        found = {
            level: retraining({cell: context.predictions(cell) for cell in cells}, question.task, level)
            for level in LEVELS
        }
        return {
            "title": f"Training again: {question.title}",
            "headline": [_sentence(found["lesion"], name) for name in ("accuracy", "macro_auc")],
            "protocol": [
                f"{question.sentence} Fusion {question.fusion}, {folds} folds by patient, the same for all "
                f"{len(cells)} seeds of weights and batches.",
                found["lesion"]["method"],
            ],
            "tables": [_table(found)],
        }


def starts(context: Context) -> int:
    """Return the number of seeds."""
    return STARTS if context.repeats is None else context.repeats


def cell_name(start: int) -> str:
    """Return the name of the runs of one seed."""
    return f"seed{start}"


def planned_runs(context: Context) -> list[Run]:
    """Return the runs, seed by seed, so that whole seeds are finished first."""
    question, folds = Question.of(context), positive_option(context, "folds", FOLDS, least=2)
    division = {"split#file": "", "split#unit": "patient", "split#leave_out": "", "split#inner": -1}
    return [
        Run(
            name=f"{cell_name(start)}/fold{fold}",
            cell=cell_name(start),
            bundle=question.bundle,
            options={
                **recipe(context, question), **division, "split#folds": folds, "split#fold": fold,
                "seed": context.seed + start, "cohort#seed": context.seed,
            },
        )
        for start in range(starts(context))
        for fold in range(folds)
    ]  # fmt: skip


def _sentence(found: Mapping[str, Any], name: str) -> str:
    metric = found["metrics"][name]
    if metric["value"] is None:
        return f"{name.replace('_', ' ')} of {found['level']}s is not defined."
    return (
        f"{name.replace('_', ' ')} of {found['level']}s {metric['value']:.3f}: SD {_number(metric['sd_patients'])} "
        f"from the patients, {_number(metric['sd_retraining'])} from training again with another seed. "
        f"The 95 % interval {_interval(metric['interval_fixed'])} of one training becomes "
        f"{_interval(metric['interval_both'])} with it."
    )


def _table(found: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    return {
        "key": "retraining",
        "title": "Patients and training as sources of variance",
        "caption": "Means over the seeds. SD of the patients from resampling them; SD of training between the seeds.",
        "header": ["level", "metric", "value", "SD, patients", "SD, training", "interval, fixed", "interval, both"],
        "rows": [
            [
                level,
                name.replace("_", " "),
                *(_number(metric[key]) for key in ("value", "sd_patients", "sd_retraining")),
                *(_interval(metric[key]) for key in ("interval_fixed", "interval_both")),
            ]
            for level, of in found.items()
            for name, metric in of["metrics"].items()
        ],
    }


def _number(value: float | None) -> str:
    return NOT_DEFINED if value is None else f"{value:.3f}"


def _interval(ends: Sequence[float | None]) -> str:
    low, high = ends
    return NOT_DEFINED if low is None or high is None else f"[{low:.3f}, {high:.3f}]"
