"""The runs of an experiment, done by workers: what is finished is left as it is, what fails is reported."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing

from mpmri_monai.artefacts import write_json
from mpmri_monai.errors import MpmriError
from mpmri_monai.experiments.context import ERROR, Context
from mpmri_monai.experiments.estimate import job_of
from mpmri_monai.experiments.plan import Run
from mpmri_monai.experiments.progress import Watch
from mpmri_monai.experiments.worker import execute_run
from mpmri_monai.processes import Workers


def execute(runs: Sequence[Run], seconds: float, context: Context, workers: Workers, data: str, watch: Watch) -> None:
    """Do the runs that are not finished. One that fails leaves ``error.json`` in its folder; the others go on.

    Args:
        runs: of one stage.
        seconds: the estimate for one of them.
        context: of the experiment; the run folders lie in its ``out``.
        workers: who does them.
        data: digest of the samples store.
        watch: told of each run as it ends.
    """
    todo = []
    for run in runs:
        if context.finished(run):
            watch.ended(run, seconds, 0.0)
        else:
            todo.append(run)
    with closing(workers.outcomes(execute_run, [job_of(run, context, data) for run in todo])) as outcomes:  # type: ignore[type-var]
        for outcome in outcomes:
            run = todo[outcome.number]
            if outcome.error is not None:
                write_json(context.folder(run) / ERROR, {"run": run.name, "error": _words(outcome.error)})
            watch.ended(run, seconds, outcome.result)


def _words(error: BaseException) -> str:
    """Return what a person is told; a programming error is named by its kind, its text stays in the run's log."""
    return str(error) if isinstance(error, MpmriError) else f"{type(error).__name__}: see log.txt of the run"
