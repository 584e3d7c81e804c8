"""The engine as a whole: learning, resuming, stopping early, choosing an epoch."""

import errno
import functools
import math
from pathlib import Path

import ignite
import numpy as np
import pytest
import torch
from ignite.engine import Events
from monai.engines import SupervisedEvaluator
from monai.handlers import LrScheduleHandler, ValidationHandler, from_engine

from mpmri_monai.errors import ConfigError, OutputError, WeightsError
from mpmri_monai.networks import SPPResNet
from mpmri_monai.training import (
    Checkpoint,
    EarlyStop,
    EvaluationLoader,
    History,
    MacroAUC,
    SampleDataset,
    Trainer,
    TrainingLoader,
    pin_threads,
    predict,
    prepare_batch,
    seed_everything,
)
from mpmri_monai.transforms.batch import Views


class Killed(Exception):
    pass


@pytest.fixture
def build(make_samples):
    return functools.partial(build_trainer, make_samples)


def build_trainer(
    make_samples, folder, *, epochs=3, keep_best=False, patience=0, signal=1.0, dropout=0.2, views=1, interval=1
):
    seed_everything(0)
    network = SPPResNet(embedding=8, dropout=dropout)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 2, 0.1)
    output = from_engine(["pred", "label"])
    evaluator = SupervisedEvaluator(
        device="cpu",
        val_data_loader=EvaluationLoader(SampleDataset(make_samples(12, seed=1, signal=signal))),
        network=network,
        prepare_batch=prepare_batch,
        key_val_metric={"val_macro_auc": MacroAUC()},
        additional_metrics={"val_loss": ignite.metrics.Loss(torch.nn.CrossEntropyLoss(), output_transform=output)},
        decollate=False,
    )
    history = History(folder / "history.csv", evaluator)
    checkpoint = Checkpoint(folder, network, optimizer, scheduler, history, keep_best)
    trainer = Trainer(
        max_epochs=epochs,
        device="cpu",
        train_data_loader=TrainingLoader(SampleDataset(make_samples(signal=signal)), 16, Views(views)),
        network=network,
        optimizer=optimizer,
        loss_function=torch.nn.CrossEntropyLoss(),
        train_handlers=[ValidationHandler(interval, evaluator), LrScheduleHandler(scheduler, print_lr=False)],
        checkpoint=checkpoint,
        early_stop=EarlyStop(history, patience),
    )
    return trainer


def weights(trainer):
    return {name: tensor.clone() for name, tensor in trainer.network.state_dict().items()}


def test_it_learns_what_there_is_to_learn(build, make_samples, tmp_path):
    trainer = build(tmp_path, epochs=8, views=6)
    trainer.run()
    loss = trainer.checkpoint.history.column("train_loss")
    assert loss[-1] < 0.7 * loss[0]
    probabilities = predict(trainer.network, make_samples(30, seed=2), "cpu")
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    assert (probabilities.argmax(axis=1) == make_samples(30, seed=2).label).mean() > 0.6


@pytest.mark.parametrize("moment", ["in the second epoch", "while the second checkpoint is written"])
def test_killed_and_resumed_equals_uninterrupted(build, tmp_path, moment, monkeypatch):
    whole = build(tmp_path / "whole")
    (tmp_path / "whole").mkdir()
    whole.run()

    (tmp_path / "killed").mkdir()
    killed = build(tmp_path / "killed")

    def kill(*_):
        raise Killed

    if moment == "in the second epoch":
        killed.add_event_handler(Events.ITERATION_COMPLETED(once=len(killed.data_loader) + 1), kill)
    else:
        killed.add_event_handler(
            Events.ITERATION_COMPLETED(once=2 * len(killed.data_loader)),
            lambda: monkeypatch.setattr(torch, "save", kill),
        )
    with pytest.raises(Killed):
        killed.run()
    monkeypatch.undo()
    resumed = build(tmp_path / "killed")
    resumed.run()

    assert (tmp_path / "killed/history.csv").read_bytes() == (tmp_path / "whole/history.csv").read_bytes()
    for name, tensor in weights(whole).items():
        assert torch.equal(tensor, weights(resumed)[name]), name


def test_killed_between_the_last_checkpoint_and_its_curves(build, tmp_path):
    trainer = build(tmp_path)
    trainer.run()
    whole = (tmp_path / "history.csv").read_bytes()
    (tmp_path / "history.csv").unlink()
    build(tmp_path).run()
    assert (tmp_path / "history.csv").read_bytes() == whole


