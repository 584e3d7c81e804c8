"""The answer of an experiment, with what every experiment has to tell: cohort, plan, failures, environment."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from mpmri_monai import sequences
from mpmri_monai.artefacts import read_json
from mpmri_monai.bundle.audit import audit_run
from mpmri_monai.cohort import Manifest, load_manifest
from mpmri_monai.experiments.context import Content, Context, Experiment
from mpmri_monai.experiments.estimate import training_config
from mpmri_monai.experiments.planning import Plan, total_seconds

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
    failures = context.failures
    found = chosen.collect(context)
    if "audit" not in found and context.runs():
        found = {**found, "audit": audit_run(context.out)}
    warnings = [f"study {study} was left out: {why}" for study, why in sorted(left_out.items())]
    if failures:
        runs = sum(stage["count"] for stage in plan["stages"])
        warnings.append(f"{len(failures)} of {runs} runs failed: what is reported comes from the others")
    return {
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
        "warnings": [*found.get("warnings", ()), *warnings],
    }


def command(chosen: Experiment, context: Context) -> str:
    """Return the command that makes the experiment again."""
    words = ["mpmri experiment", chosen.name]
    words += [f"--bundle {bundle}" for bundle in context.bundles]
    words += [f"--manifest {context.manifest}", f"--out {context.out}", f"--seed {context.seed}"]
    if context.repeats is not None:
        words.append(f"--repeats {context.repeats}")
    words.append(f"--precision {context.common['precision']}")
    words += [f"--option {key}={value}" for key, value in sorted(context.options.items())]
    return " ".join(words)


def _cohort(manifest: Manifest, context: Context, left_out: Mapping[str, str]) -> dict[str, Any]:
    """Return how many studies, patients and lesions there are, by class of each bundle's task, and by site."""
    used = [study for study in manifest.studies if study.study not in left_out]
    flow: list[list[Any]] = [
        ["studies in the manifest", len(manifest.studies)],
        ["studies that could be sampled", len(used)],
        ["patients", len({study.patient for study in used})],
        ["lesions", sum(len(study.lesions) for study in used)],
    ]
    rows = []
    for name in dict.fromkeys(str(training_config(bundle)["task"]) for bundle in context.bundles):
        task = sequences.task(name)
        if task.label not in manifest.classes:
            continue
        for value in manifest.classes[task.label]:
            lesions = [
                (study.patient, lesion.id)
                for study in used
                for lesion in study.lesions
                if lesion.labels.get(task.label) == value
            ]
            rows.append([value, len({patient for patient, _ in lesions}), len(lesions)])
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
        "classes": {"header": ["class", "patients", "lesions"], "rows": rows},
        "sites": {"header": ["site", "patients", "lesions"], "rows": sites},
    }


def _environment(context: Context) -> dict[str, Any]:
    """Return what the first finished run recorded of the machine that it ran on."""
    for run in context.runs():
        recorded = read_json(context.folder(run) / "environment.json")
        return {**recorded, "workers": "Dask" if context.scheduler else context.workers}
    return {}
