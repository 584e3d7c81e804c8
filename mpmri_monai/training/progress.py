"""A bar that says where training is, for whoever sits at the terminal; elsewhere the log has a line an epoch."""

from __future__ import annotations

import logging
import sys

import ignite.distributed as idist
from ignite.engine import Engine, Events
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar


class Progress:
    """Handler that shows one bar over all iterations, with the epoch and the latest losses beside it."""

    def attach(self, engine: Engine) -> None:
        if idist.get_rank() > 0 or not sys.stderr.isatty():
            return
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._advance)
        for event in (Events.COMPLETED, Events.TERMINATE, Events.EXCEPTION_RAISED):
            engine.add_event_handler(event, self._stop)

    def _start(self, engine: Engine) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self.bar = Bar(*columns, console=Console(stderr=True))
        total = engine.state.max_epochs * engine.state.epoch_length
        self.task = self.bar.add_task("training", total=total, completed=engine.state.iteration)
        self.bar.start()
        self.quieted = [
            (handler, handler.level) for handler in logging.getLogger().handlers if _writes_on_terminal(handler)
        ]
        for handler, _ in self.quieted:
            handler.setLevel(logging.WARNING)

    def _advance(self, engine: Engine) -> None:
        text = f"epoch {engine.state.epoch} of {engine.state.max_epochs}"
        self.bar.update(self.task, completed=engine.state.iteration, description=text)

    def _stop(self, engine: Engine, error: BaseException | None = None) -> None:
        self.bar.stop()
        for handler, level in self.quieted:
            handler.setLevel(level)
        if error is not None:
            raise error


def _writes_on_terminal(handler: logging.Handler) -> bool:
    return isinstance(handler, logging.StreamHandler) and not isinstance(handler, logging.FileHandler)
