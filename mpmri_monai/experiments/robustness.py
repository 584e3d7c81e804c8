"""How much of a classifier's accuracy is left when what it sees is a little off: noise, shading, mask, attacks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from mpmri_monai.artefacts import make_folder
from mpmri_monai.errors import ConfigError
from mpmri_monai.evaluation import compare, evaluate, read_predictions, write_predictions
from mpmri_monai.experiments.context import Content, Context
from mpmri_monai.experiments.perturbed import CLEAN, KINDS, UNCHANGED, Condition, Kind, TrainedRun
from mpmri_monai.experiments.plan import Stage
from mpmri_monai.experiments.question import Question, recipe
from mpmri_monai.experiments.repetitions import repetitions
from mpmri_monai.experiments.texts import with_interval
from mpmri_monai.processes import in_processes
from mpmri_monai.training import pin_threads
from mpmri_monai.training.classical import NETWORK_HEAD

REPEATS = 3
CELL = "trained"
LEVEL = "lesion"
METRICS = ("accuracy", "macro_auc")

Results = dict[Condition, dict[str, dict[str, Any]]]
"""By condition and metric: value with interval, and ``change``, the paired difference from clean images."""


class Robustness:
    """Trains repeats of a bundle and asks each about its test patients again, with their images a little off."""

    name = "robustness"
    help = "accuracy against noise, shading, mask shift, gain and adversarial changes (options: epochs, views)"
    options = ("epochs", "views")

    def stages(self, context: Context) -> Sequence[Stage]:
        """Return the one stage of trainings; perturbing their test images is part of collecting."""
        question = Question.of(context)
        _check_asked_again(question)
        repeats = REPEATS if context.repeats is None else context.repeats
        runs = repetitions(CELL, question.bundle, recipe(context, question), repeats, context.seed)
        return [Stage("trainings whose test images are then perturbed", len(runs), runs[0], lambda: runs)]

    def collect(self, context: Context) -> Content:
        """Return accuracy and macro AUC of lesions under every condition, and their change against clean images."""
        question = Question.of(context)
        tables = perturbed_predictions(context)
        results = {
            condition: _result(table, tables[CLEAN], question, context.seed) for condition, table in tables.items()
        }
        return {
            "title": f"Robustness: {question.title}",
            "headline": _headline(results),
            "warnings": _warnings(results),
            "protocol": [
                f"{question.sentence} Fusion {question.fusion}.",
                f"{len(context.runs(CELL))} holdouts by patient. Networks were trained on images as they are; test "
                "images alone were changed, in the channels that are present, after normalisation to [0, 1].",
                "A lesion's direction of shading and shift is drawn once and the same for all its slices and all "
                "levels. FGSM and PGD know the network and the true label: they bound what small changes can do, and "
                "say nothing about how often such changes occur.",
                "Gain and shading are what normalisation may leave over, not what a scanner does before it.",
                "Changes are paired: the same patients are redrawn for clean and changed images.",
            ],
            "tables": [_table(results)],
            "figures": [_figure(results)],
        }


def _check_asked_again(question: Question) -> None:
    """Refuse, before anything is trained, a bundle whose runs `TrainedRun` does not answer for as they did."""
    config = question.config
    others = {
        "samples on a 3D grid": config["samples"].get("grid") is not None,
        "a classical head": config.get("head", NETWORK_HEAD) != NETWORK_HEAD,
        "averaging over crops": config.get("averaging", False),
    }
    if any(others.values()):
        raise ConfigError(
            expected="a bundle that samples planes, whose network answers from one crop of each",
            found=f"{question.bundle.name} with {' and '.join(name for name, there in others.items() if there)}",
            code="E_OPTION",
        )


def perturbed_predictions(context: Context) -> dict[Condition, pd.DataFrame]:
    """Return the test predictions of all finished runs by condition; what was predicted before is read.

    They are kept in the experiment's folder, under ``perturbed``.
    """
    jobs = [(context.folder(run), context.out / "perturbed" / run.name, context.seed) for run in context.runs(CELL)]
    paths = list(in_processes(_perturb_run, jobs, context.workers, "Perturbing the test images"))
    context.predictions(CELL)  # says so when no run has finished
    shared = [condition for condition in paths[0] if all(condition in of_run for of_run in paths)]
    return {
        condition: pd.concat([read_predictions(of_run[condition]) for of_run in paths], ignore_index=True)
        for condition in shared
    }


def _perturb_run(job: tuple[Path, Path, int]) -> dict[Condition, Path]:
    """Write the predictions of one run under every condition that are not there yet; return where they are."""
    run_folder, out, seed = job
    pin_threads(1)
    make_folder(out)
    run = TrainedRun(run_folder)
    paths = {condition: out / f"{condition}.csv" for condition in run.conditions}
    for condition, path in paths.items():
        if not path.is_file():
            table = run.predictions(condition, seed)
            if condition == CLEAN:
                run.check(table)
            write_predictions(path, table)
    return paths


def _result(table: pd.DataFrame, clean: pd.DataFrame, question: Question, seed: int) -> dict[str, dict[str, Any]]:
    found = evaluate(table, question.task, seed=seed)["levels"][LEVEL]["metrics"]
    change = compare(table, clean, question.task, level=LEVEL, metrics=METRICS, seed=seed)["metrics"]
    return {name: {**found[name], "change": change[name]} for name in METRICS}


def _conditions(kind: Kind, results: Mapping[Condition, Any]) -> list[Condition]:
    """Return the levels of a kind that were tried, weakest change first."""
    return [condition for level in kind.levels if (condition := Condition(kind.name, level)) in results]


def _headline(results: Results) -> list[str]:
    lines = [f"Accuracy on lesions {with_interval(results[CLEAN]['accuracy'])} on images as they are."]
    for kind in KINDS:
        tried = _conditions(kind, results)
        if tried:
            worst = min(tried, key=lambda condition: results[condition]["accuracy"]["value"])
            lost = with_interval(results[worst]["accuracy"]["change"], "difference")
            lines.append(f"{kind.title}: accuracy changes by {lost} at {worst.level:g} ({kind.unit}), the worst tried.")
    return lines


def _warnings(results: Results) -> list[str]:
    left_out = [
        f"{kind.title} {level:g}"
        for kind in KINDS
        for level in kind.levels
        if Condition(kind.name, level) not in results
    ]
    reach = f"Left out, as the stored crops end before: {', '.join(left_out)}." if left_out else ""
    return [text for text in (reach, "Perturbations are models of what goes wrong, not other scanners.") if text]


def _table(results: Results) -> dict[str, Any]:
    rows = [["images as they are", "", *(with_interval(results[CLEAN][name]) for name in METRICS), "", ""]]
    for kind in KINDS:
        for condition in _conditions(kind, results):
            found = results[condition]
            rows.append(
                [
                    kind.title,
                    f"{condition.level:g}",
                    *(with_interval(found[name]) for name in METRICS),
                    *(with_interval(found[name]["change"], "difference") for name in METRICS),
                ]
            )
    return {
        "key": "robustness",
        "title": "Lesions classified from changed images",
        "caption": "Accuracy and macro AUC [95 % interval over patients], and their paired change against the images "
        "as they are. Levels: " + "; ".join(f"{kind.title}: {kind.unit}" for kind in KINDS) + ".",
        "header": ["change", "level", "accuracy", "macro AUC", "change of accuracy", "change of macro AUC"],
        "rows": rows,
    }


def _figure(results: Results) -> dict[str, Any]:
    panels = []
    for kind in KINDS:
        points = {condition.level: results[condition] for condition in _conditions(kind, results)}
        points[UNCHANGED.get(kind.name, 0.0)] = results[CLEAN]
        levels = sorted(points)
        curves = [
            {
                "name": name.replace("macro_auc", "macro AUC"),
                "x": levels,
                "mean": [points[level][name]["value"] for level in levels],
                "low": [points[level][name]["low"] for level in levels],
                "high": [points[level][name]["high"] for level in levels],
            }
            for name in METRICS
        ]
        panels.append({"title": kind.title, "x_label": kind.unit, "curves": curves})
    return {
        "key": "robustness",
        "title": "What is left when images are a little off",
        "caption": "Lesion level; bands are 95 % intervals over patients.",
        "kind": "curves",
        "data": {"panels": panels, "y_label": "accuracy, macro AUC"},
    }
