"""The answer of an experiment, with what every experiment has to tell: cohort, plan, failures, environment."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from mpmri_monai.artefacts import read_json
from mpmri_monai.bundle.audit import audit_run
from mpmri_monai.cohort import Manifest, Study, load_manifest
from mpmri_monai.experiments.context import PREDICTIONS, Content, Context, Experiment
from mpmri_monai.experiments.planning import Plan, total_seconds
from mpmri_monai.experiments.question import Question
from mpmri_monai.experiments.repetitions import bundle_config
from mpmri_monai.report.wording import without_folders
from mpmri_monai.sequences import Task

SCHEMA = "mpmri-monai/experiment/1"


def collected(chosen: Experiment, context: Context, plan: Plan, left_out: Mapping[str, str]) -> Content:
    """Return the content of ``experiment.json``.

    Args:
        chosen: the experiment; what it says itself wins over what is said for it.
        context: its finished runs are read.
        plan: how many runs there were and how long they were to take.
        left_out: why studies could not be sampled, by study.
    """
    manifest = load_manifest(context.manifest)
    failures = [{**failure, "error": without_folders(failure["error"])} for failure in context.failures]
    found = chosen.collect(context)
    if "audit" not in found and context.runs():
        found = {**found, "audit": audit_run(context.out)}
    warnings = [f"study {study} was left out: {why}" for study, why in sorted(left_out.items())]
    if failures:
        runs = sum(stage["count"] for stage in plan["stages"])
        warnings.append(f"{len(failures)} of {runs} runs failed: what is reported comes from the others")
    content = {
        "schema": SCHEMA,
        "experiment": chosen.name,
        "cohort": _cohort(manifest, context, left_out),
        "failures": failures,
        "environment": _environment(context),
        "commands": [command(chosen, context)],
        "plan": {
            "runs": sum(stage["count"] for stage in plan["stages"]),
            "seconds": None if math.isnan(total_seconds(plan)) else round(total_seconds(plan)),
        },
        **found,
        "warnings": [*found.get("warnings", ()), *map(without_folders, warnings)],
    }
    return _without_nan(content)


def _without_nan(content: Any) -> Any:
    """Return ``content`` with None for numbers that are not defined, for JSON has no NaN."""
    if isinstance(content, Mapping):
        return {key: _without_nan(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_without_nan(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content


def command(chosen: Experiment, context: Context) -> str:
    """Return the command that makes the experiment again; of paths only the names, for others have other folders."""
    words = ["mpmri experiment", chosen.name]
    words += [f"--bundle {_name(bundle)}" for bundle in context.bundles]
    words += [f"--manifest {_name(context.manifest)}", f"--out {_name(context.out)}", f"--seed {context.seed}"]
    if context.repeats is not None:
        words.append(f"--repeats {context.repeats}")
    words.append(f"--precision {context.common['precision']}")
    words += [f"--{key} {shlex.quote(value)}" for key, value in context.asked.items()]
    options = [f"{key}={without_folders(value)}" for key, value in sorted(context.options.items())]
    words += [f"--option {shlex.quote(option) if ' ' in option else option}" for option in options]
    return " ".join(words)


def _name(path: Path) -> str:
    return f"…/{shlex.quote(path.name)}"


def _cohort(manifest: Manifest, context: Context, left_out: Mapping[str, str]) -> dict[str, Any]:
    """Return how many studies, patients and lesions there are, by class of each bundle's task, and by site."""
    used = [study for study in manifest.studies if study.study not in left_out]
    lesions = [lesion for study in used for lesion in study.lesions]
    flow: list[list[Any]] = [
        ["studies in the manifest", len(manifest.studies)],
        ["studies that could be sampled", len(used)],
        ["patients", len({study.patient for study in used})],
        ["lesions", len(lesions)],
    ]
    rows = []
    for task in _tasks(context):
        if task.label not in manifest.classes:  # every lesion is one, and every liver has its background regions
            patients = {study.patient for study in used if study.lesions}
            rows.append([f"{task.classes[-1]} ({task.name})", len(patients), len(lesions)])
            continue
        labelled = [(study.patient, labels.get(task.label)) for study in used for labels in _labels(study)]
        unknown = sum(label not in manifest.classes[task.label] for _, label in labelled)
        if unknown:
            flow.append([f"{unit_of(manifest)} without a {task.label}, not counted in {task.name}", unknown])
        for value in manifest.classes[task.label]:
            patients = [patient for patient, label in labelled if label == value]
            rows.append([value, len(set(patients)), len(patients)])
    sites = [
        [
            site,
            len({study.patient for study in used if study.site == site}),
            sum(len(study.lesions) for study in used if study.site == site),
        ]
        for site in sorted({study.site for study in used})
    ]
    return {
        "name": manifest.name,
        "synthetic": manifest.truth is not None,
        "flow": flow,
        "classes": {"header": ["class", "patients", unit_of(manifest)], "rows": rows},
        "sites": {"header": ["site", "patients", "lesions"], "rows": sites},
    }


def unit_of(manifest: Manifest) -> str:
    """Return what carries labels: lesions, or studies as a whole in a cohort in which none was outlined."""
    return "lesions" if any(study.lesions for study in manifest.studies) else "studies"


def _labels(study: Study) -> list[dict[str, str]]:
    """Return the labels of each lesion of a study, or of the study as a whole where it has none."""
    return [lesion.labels for lesion in study.lesions] if study.lesions else [study.labels] * bool(study.labels)


def _tasks(context: Context) -> list[Task]:
    """Return the tasks of the given bundles, each once: what their runs are told to ask, or else their own.

    An autoencoder has none.
    """
    told = {run.bundle.name: run.options["task"] for run in context.planned() if "task" in run.options}
    tasks = []
    for bundle in context.bundles:
        asked = {**context.asked, "task": told[bundle.name]} if bundle.name in told else context.asked
        if "task" in bundle_config(bundle):
            tasks.append(Question.about(replace(context, asked=asked), bundle).task)
    return list(dict.fromkeys(tasks))


def _environment(context: Context) -> dict[str, Any]:
    """Return what the first finished run recorded of the machine that it ran on."""
    for run in context.runs():
        if not (context.folder(run) / PREDICTIONS).is_file():
            continue  # an autoencoder
        recorded = read_json(context.folder(run) / "environment.json")
        return {**recorded, "workers": "Dask" if context.scheduler else context.workers}
    return {}
