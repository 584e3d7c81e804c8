"""Workers on a Dask cluster: each job is sent to a process, here or elsewhere, that sees the same files.

Start it with ``dask scheduler`` and, on each machine, ``dask worker tcp://HOST:8786 --nworkers N --nthreads 1``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType

from mpmri_monai.errors import ConfigError
from mpmri_monai.processes import Job, Outcome, Result, WorkerError

CONNECT_SECONDS = 20
"""How long to wait for the scheduler to answer, and then for its first worker."""
ADDRESS = re.compile(r"(?:(?:tcp|tls|ws|wss|ucx)://)?(?:\[[0-9A-Fa-f:.]+\]|[^\s:/]+):[0-9]+")


class DaskWorkers:
    """The workers of a Dask scheduler.

    One that is killed costs its jobs in flight, which Dask gives to others, and results that it had not handed over:
    a job that is finished should be cheap to do again.

    Args:
        scheduler: its address, such as ``tcp://host:8786``.

    Raises:
        WorkerError: it cannot be reached, or has no worker.
        ConfigError: Dask is not installed, or this is no address.
    """

    def __init__(self, scheduler: str) -> None:
        try:
            from distributed import Client
        except ImportError as error:
            raise ConfigError(
                expected="Dask, for --scheduler",
                found="no package distributed",
                fix="pip install 'mpmri_monai[cluster]'",
                code="E_OPTION",
            ) from error
        if not ADDRESS.fullmatch(scheduler):
            raise ConfigError(
                expected="the address of a Dask scheduler, such as tcp://HOST:8786",
                found=repr(scheduler),
                code="E_OPTION",
            )
        try:
            self._client = Client(scheduler, timeout=CONNECT_SECONDS, set_as_default=False)
        except (OSError, ValueError, TimeoutError) as error:
            raise WorkerError(
                expected="a Dask scheduler",
                found=f"none that answers at {scheduler}",
                fix="start one with `dask scheduler`, and workers with `dask worker ADDRESS --nthreads 1`",
                code="E_SCHEDULER",
            ) from error
        try:
            self._client.wait_for_workers(1, timeout=CONNECT_SECONDS)
        except TimeoutError as error:
            self._client.close()
            raise WorkerError(
                expected="a Dask scheduler with workers",
                found=f"none at {scheduler}",
                fix=f"start them with `dask worker {scheduler} --nworkers N --nthreads 1`",
                code="E_SCHEDULER",
            ) from error

    @property
    def count(self) -> int:
        return max(len(self._client.scheduler_info(n_workers=-1)["workers"]), 1)

    def __enter__(self) -> DaskWorkers:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._client.close()

    def outcomes(self, function: Callable[[Job], Result], jobs: Sequence[Job]) -> Iterator[Outcome[Result]]:
        from distributed import as_completed

        futures = {self._client.submit(function, job, pure=False): number for number, job in enumerate(jobs)}
        try:
            for future in as_completed(list(futures), loop=self._client.loop):
                yield self._outcome(futures.pop(future), future)
        finally:
            self._client.cancel(list(futures))  # what a worker has begun it ends; nobody waits for it

    def _outcome(self, number: int, future) -> Outcome:
        from distributed import KilledWorker

        if future.status == "finished":
            return Outcome(number, future.result())
        error = future.exception() if future.status == "error" else None
        if error is None:
            raise WorkerError(
                expected="a Dask scheduler that stays",
                found="a job that it has lost: it was ended or restarted",
                fix="run the same command again: what is finished is kept",
                code="E_SCHEDULER",
            )
        if isinstance(error, KilledWorker):
            error = WorkerError(
                expected="Dask workers that run to their end",
                found="a job whose workers were ended again and again: most often for lack of memory",
                fix="give each worker more memory (dask worker --memory-limit)",
                code="E_WORKER",
            )
        return Outcome(number, error=error)
