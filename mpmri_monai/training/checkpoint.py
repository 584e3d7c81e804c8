"""A run that may be killed at any moment: its state after each epoch, whole on disk, and the way back into it."""

from __future__ import annotations

import io
import logging
import math
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import torch
from ignite.engine import Engine, Events
from torch import nn

from mpmri_monai.artefacts import whole_file
from mpmri_monai.errors import ConfigError, WeightsError
from mpmri_monai.networks import save_weights
from mpmri_monai.training.history import History
from mpmri_monai.training.metrics import larger_unless_nan

LARGER_IS_BETTER = ("val_macro_auc", "val_accuracy")
"""Columns of the learning curves by which the best epoch may be chosen."""

logger = logging.getLogger(__name__)


class Checkpoint:
    """Handler that saves network, optimiser, schedule and learning curves after every epoch, and restores them.

    All that is random depends on the seed and the epoch, so nothing else is needed to go on with the same numbers.

    Args:
        folder: the run folder; holds ``checkpoint.pt`` and, with ``keep_best``, ``best.pt``.
        network, optimizer, lr_scheduler: what is saved and restored.
        history: the learning curves; also tells which epoch was best.
        keep_best: keep the weights of the epoch that did best in validation. Only for validation sets large enough for
            that choice to be more than noise.
        best_by: column of the learning curves that says which epoch was best; the first one of equals counts.

    Raises:
        ConfigError: the learning curves have no such column of validation, or it gets better as it gets smaller.
    """

    def __init__(
        self,
        folder: Path | str,
        network: nn.Module,
        optimizer: torch.optim.Optimizer,
        lr_scheduler: torch.optim.lr_scheduler.LRScheduler,
        history: History,
        keep_best: bool = False,
        best_by: str = "val_macro_auc",
    ) -> None:
        if best_by not in LARGER_IS_BETTER:
            raise ConfigError(expected=f"a column among {', '.join(LARGER_IS_BETTER)}", found=repr(best_by))
        self.folder = Path(folder)
        self.network, self.optimizer, self.lr_scheduler = network, optimizer, lr_scheduler
        self.history, self.keep_best, self.best_by = history, keep_best, best_by

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._save)

    @property
    def path(self) -> Path:
        return self.folder / "checkpoint.pt"

    def resume(self, engine: Engine) -> None:
        """Bring ``engine`` and everything saved to the state after the last whole epoch, if there is one.

        Raises:
            WeightsError: the checkpoint cannot be read, or belongs to another network.
        """
        if not self.path.is_file():
            return
        try:
            state = torch.load(self.path, map_location="cpu", weights_only=True)
            self._plain_network().load_state_dict(state["network"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.lr_scheduler.load_state_dict(state["lr_scheduler"])
        except Exception as error:  # whatever torch raises, the answer for the user is the same
            raise WeightsError(
                expected="a checkpoint of this run",
                found="one that cannot be read or belongs to another network",
                where=self.path.name,
                fix="choose another output_dir to start afresh",
                code="E_CHECKPOINT",
            ) from error
        self.history.rows = state["history"]
        engine.state.epoch = int(state["epoch"])
        engine.state.iteration = engine.state.epoch * engine.state.epoch_length
        if idist.get_rank() == 0:
            self.history.write()  # a run killed between its checkpoint and its curves lacks their last row
            logger.info("resuming after epoch %d", engine.state.epoch)

    def finish(self) -> int:
        """Leave the run's weights in ``model.pt`` and in the network; return the epoch they come from."""
        idist.barrier()  # the first process may still be writing the best weights that the others read
        epoch = self._best_epoch() if self.keep_best else 0
        if epoch:
            state = torch.load(self.folder / "best.pt", map_location="cpu", weights_only=True)
            self._plain_network().load_state_dict(state)
        if idist.get_rank() == 0:
            save_weights(self.network, self.folder / "model.pt")
        return epoch or len(self.history.rows)

    def _save(self, engine: Engine) -> None:
        if idist.get_rank() > 0:
            return
        if self.keep_best and self._best_epoch() == engine.state.epoch:
            save_weights(self.network, self.folder / "best.pt")
        state: dict[str, Any] = {
            "network": self._plain_network().state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "lr_scheduler": self.lr_scheduler.state_dict(),
            "history": self.history.rows,
            "epoch": engine.state.epoch,
        }
        content = io.BytesIO()  # torch turns a full disk into a RuntimeError
        torch.save(state, content)
        with whole_file(self.path) as part:
            part.write_bytes(content.getbuffer())
        self.history.write()

    def _best_epoch(self) -> int:
        best, value = 0, math.nan
        for epoch, current in enumerate(self.history.column(self.best_by), start=1):
            if larger_unless_nan(current, value):
                best, value = epoch, current
        return best

    def _plain_network(self) -> nn.Module:
        return getattr(self.network, "module", self.network)
