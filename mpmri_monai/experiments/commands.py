"""``mpmri experiment``: plan, execute, collect."""

from __future__ import annotations

import fcntl
import math
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from operator import itemgetter
from pathlib import Path
from typing import Any

from rich.console import Console

from mpmri_monai.artefacts import clear_error, digest, make_folder, write_json
from mpmri_monai.bundle.provenance import SCRATCH, weights_digest
from mpmri_monai.cohort import load_manifest
from mpmri_monai.errors import BundleError, ConfigError, OutputError
from mpmri_monai.experiments.collect import collected
from mpmri_monai.experiments.context import PLAN, Context, Experiment, made_here
from mpmri_monai.experiments.estimate import seconds_by_stage, training_config
from mpmri_monai.experiments.execute import execute
from mpmri_monai.experiments.plan import Run, Stage, checked_runs
from mpmri_monai.experiments.planning import (
    Plan,
    keep_plan,
    known_plan,
    new_plan,
    shown_plan,
    total_seconds,
    with_runs,
)
from mpmri_monai.experiments.progress import watching
from mpmri_monai.experiments.registry import experiment
from mpmri_monai.experiments.starts import WEIGHTS
from mpmri_monai.processes import Workers, open_workers
from mpmri_monai.report.experiment import write_experiment_report
from mpmri_monai.report.wording import without_folders
from mpmri_monai.samples import Settings, prepare

LOCK = ".lock"
OURS = ("report.html", "experiment.json", "runs")
"""What is written over, or into; found without a plan it is somebody else's."""
WORKER = "mpmri_monai.experiments.worker"
SAMPLES = "samples#"


def experiment_command(name: str, context: Context, plan_only: bool = False) -> int:
    """Plan an experiment, do its runs and collect their answer in ``context.out``; return the exit status.

    Args:
        name: of the experiment, see `registry`.
        context: what it is about.
        plan_only: end with the plan.

    Returns:
        1 when a run failed or a study was left out, else 0.

    Raises:
        ConfigError: an option is not known, or the folder holds another experiment.
        OutputError: another process works in the folder, or it cannot be written.
    """
    chosen = experiment(name)
    context = _checked(chosen, context)
    try:
        return _done(chosen, context, plan_only)
    except KeyboardInterrupt:
        print(
            f"Stopped. Finished runs are kept in {context.out}: the same command goes on with the rest.",
            file=sys.stderr,
        )
        raise


def _done(chosen: Experiment, context: Context, plan_only: bool) -> int:
    stages = list(chosen.stages(context))  # a wrong option is told before a folder is claimed and workers start
    with (
        _alone_in(context.out),
        open_workers(max(context.workers, 1), context.scheduler, [WORKER]) as workers,
    ):
        known: list[list[Run]] = []
        for stage in stages:
            taken = {run.name for runs in known for run in runs}
            known.append([] if stage.adaptive else checked_runs(stage, taken))
        left_out, data = _prepared(stages, known, context)
        plan = _planned(chosen.name, stages, known, context, workers, data)
        Console().print(shown_plan(plan, workers.count))
        if plan_only:
            return 0
        try:
            plan = _executed(plan, stages, context, workers, data)
        finally:  # a stage that cannot choose among failed runs ends here: why they failed comes first
            for line in failed_in_words(context.failures):
                print(line, file=sys.stderr)
    content = collected(chosen, context, plan, left_out)
    write_json(context.out / "experiment.json", content)
    report = write_experiment_report(context.out, content)
    print(f"Report: {report}\nResults: {context.out / 'experiment.json'}")
    return 1 if context.failures or left_out else 0


def failed_in_words(failures: Sequence[Mapping[str, str]]) -> list[str]:
    """Return one line for each reason for which runs failed, with the first of them."""
    runs: dict[str, list[str]] = {}
    for failure in failures:
        runs.setdefault(without_folders(failure["error"]), []).append(failure["run"])
    return [
        f"failed: {names[0]}{f' and {len(names) - 1} more' if len(names) > 1 else ''}: {error}"
        for error, names in runs.items()
    ]


def _checked(chosen: Experiment, context: Context) -> Context:
    """Return the context with whole paths; refuse what is not a bundle and options that the experiment lacks."""
    for bundle in context.bundles:
        if not (bundle / "configs" / "train.json").is_file():
            raise BundleError(
                expected="the folder of a bundle", found=f"no configs/train.json in {bundle}", code="E_BUNDLE"
            )
    names = [bundle.resolve().name for bundle in context.bundles]
    if len(set(names)) < len(names):  # runs and settings of a plan know a bundle by its name
        raise ConfigError(expected="bundles of different names", found=", ".join(names), code="E_OPTION")
    unknown = sorted(set(context.options) - set(chosen.options))
    if unknown:
        raise ConfigError(
            expected=f"options of {chosen.name} among {', '.join(chosen.options) or 'none'}",
            found=", ".join(unknown),
            code="E_OPTION",
        )
    bundles = tuple(bundle.resolve() for bundle in context.bundles)
    return replace(context, bundles=bundles, manifest=context.manifest.resolve(), out=context.out.resolve())


@contextmanager
def _alone_in(out: Path) -> Iterator[None]:
    """Keep other processes out of the experiment's folder until the block ends or this process does."""
    make_folder(out)
    foreign = [] if (out / PLAN).exists() else [name for name in OURS if (out / name).exists()]
    if foreign:
        raise OutputError(
            expected=f"a folder of an experiment, or one without {', '.join(OURS)}",
            found=f"{', '.join(foreign)} of something else in {out}",
            fix="name another --out",
            code="E_OUTPUT",
        )
    with clear_error(out):
        lock = (out / LOCK).open("a")
    with lock as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise OutputError(
                expected=f"to work in {out} alone",
                found="another process that is doing so",
                fix="let it end, or name another --out",
                code="E_OUTPUT",
            ) from error
        yield


