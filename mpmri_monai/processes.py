"""Work spread over processes, here or on a Dask cluster: the same results as in one, whatever happens to a process."""

from __future__ import annotations

import os
import pickle
import signal
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, suppress
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from types import TracebackType
from typing import Any, Generic, Protocol, TypeVar

from rich.console import Console
from rich.progress import track

from mpmri_monai.errors import MpmriError

Job = TypeVar("Job")
Result = TypeVar("Result")

RETRIES = 2
"""How often a job is tried again whose process was ended from outside: once may be chance, three times is the job."""
SECONDS_TO_END = 5
"""What a process gets to remove its half-written files before it is killed."""


class WorkerError(MpmriError):
    """A worker process was ended from outside, or the cluster cannot be reached."""


@dataclass(frozen=True)
class Outcome(Generic[Result]):
    """What came of one job: its result, or the error that it raised or that ended its process."""

    number: int
    """Place of the job among the jobs."""
    result: Result | None = None
    error: BaseException | None = None

    def get(self) -> Result:
        """Return the result, or raise the error."""
        if self.error is not None:
            raise self.error
        return self.result  # type: ignore[return-value]


class Workers(Protocol):
    """Processes that take jobs; they stay, with all that they have imported and opened, until the block ends."""

    @property
    def count(self) -> int:
        """How many jobs are done at the same time."""

    def outcomes(self, function: Callable[[Job], Result], jobs: Sequence[Job]) -> Iterator[Outcome[Result]]:
        """Yield what comes of each job, as it comes.

        Args:
            function: at the top level of a module, so that it can be sent to a process.
            jobs: what to do; each can be sent to a process. One whose process is killed is tried again.
        """


def open_workers(
    count: int, scheduler: str | None = None, preload: Sequence[str] = ()
) -> AbstractContextManager[Workers]:
    """Return workers for a ``with`` block.

    Args:
        count: local processes; 0 works in this one.
        scheduler: address of a Dask scheduler, such as ``tcp://host:8786``, whose workers take the jobs instead.
        preload: modules that local processes find imported.

    Raises:
        WorkerError: the scheduler cannot be reached.
        ConfigError: Dask is not installed.
    """
    if scheduler is not None:
        from mpmri_monai.cluster import DaskWorkers

        return DaskWorkers(scheduler)
    return LocalWorkers(count, preload) if count else ThisProcess()


def in_processes(
    function: Callable[[Job], Result],
    jobs: Sequence[Job],
    workers: int,
    description: str | None = None,
    scheduler: str | None = None,
) -> Iterator[Result]:
    """Yield ``function(job)`` in the order of ``jobs``.

    Args:
        function: at the top level of a module, so that it can be sent to a process.
        jobs: what to do; each can be sent to a process.
        workers: processes; up to 1 works in this one.
        description: shown beside a progress bar; no bar without.
        scheduler: address of a Dask scheduler whose workers take the jobs instead.

    Raises:
        WorkerError: a process was ended, again and again, most often for lack of memory.
        Exception: whatever ``function`` raises first; what has not begun by then is left undone.
    """
    if not jobs:
        return
    count = min(workers, len(jobs))
    with open_workers(count if count > 1 else 0, scheduler, [function.__module__]) as opened:
        ended: dict[int, Result] = {}
        next_number = 0
        with closing(opened.outcomes(function, jobs)) as outcomes:  # type: ignore[type-var]
            for outcome in _shown(outcomes, len(jobs), description):
                ended[outcome.number] = outcome.get()
                while next_number in ended:
                    yield ended.pop(next_number)
                    next_number += 1


class ThisProcess:
    """No process but this one."""

    count = 1

    def __enter__(self) -> ThisProcess:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        pass

    def outcomes(self, function: Callable[[Job], Result], jobs: Sequence[Job]) -> Iterator[Outcome[Result]]:
        for number, job in enumerate(jobs):
            try:
                outcome = Outcome(number, function(job))
            except Exception as error:
                outcome = Outcome(number, error=error)
            yield outcome


