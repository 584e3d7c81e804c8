"""Work spread over processes: the same results as in one, in the same order."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context, parent_process
from multiprocessing.process import BaseProcess
from typing import TypeVar

from rich.console import Console
from rich.progress import track

from mpmri_monai.errors import MpmriError

Job = TypeVar("Job")
Result = TypeVar("Result")


class WorkerError(MpmriError):
    """A worker process was ended from outside."""


def in_processes(
    function: Callable[[Job], Result], jobs: Sequence[Job], workers: int, description: str | None = None
) -> Iterator[Result]:
    """Yield ``function(job)`` in the order of ``jobs``.

    Args:
        function: at the top level of a module, so that it can be sent to a process.
        jobs: what to do; each can be sent to a process.
        workers: processes; up to 1 works in this one.
        description: shown beside a progress bar; no bar without.

    Raises:
        WorkerError: a process was ended, most often for lack of memory.
        Exception: whatever ``function`` raises first; what has not begun by then is left undone.
    """
    if min(workers, len(jobs)) <= 1:
        yield from _shown(map(function, jobs), len(jobs), description)
        return
    context = get_context("forkserver")  # fork would copy the locks of running threads, spawn imports once a worker
    context.set_forkserver_preload([function.__module__])
    try:
        with ProcessPoolExecutor(min(workers, len(jobs)), mp_context=context, initializer=_end_with_parent) as pool:
            yield from _shown(pool.map(function, jobs), len(jobs), description)
    except BrokenProcessPool as error:
        raise WorkerError(
            expected="worker processes that run to their end",
            found="one that was ended: most often for lack of memory, or started by a script that does not guard its "
            "main part",
            fix="use fewer workers (0 for none; what is finished is kept), or put the script's calls under "
            "`if __name__ == '__main__':`",
        ) from error


def _shown(results: Iterable[Result], total: int, description: str | None) -> Iterable[Result]:
    return results if description is None else track(results, description, total, console=Console(stderr=True))


def _end_with_parent() -> None:
    """End this worker when the main process is killed; its queue alone would keep it waiting for ever."""
    parent = parent_process()
    if parent is not None:
        threading.Thread(target=_end_after, args=(parent,), daemon=True).start()


def _end_after(process: BaseProcess) -> None:
    process.join()
    os._exit(1)
