"""One run in a worker process: the bundle's own training workflow, with nothing left behind for the next run."""

from __future__ import annotations

import gc
import logging
import os
import shutil
import tempfile
import threading
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from monai.bundle import ConfigWorkflow

import mpmri_monai.bundle  # noqa: F401  what every bundle imports: a worker pays for it once
from mpmri_monai.artefacts import CACHE_VARIABLE, make_folder
from mpmri_monai.errors import MpmriError
from mpmri_monai.experiments.context import ERROR
from mpmri_monai.samples import stores_kept

LOG = "log.txt"
TIMED_EPOCHS = (1, 1, 3)
"""Epochs of the runs that are timed: the first warms up, the others differ by what epochs take."""
LONG_S = 60.0
"""A first run that takes longer is the only one that is timed: beside such an epoch nothing else takes long, and four
more of them would cost as much as a part of the experiment itself."""

_one_at_a_time = threading.Lock()
"""Seeds, threads and the log belong to the process: a Dask worker with several threads takes runs in turn."""


@dataclass(frozen=True)
class RunJob:
    """Everything that a worker needs for one run, here or on another machine that sees the same files.

    Attributes:
        bundle: the bundle's folder.
        folder: the run folder.
        options: overrides of the training configuration, complete.
        cache: the named cache.
        data: digest of the samples store, so that a worker opens it once as long as it stays as it is.
        configs: names of the bundle's configurations, the later merged over the earlier.
    """

    bundle: Path
    folder: Path
    options: Mapping[str, Any]
    cache: Path
    data: str
    configs: tuple[str, ...] = ("train",)


def execute_run(job: RunJob) -> float:
    """Train and score one run; what was finished of it before is not done again. Return the seconds it took.

    Raises:
        MpmriError: the run failed for a reason that a person can read; the log has the rest.
    """
    started = time.monotonic()
    with _one_at_a_time, _alone_in_process(job), stores_kept(job.data):
        try:
            _work(job)
        except Exception as error:
            traceback.print_exc()  # into the log
            raise _meant_for_people(error) from None
    return time.monotonic() - started


def time_run(job: RunJob) -> tuple[float, float]:
    """Return the seconds that a run like ``job`` takes beside its epochs, and the seconds of one epoch.

    Short variants of it are run in a folder of their own beside its place, which is removed. Where one epoch takes
    longer than `LONG_S` there is one of them, all of whose time counts as its epoch's.
    """
    make_folder(job.folder.parent)
    place = Path(tempfile.mkdtemp(prefix=".timing-", dir=job.folder.parent))
    try:
        seconds = []
        for number, epochs in enumerate(TIMED_EPOCHS):
            folder = place / str(number)
            options = {**job.options, "max_epochs": epochs, "output_dir": str(folder)}
            seconds.append(execute_run(replace(job, folder=folder, options=options)))
            if seconds[0] > LONG_S:
                return 0.0, seconds[0]
    finally:
        shutil.rmtree(place, ignore_errors=True)
    epoch = max((seconds[2] - seconds[1]) / (TIMED_EPOCHS[2] - TIMED_EPOCHS[1]), 0.0)
    return max(seconds[1] - TIMED_EPOCHS[1] * epoch, 0.0), epoch


def _work(job: RunJob) -> None:
    configs = job.bundle / "configs"
    workflow = ConfigWorkflow(
        config_file=[str(configs / f"{name}.json") for name in job.configs],
        meta_file=str(configs / "metadata.json"),
        logging_file=False,
        workflow_type="train",
        **job.options,
    )
    workflow.initialize()
    workflow.run()
    workflow.finalize()


@contextmanager
def _alone_in_process(job: RunJob) -> Iterator[None]:
    """Send what is printed and logged to the run's log, and give back what a run may have left in the process."""
    _settle()
    make_folder(job.folder)
    (job.folder / ERROR).unlink(missing_ok=True)
    cache, root = os.environ.get(CACHE_VARIABLE), logging.getLogger()
    handlers, level = list(root.handlers), root.level
    os.environ[CACHE_VARIABLE] = str(job.cache)
    root.setLevel(logging.INFO)
    logging.getLogger("ignite").setLevel(logging.WARNING)
    logging.getLogger(ConfigWorkflow.__module__).setLevel(logging.ERROR)  # warns of the logging file that is not wanted
    with (job.folder / LOG).open("a", encoding="utf-8", buffering=1) as log, redirect_stdout(log), redirect_stderr(log):
        try:
            yield
        finally:
            for handler in [handler for handler in root.handlers if handler not in handlers]:
                root.removeHandler(handler)
                handler.close()
            root.setLevel(level)
            os.environ.pop(CACHE_VARIABLE) if cache is None else os.environ.update({CACHE_VARIABLE: cache})
            gc.collect()  # a workflow and its parts refer to each other


@cache
def _settle() -> None:
    """Keep what was imported out of every later search for garbage, which takes a quarter of a second otherwise."""
    gc.collect()
    gc.freeze()


def _meant_for_people(error: Exception) -> Exception:
    """Return the MpmriError behind ``error``, wherever MONAI wrapped it, or ``error`` when there is none."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, MpmriError):
            return seen
        seen = seen.__cause__ or seen.__context__
    return error