class LocalWorkers:
    """Processes on this machine. One that is killed costs the job it had, which is tried again in a new one.

    Args:
        count: of the processes.
        preload: modules that they find imported.
    """

    def __init__(self, count: int, preload: Sequence[str] = ()) -> None:
        # fork would copy the locks of running threads, spawn imports once a worker
        self._context: Any = get_context("forkserver")
        self._context.set_forkserver_preload(list(preload))
        self.count = count
        self._workers: list[_Worker] = []

    def __enter__(self) -> LocalWorkers:
        self._workers = [_Worker(self._context) for _ in range(self.count)]
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for worker in self._workers:
            worker.process.terminate()
        for worker in self._workers:
            worker.end()

    def outcomes(self, function: Callable[[Job], Result], jobs: Sequence[Job]) -> Iterator[Outcome[Result]]:
        waiting = deque(range(len(jobs)))
        tries = [0] * len(jobs)
        busy: dict[_Worker, int] = {}
        ended: list[Outcome[Result]] = []
        try:
            while waiting or busy or ended:
                for worker in self._workers:
                    if waiting and worker not in busy:
                        number = waiting.popleft()
                        tries[number] += 1
                        worker.take(function, jobs[number])
                        busy[worker] = number
                yield from ended  # when all have work again, for whoever listens may take time
                ended = []
                for connection in wait([worker.connection for worker in busy]) if busy else ():
                    worker = next(worker for worker in busy if worker.connection is connection)
                    number = busy.pop(worker)
                    answer = worker.answer()
                    if answer is not None:
                        ended.append(Outcome(number, *answer))
                        continue
                    self._replace(worker)
                    if tries[number] <= RETRIES:
                        waiting.appendleft(number)
                    else:
                        ended.append(Outcome(number, error=_ended_again_and_again()))
        finally:  # whoever stops listening leaves no process at work
            for worker in busy:
                worker.process.terminate()
                self._replace(worker)

    def _replace(self, worker: _Worker) -> None:
        worker.end()
        self._workers[self._workers.index(worker)] = _Worker(self._context)


class _Worker:
    """One process and the pipe to it."""

    def __init__(self, context: Any) -> None:
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs,), daemon=True)
        self.process.start()
        theirs.close()

    def take(self, function: Callable[[Job], Any], job: Job) -> None:
        with suppress(BrokenPipeError, ConnectionResetError):  # killed while idle: the answer tells
            self.connection.send((function, job))

    def answer(self) -> tuple[Any, BaseException | None] | None:
        """Return the result and the error of the job, or None when the process has ended."""
        try:
            return self.connection.recv()
        except (EOFError, ConnectionResetError):
            return None

    def end(self) -> None:
        self.connection.close()
        self.process.join(SECONDS_TO_END)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()


def _serve(connection: Connection) -> None:
    """Do one job after another until there is nobody left to work for."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the main process decides what an interrupt ends
    signal.signal(signal.SIGTERM, _leave)
    parent = parent_process()
    if parent is not None:
        threading.Thread(target=_end_after, args=(parent,), daemon=True).start()
    while True:
        try:
            function, job = connection.recv()
        except EOFError:
            return
        answer: tuple[Any, BaseException | None]
        try:
            answer = function(job), None
        except Exception as error:
            answer = None, _portable(error)
        try:
            connection.send(answer)
        except BrokenPipeError:
            return


def _portable(error: Exception) -> Exception:
    """Return ``error`` with where it came from, or its words alone when it cannot cross to another process."""
    error.add_note(traceback.format_exc())
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # an exception may define how it is pickled as it likes
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


def _leave(number: int, frame: object) -> None:
    """End as if by an error, so that half-written files go too."""
    sys.exit(128 + number)


def _end_after(process: BaseProcess) -> None:
    """End this worker when the main process is killed, whatever it is doing."""
    process.join()
    os._exit(1)


def _ended_again_and_again() -> WorkerError:
    return WorkerError(
        expected="worker processes that run to their end",
        found=f"a job whose process was ended {RETRIES + 1} times: most often for lack of memory, or started by a "
        "script that does not guard its main part",
        fix="use fewer workers (0 for none; what is finished is kept), or put the script's calls under "
        "`if __name__ == '__main__':`",
        code="E_WORKER",
    )


def _shown(results: Iterable[Result], total: int, description: str | None) -> Iterable[Result]:
    return results if description is None else track(results, description, total, console=Console(stderr=True))
