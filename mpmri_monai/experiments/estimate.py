"""How long an experiment will take: a few short runs are timed, the rest is multiplied and said to be an estimate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from mpmri_monai.artefacts import digest, read_json
from mpmri_monai.bundle.recipes import NETWORK_HEAD
from mpmri_monai.errors import MpmriError
from mpmri_monai.experiments.context import Context
from mpmri_monai.experiments.plan import Run, Stage
from mpmri_monai.experiments.worker import RunJob, time_run
from mpmri_monai.processes import Workers

SAME_TIME = {
    "max_epochs", "seed", "fusion", "pretrained", "embedding", "pooling", "levels", "dropout", "size_feature",
    "learning_rate", "weight_decay", "split#repeats", "split#repeat", "split#fold", "split#inner", "permutation",
}  # fmt: skip
"""Options that change what a run's epochs take so little that one timing serves all their values."""


def job_of(run: Run, context: Context, data: str) -> RunJob:
    """Return what a worker needs for ``run``; ``data`` is the digest of the samples store.

    What is asked is told to the bundles that it concerns: an autoencoder has no task.
    """
    folder = context.folder(run).resolve()
    asked = {key: value for key, value in context.asked.items() if key in training_config(run.bundle)}
    own = {key: context.located(value) for key, value in run.options.items()}
    place = {"manifest": str(context.manifest_of(run)), "output_dir": str(folder)}
    options = {**asked, **own, **context.common, **place}
    return RunJob(run.bundle.resolve(), folder, options, context.cache.resolve(), data)


def seconds_by_stage(stages: Sequence[Stage], context: Context, workers: Workers, data: str) -> list[float]:
    """Return the estimated seconds of one run of each stage; NaN where the short runs failed, as the runs will.

    Stages whose examples differ in nothing that takes time are timed once, all at the same time, as runs will be.

    Raises:
        MpmriError: why every example failed, as from options that no run can have; nothing is planned then.
    """
    examples = {_timed_by(stage.example): stage.example for stage in stages}
    place = context.out.resolve() / "timing"
    jobs = [replace(job_of(run, context, data), folder=place) for run in examples.values()]
    timed: dict[str, tuple[float, float]] = {}
    errors: list[BaseException] = []
    for outcome in workers.outcomes(time_run, jobs):
        timed[list(examples)[outcome.number]] = (float("nan"),) * 2 if outcome.error else outcome.get()
        errors += [outcome.error] if outcome.error else []
    if errors and len(errors) == len(jobs) and isinstance(errors[0], MpmriError):
        raise errors[0]
    found = []
    for stage in stages:
        start, epoch = timed[_timed_by(stage.example)]
        found.append(start + epochs_of(stage.example) * epoch)
    return found


def epochs_of(run: Run) -> int:
    """Return the epochs that ``run`` trains, its own or its bundle's; 1 where a classical head is fitted, once.

    The times of such runs differ by chance alone, which must not be taken for what epochs take.
    """
    if run.options.get("head", NETWORK_HEAD) != NETWORK_HEAD:
        return 1
    own = run.options.get("max_epochs")
    return int(training_config(run.bundle)["max_epochs"] if own is None else own)


@cache
def training_config(bundle: Path) -> dict[str, Any]:
    """Return a bundle's training configuration as it is written."""
    return read_json(bundle / "configs" / "train.json")


def _timed_by(run: Run) -> str:
    return digest([str(run.bundle), {key: value for key, value in run.options.items() if key not in SAME_TIME}])
