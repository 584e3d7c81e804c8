"""How far an experiment is, and how long it will still take: a bar at a terminal, a line a run elsewhere."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from mpmri_monai.experiments.plan import Run


class Watch:
    """Is told of each run that ends.

    Time left is what the estimate says of the rest, corrected by how the runs so far kept to it.

    Args:
        progress: the bar.
        total: number of runs.
        seconds: the estimate for all of them, one after the other; NaN where there is none.
        workers: how many are done at the same time.
    """

    def __init__(self, progress: Progress, total: int, seconds: float, workers: int) -> None:
        self.progress, self.total, self.workers = progress, total, workers
        self.left = seconds
        self.expected = self.taken = 0.0
        self.done = self.failed = 0
        self.task = progress.add_task("runs", total=total, left="")

    def ended(self, run: Run, expected: float, taken: float | None) -> None:
        """Show that a run that was to take ``expected`` seconds took ``taken``: 0 if it was done before, None if it
        failed."""
        self.done += 1
        self.failed += taken is None
        self.left -= expected
        if taken and not math.isnan(expected):
            self.expected, self.taken = self.expected + expected, self.taken + taken
        ratio = self.taken / self.expected if self.expected else 1.0
        seconds = max(self.left, 0.0) * ratio / self.workers
        left = "time left unknown" if math.isnan(seconds) else f"about {in_words(seconds)} left"
        title = f"runs, {self.failed} failed" if self.failed else "runs"
        self.progress.update(self.task, advance=1, left=left, description=title)
        if self.progress.disable and taken != 0.0:
            how = "failed" if taken is None else in_words(taken)
            print(f"{time.strftime('%H:%M:%S')} {self.done}/{self.total} {run.name}: {how}; {left}", file=sys.stderr)


@contextmanager
def watching(total: int, seconds: float, workers: int) -> Iterator[Watch]:
    """Yield a `Watch` and show what it is told; see there for the arguments."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[left]}"))
    console = Console(file=sys.stderr)
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        yield Watch(progress, total, seconds, workers)


def in_words(seconds: float) -> str:
    """Return a duration as a person says it: ``40 s``, ``12 min``, ``3 h 20 min``."""
    if math.isnan(seconds):
        return "an unknown time"
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
