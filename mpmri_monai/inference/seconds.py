"""Where the time of an answer goes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Seconds:
    """Wall-clock seconds by step, in the order in which the steps were first begun.

    The time of a step within another one counts for the inner one alone, so that all add up to what a person waits.
    """

    def __init__(self) -> None:
        self.spent: dict[str, float] = {}
        self._within: list[str] = []

    @contextmanager
    def of(self, step: str) -> Iterator[None]:
        """Add the time that the block takes to ``step``."""
        self.spent.setdefault(step, 0.0)
        self._within.append(step)
        start = time.perf_counter()
        try:
            yield
        finally:
            taken = time.perf_counter() - start
            self._within.pop()
            self.spent[step] += taken
            if self._within:
                self.spent[self._within[-1]] -= taken

    def rounded(self) -> dict[str, float]:
        """Return the seconds by step as they are written."""
        return {step: round(seconds, 2) for step, seconds in self.spent.items()}

    def __str__(self) -> str:
        steps = ", ".join(f"{step} {seconds:.1f}" for step, seconds in self.spent.items())
        return f"{steps}; together {sum(self.spent.values()):.1f} s"