def _prepared(stages: Sequence[Stage], known: Sequence[Sequence[Run]], context: Context) -> tuple[dict[str, str], str]:
    """Bring every store that the runs read up to date; say and return why studies were left out, and the digest."""
    runs = [run for planned in known for run in planned] + [stage.example for stage in stages]
    wanted = {
        (digest(settings), str(manifest) if manifest != context.manifest.resolve() else ""): (manifest, settings)
        for manifest, settings in ((context.manifest_of(run), _sample_settings(run, context)) for run in runs)
    }
    left_out: dict[str, str] = {}
    digests = []
    for (_, other), (path, settings) in sorted(wanted.items(), key=itemgetter(0)):
        manifest = load_manifest(path)
        store = prepare(manifest, Settings(**settings), context.cache, context.workers, scheduler=context.scheduler)
        of = f" of {manifest.name}" if other else ""
        what = " (its patches)" if (settings.get("grid") or {}).get("patches") else ""  # its lesions may be there
        left_out |= {f"{study}{of}{what}": why for study, why in store.failed.items()}
        digests.append(store.digest())
    for study, why in sorted(left_out.items()):  # before hours of training, not after
        print(f"left out: study {study}: {why}", file=sys.stderr)
    return left_out, digest(digests)


def _sample_settings(run: Run, context: Context) -> dict[str, Any]:
    options = {**run.options, **context.common}
    changed = {key.removeprefix(SAMPLES): value for key, value in options.items() if key.startswith(SAMPLES)}
    return {**training_config(run.bundle)["samples"], **changed}


def _planned(
    name: str,
    stages: Sequence[Stage],
    known: Sequence[Sequence[Run]],
    context: Context,
    workers: Workers,
    data: str,
) -> Plan:
    """Return the plan with its estimates: the one that was begun, or a new one."""
    settings = {
        **{f"training of {bundle.name}": digest(training_config(bundle))[:12] for bundle in context.bundles},
        "manifest": load_manifest(context.manifest).digest()[:12],
        "samples": data[:12],
        "repeats": context.repeats,
        "seed": context.seed,
        "options": dict(context.options),
        **{f"asked {key}": value for key, value in context.asked.items()},
        "common": dict(context.common),
        **_weights(stages, known),
    }
    plan = new_plan(name, settings, stages, known)
    begun = known_plan(plan, context.out)
    if begun is not None:
        return begun
    Console(stderr=True).print("Timing a few short runs for the estimate")
    seconds = seconds_by_stage(stages, context, workers, data)
    for entry, value in zip(plan["stages"], seconds, strict=True):
        entry["seconds"] = None if math.isnan(value) else round(value, 2)
    keep_plan(plan, context)
    return plan


def _weights(stages: Sequence[Stage], known: Sequence[Sequence[Run]]) -> dict[str, str]:
    """Return the digests of the weights that runs start from, told to or by default; not of those made here."""
    runs = [run for planned in known for run in planned] + [stage.example for stage in stages]
    found: dict[str, set[str]] = {}
    for name, file in map(_start, runs):
        if file != SCRATCH and not made_here(file):
            found.setdefault(f"weights {name}", set()).add((weights_digest(file) or "absent")[:12])
    return {name: ", ".join(sorted(digests)) for name, digests in sorted(found.items())}


def _start(run: Run) -> tuple[str, str]:
    """Return what a run starts from, by name and file: its option, or the weights that its bundle ships for that."""
    told = run.options.get("pretrained")
    if told is not None:
        return Path(told).name, str(told)
    if training_config(run.bundle).get("pretrained", SCRATCH) == SCRATCH:
        return SCRATCH, SCRATCH
    return f"of {run.bundle.name}", str(run.bundle / "models" / WEIGHTS)


def _executed(plan: Plan, stages: Sequence[Stage], context: Context, workers: Workers, data: str) -> Plan:
    """Do the runs, stage by stage; return the plan with the runs that were found on the way."""
    total = sum(stage.count for stage in stages)
    with watching(total, total_seconds(plan), workers.count) as watch:
        for number, stage in enumerate(stages):
            others = [entry for place, entry in enumerate(plan["stages"]) if place != number]
            runs = checked_runs(stage, {run["name"] for entry in others for run in entry["runs"]})
            if stage.adaptive:
                before, plan = plan["stages"][number]["runs"], with_runs(plan, number, runs)
                _discard_others(before, plan["stages"][number]["runs"], context)
                keep_plan(plan, context)
            seconds = plan["stages"][number]["seconds"]
            execute(runs, math.nan if seconds is None else seconds, context, workers, data, watch)
    return plan


def _discard_others(before: Sequence[Mapping[str, Any]], now: Sequence[Mapping[str, Any]], context: Context) -> None:
    """Remove what was trained under the name of a run that is another now.

    A choice changes when trainings that had failed are there on resuming: what the earlier one came to would be taken
    for the result of this one.
    """
    earlier = {run["name"]: run["options"] for run in before}
    for run in now:
        folder = context.out / "runs" / run["name"]
        if earlier.get(run["name"], run["options"]) != run["options"] and folder.is_dir():
            print(f"Trained again, for another choice was made: {run['name']}", file=sys.stderr)
            shutil.rmtree(folder)
