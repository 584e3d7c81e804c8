"""MONAI's supervised trainer, with epochs that depend on the seed alone and a way to go on after a stop."""

from __future__ import annotations

import logging
from typing import Any

import ignite.distributed as idist
import torch
from ignite.engine import Events
from monai.engines import SupervisedTrainer

from mpmri_monai.errors import ConfigError
from mpmri_monai.training.checkpoint import Checkpoint
from mpmri_monai.training.determinism import seed_for
from mpmri_monai.training.history import EarlyStop
from mpmri_monai.training.loader import TrainingLoader, prepare_batch
from mpmri_monai.training.memory import keep_memory

logger = logging.getLogger(__name__)


class Trainer(SupervisedTrainer):
    """SupervisedTrainer over a TrainingLoader that resumes from a checkpoint when there is one.

    Args:
        train_data_loader: gives the batches; its epoch is kept in step with the engine's.
        checkpoint: where the run's state and its learning curves are kept; attached after all other handlers.
        early_stop: when to end before ``max_epochs``.
        seed: with the epoch and the process, seeds what the network draws itself (dropout).
        train_handlers: other handlers, in the order in which they act.
        **options: of SupervisedTrainer.

    Raises:
        ConfigError: there is no epoch to train (untrained weights are never a result), or none between validations.
    """

    def __init__(
        self,
        train_data_loader: TrainingLoader,
        checkpoint: Checkpoint,
        early_stop: EarlyStop | None = None,
        seed: int = 0,
        train_handlers: list[Any] | None = None,
        **options: Any,
    ) -> None:
        if options.get("max_epochs", 1) < 1:
            raise ConfigError(expected="max_epochs of at least 1", found=str(options["max_epochs"]))
        if any(getattr(handler, "interval", 1) < 1 for handler in train_handlers or []):
            raise ConfigError(expected="a val_interval of at least 1", found="less")
        options = {"prepare_batch": prepare_batch, "decollate": False, "optim_set_to_none": True} | options
        last = [checkpoint.history, checkpoint] + ([early_stop] if early_stop else [])
        super().__init__(
            train_data_loader=train_data_loader,
            train_handlers=[handler for handler in (train_handlers or []) if handler is not None] + last,
            **options,
        )
        self.checkpoint, self.early_stop, self.seed = checkpoint, early_stop, seed
        self.add_event_handler(Events.EPOCH_STARTED, self._seed_epoch)

    def run(self) -> None:  # type: ignore[override]
        """Train up to ``max_epochs``; a run that was stopped goes on, one that is complete does nothing."""
        if self.state.iteration == 0:
            self.checkpoint.resume(self)
        if self.state.epoch >= self.state.max_epochs or (self.early_stop and self.early_stop.reached()):
            return
        keep_memory()
        super().run()

    def _seed_epoch(self) -> None:
        self.data_loader.epoch = self.state.epoch
        torch.manual_seed(seed_for(self.seed, self.state.epoch, idist.get_rank()))
