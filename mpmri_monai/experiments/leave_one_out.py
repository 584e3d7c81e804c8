"""Every patient tested alone, by a network that all others trained; the whole of it again from other seeds.

For a fixed choice only: what was chosen by looking at these patients has seen them. Nothing that depends on the order
of scores is reported over all patients, for each has another network (see `evaluation.pooling`).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from mpmri_monai.bundle.provenance import SCRATCH
from mpmri_monai.cohort import Study
from mpmri_monai.errors import ConfigError
from mpmri_monai.experiments.context import Content, Context
from mpmri_monai.experiments.leave_one_out_results import leave_one_out_content
from mpmri_monai.experiments.plan import Run, Stage
from mpmri_monai.experiments.question import Question, recipe, refuse_seen, weights_option
from mpmri_monai.report.wording import plural
from mpmri_monai.sequences import Task

REPEATS = 15
"""Repetitions of the published protocol."""
TAKEN_OVER = ("pretrained", "keep_best")
"""Options that are keys of the training configuration, too."""


class LeaveOneOut:
    """One training for each patient and seed, of a bundle's own configuration."""

    name = "leave-one-out"
    help = (
        "every patient tested alone by a bundle as it is configured, --repeats times from other seeds (15): accuracy, "
        "sensitivity, specificity, certainty (options: epochs, views, copies; pretrained=FILE; keep_best=auto|yes|no)"
    )
    options: Sequence[str] = ("epochs", "views", "copies", *TAKEN_OVER)

    def stages(self, context: Context) -> list[Stage]:
        """Return the one stage; repetitions are finished one after the other."""
        question = Question.of(context)
        runs = planned_runs(context, question)
        count = len(runs) // repeats(context)
        title = f"{plural(count, 'patient')}, each tested alone, {plural(repeats(context), 'time')}"
        return [Stage(title, len(runs), runs[0], partial(list, runs))]

    def collect(self, context: Context) -> Content:
        """Return the scores of every repetition, their mean and range, and what is right among the most certain."""
        question = Question.of(context)
        cells = [cell_name(number) for number in range(repeats(context))]
        return leave_one_out_content(context, question, cells, len(labelled_patients(question)))


def repeats(context: Context) -> int:
    """Return the number of repetitions.

    Raises:
        ConfigError: fewer than one.
    """
    found = REPEATS if context.repeats is None else context.repeats
    if found < 1:
        raise ConfigError(expected="at least 1 repetition", found=str(found), code="E_OPTION")
    return found


def cell_name(number: int) -> str:
    """Return the name of the runs of one repetition."""
    return f"repeat{number}"


def planned_runs(context: Context, question: Question) -> list[Run]:
    """Return the trainings of every patient and seed.

    Each repetition is a splits table of its own with another seed of batches, weights and validation patients, so that
    no run carries the divisions of all others.

    Raises:
        ConfigError: fewer than three patients, or an option that the bundle has no key for.
        LeakageError: the weights to start from have seen these patients.
    """
    patients = labelled_patients(question)
    count = len(patients)
    if count < 3:
        raise ConfigError(
            expected=f"at least 3 patients with a label for {question.task.name}, to leave one out",
            found=str(count),
            code="E_OPTION",
        )
    options = {**recipe(context, question), **_taken_over(context, question)}
    refuse_seen(options.get("pretrained", SCRATCH), patients)
    division = {
        "split#file": "", "split#unit": "patient", "split#folds": 0, "split#leave_out": "patient", "split#inner": -1,
        "split#inner_folds": 0, "split#repeats": 1, "split#repeat": 0,
    }  # fmt: skip
    return [
        Run(
            name=f"{cell_name(number)}/patient{patient}",
            cell=cell_name(number),
            bundle=question.bundle,
            options={**options, **division, "split#fold": patient, "seed": context.seed + number},
        )
        for number in range(repeats(context))
        for patient in range(count)
    ]


def labelled_patients(question: Question) -> list[str]:
    """Return the patients of whom a case has a label of the task, in the order in which they are left out."""
    return sorted({study.patient for study in question.manifest.studies if _labelled(study, question.task)})


def _labelled(study: Study, task: Task) -> bool:
    if task.name == "hcc_vs_bg":  # its labels are not written down: a region is a lesion or background
        return bool(study.lesions)
    labels = [lesion.labels for lesion in study.lesions] or [study.labels]
    return any(one.get(task.label) for one in labels)


def _taken_over(context: Context, question: Question) -> dict[str, Any]:
    given = [name for name in TAKEN_OVER if name in context.options]
    lacking = [name for name in given if name not in question.config]
    if lacking:
        raise ConfigError(
            expected=f"options that the configuration of {question.bundle.name} has",
            found=", ".join(lacking),
            code="E_OPTION",
        )
    taken = {name: context.options[name] for name in given}
    return taken | ({"pretrained": weights_option(context)} if "pretrained" in taken else {})