def test_learning_curves_are_over_the_samples_of_all_processes(build, tmp_path, monkeypatch):
    """Another process that gets as many samples, all wrong, halves the accuracy."""
    alone = build(tmp_path / "alone", epochs=1)
    alone.run()
    other = torch.tensor([0.0, 0.0, len(alone.data_loader.dataset)], dtype=torch.float64)
    monkeypatch.setattr("mpmri_monai.training.history.idist.all_reduce", lambda sums: sums + other)
    together = build(tmp_path / "together", epochs=1)
    together.run()
    of_one, of_both = (trainer.checkpoint.history.column("train_accuracy")[0] for trainer in (alone, together))
    assert of_both == pytest.approx(of_one / 2)


def test_a_full_disk_is_told_in_words_and_leaves_no_half_checkpoint(build, tmp_path, monkeypatch):
    def full(self, content):
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OutputError, match="full disk"):
        build(tmp_path).run()
    assert list(tmp_path.iterdir()) == []


def test_a_loss_that_is_no_number_ends_training_before_it_is_saved(build, tmp_path):
    trainer = build(tmp_path)
    trainer.network.classifier.bias.data.fill_(math.nan)
    with pytest.raises(ConfigError, match="E_DIVERGED"):
        trainer.run()
    assert not (tmp_path / "checkpoint.pt").exists()


@pytest.mark.parametrize("epochs", [0, -1])
def test_untrained_weights_are_never_a_result(build, tmp_path, epochs):
    with pytest.raises(ConfigError, match="max_epochs"):
        build(tmp_path, epochs=epochs)


@pytest.mark.parametrize("option", [{"interval": 0}, {"interval": -1}, {"patience": -1}])
def test_counts_of_epochs_that_mean_nothing_are_refused(build, tmp_path, option):
    with pytest.raises(ConfigError, match="of at least 1"):
        build(tmp_path, **option)


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_seeds_out_of_range_are_refused(seed):
    with pytest.raises(ConfigError, match="seed"):
        seed_everything(seed)


def test_no_thread_is_refused():
    with pytest.raises(ConfigError, match="thread"):
        pin_threads(0)


def test_a_complete_run_is_not_trained_again(build, tmp_path):
    first = build(tmp_path)
    first.run()
    again = build(tmp_path)
    again.add_event_handler(Events.ITERATION_COMPLETED, lambda: pytest.fail("trained again"))
    again.run()
    assert all(torch.equal(tensor, weights(again)[name]) for name, tensor in weights(first).items())


def test_a_damaged_checkpoint_is_refused(build, tmp_path):
    (tmp_path / "checkpoint.pt").write_bytes(b"damaged")
    with pytest.raises(WeightsError, match="another output_dir"):
        build(tmp_path).run()


def test_early_stop_holds_when_resumed(build, tmp_path):
    trainer = build(tmp_path, epochs=50, patience=1, signal=0.0)
    trainer.run()
    epochs = trainer.state.epoch
    assert epochs < 50
    again = build(tmp_path, epochs=50, patience=1, signal=0.0)
    again.run()
    assert again.state.epoch == epochs


def test_the_best_epoch_counts_only_when_asked(build, tmp_path):
    for keep_best in (False, True):
        folder = tmp_path / str(keep_best)
        folder.mkdir()
        trainer = build(folder, epochs=4, keep_best=keep_best, signal=0.3)
        trainer.run()
        scores = trainer.checkpoint.history.column("val_macro_auc")
        chosen = trainer.checkpoint.finish()
        assert chosen == (int(np.argmax(scores)) + 1 if keep_best else 4)
        assert (folder / "model.pt").is_file()


def test_an_undefined_metric_is_never_best(build, tmp_path):
    trainer = build(tmp_path, keep_best=True)
    trainer.checkpoint.history.rows = [{"val_macro_auc": value} for value in (None, 0.5, None, 0.7, 0.6)]
    assert trainer.checkpoint._best_epoch() == 4
    assert math.isnan(trainer.checkpoint.history.column("val_macro_auc")[0])


def test_the_best_epoch_may_be_that_of_another_metric(build, tmp_path):
    trainer = build(tmp_path, keep_best=True)
    checkpoint = trainer.checkpoint
    checkpoint.history.rows = [{"val_macro_auc": 0.9 - x, "val_accuracy": x} for x in (0.1, 0.5, 0.5, 0.2)]
    assert checkpoint._best_epoch() == 1
    checkpoint.best_by = "val_accuracy"
    assert checkpoint._best_epoch() == 2


def test_no_epoch_is_best_by_a_loss(tmp_path):
    with pytest.raises(ConfigError, match="val_macro_auc, val_accuracy"):
        Checkpoint(tmp_path, None, None, None, None, keep_best=True, best_by="val_loss")


def test_learning_rates_of_the_history_are_those_used(build, tmp_path):
    trainer = build(tmp_path, epochs=3)
    trainer.run()
    assert trainer.checkpoint.history.column("learning_rate") == pytest.approx([1e-3, 1e-3, 1e-4])
