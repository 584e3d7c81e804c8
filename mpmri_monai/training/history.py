"""The learning curves of a run: one row an epoch, kept in a file that a person can open."""

from __future__ import annotations

import csv
import io
import logging
import math
from collections.abc import Sequence
from pathlib import Path

import ignite.distributed as idist
import torch
from ignite.engine import Engine, Events
from monai.utils.enums import CommonKeys

from mpmri_monai.artefacts import write_text
from mpmri_monai.errors import ConfigError

COLUMNS = ("epoch", "train_loss", "train_accuracy", "val_loss", "val_accuracy", "val_macro_auc", "learning_rate")
"""Of a classifier."""
RECONSTRUCTION = ("epoch", "train_loss", "val_loss", "learning_rate")
"""Of a training without classes."""
ACCURACY = "train_accuracy"
Row = dict[str, float | None]

logger = logging.getLogger(__name__)


class History:
    """Handler that collects loss and, of a classifier, accuracy over each epoch, and the validator's metrics.

    The trainer attaches it, after the validation handler. In distributed training the rows are over the samples of all
    processes.

    Args:
        path: ``history.csv`` of the run folder.
        validator: evaluator with the metrics val_loss, val_accuracy and val_macro_auc; None without validation.
        columns: of the table: `COLUMNS`, or `RECONSTRUCTION` where there are no classes.
    """

    def __init__(self, path: Path | str, validator: Engine | None = None, columns: Sequence[str] = COLUMNS) -> None:
        self.path, self.validator, self.columns = Path(path), validator, tuple(columns)
        self.rows: list[Row] = []
        self._sums: torch.Tensor | None = None
        self._rate = math.nan

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.EPOCH_STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._add)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._finish)

    def column(self, name: str) -> list[float]:
        """Return one value an epoch; NaN where there is none."""
        return [math.nan if row.get(name) is None else float(row[name]) for row in self.rows]  # type: ignore[arg-type]

    def write(self) -> None:
        """Write all rows to ``path``."""
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        table.writerow(self.columns)
        for row in self.rows:
            table.writerow("" if row.get(name) is None else f"{row[name]:.10g}" for name in self.columns)
        write_text(self.path, text.getvalue())

    def _start(self, engine: Engine) -> None:
        self._sums = None
        self._rate = engine.optimizer.param_groups[0]["lr"]  # type: ignore[attr-defined]

    def _add(self, engine: Engine) -> None:
        """Sum on the device: reading a number back after every batch would make a GPU wait."""
        output, labels = engine.state.output[CommonKeys.PRED], engine.state.output[CommonKeys.LABEL]
        loss = engine.state.output[CommonKeys.LOSS].detach()
        count = torch.as_tensor(float(len(labels)), device=loss.device)
        classified = ACCURACY in self.columns
        right = (output.detach().argmax(dim=1) == labels).sum() if classified else torch.zeros_like(count)
        sums = torch.stack([loss.double() * count, right.double(), count.double()])
        self._sums = sums if self._sums is None else self._sums + sums

    def _finish(self, engine: Engine) -> None:
        loss, right, count = idist.all_reduce(self._sums).tolist()  # type: ignore[union-attr, arg-type]
        if not math.isfinite(loss):
            raise ConfigError(
                expected="a training loss that stays finite",
                found=f"{loss:g} in epoch {engine.state.epoch}",
                fix="lower --learning_rate, in another --output_dir",
                code="E_DIVERGED",
            )
        row: Row = dict.fromkeys(self.columns)
        row |= {"epoch": engine.state.epoch, "train_loss": loss / count, "learning_rate": self._rate}
        if ACCURACY in row:
            row[ACCURACY] = right / count
        validated = self.validator is not None and self.validator.state.epoch == engine.state.epoch
        metrics = self.validator.state.metrics if validated else {}  # type: ignore[union-attr]
        for name, value in metrics.items():
            if name in self.columns and math.isfinite(value):
                row[name] = float(value)
        self.rows.append(row)
        shown = ", ".join(f"{name} {row[name]:.4g}" for name in self.columns[1:] if row[name] is not None)
        logger.info("epoch %d of %d: %s", engine.state.epoch, engine.state.max_epochs, shown)


class EarlyStop:
    """Handler that ends training when the validation loss has not improved for ``patience`` epochs; 0 never does.

    It looks at nothing but the history, so that a resumed run stops where an uninterrupted one does.

    Raises:
        ConfigError: a negative patience.
    """

    def __init__(self, history: History, patience: int = 0) -> None:
        if patience < 0:
            raise ConfigError(expected="a patience of at least 1, or 0 for none", found=str(patience))
        self.history, self.patience = history, patience

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._look)

    def reached(self) -> bool:
        losses = self.history.column("val_loss")
        seen = [i for i, loss in enumerate(losses) if not math.isnan(loss)]
        if not self.patience or not seen:
            return False
        best = min(seen, key=lambda i: (losses[i], i))
        return len(losses) - 1 - best >= self.patience

    def _look(self, engine: Engine) -> None:
        if self.reached():
            logger.info("no better validation loss for %d epochs: training ends here", self.patience)
            engine.terminate()
