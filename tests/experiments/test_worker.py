import logging
import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from mpmri_monai.errors import MpmriError, SplitError
from mpmri_monai.experiments.worker import RunJob, execute_run, time_run

BUNDLE = Path(__file__).resolve().parents[2] / "bundles" / "hcc_grade"
QUICK = {"max_epochs": 1, "views": 1, "split#val": 0.0, "batch_size": 8, "embedding": 8}
EVERY_RUN = {"threads": 1, "num_workers": 0, "results": "predictions", "device": "cpu"}


@pytest.fixture
def job(tiny_cohort, tiny_cache, tmp_path):
    def make(name, **options):
        folder = tmp_path / name
        given = {**QUICK, **options, **EVERY_RUN, "manifest": str(tiny_cohort), "output_dir": str(folder)}
        return RunJob(BUNDLE, folder, given, tiny_cache, "same data")

    return make


def _result(job):
    return {name: (job.folder / name).read_bytes() for name in ("predictions.csv", "splits.csv", "history.csv")}


def test_a_run_leaves_nothing_behind_for_the_next(job):
    first, other, again = job("first"), job("other", seed=3, dropout=0.2, precision="bf16"), job("again")
    execute_run(first)
    execute_run(other)
    random.random(), np.random.rand(), torch.rand(1)
    execute_run(again)
    assert _result(first) == _result(again)
    assert _result(first)["predictions.csv"] != _result(other)["predictions.csv"]


def test_a_run_prints_and_logs_into_its_folder_alone(job, capsys):
    before, level, cache = list(logging.getLogger().handlers), logging.getLogger().level, os.environ.get("MPMRI_CACHE")
    one = job("one")
    seconds = execute_run(one)
    assert seconds > 0 and capsys.readouterr() == ("", "")
    assert "weights of epoch 1" in (one.folder / "log.txt").read_text()
    assert (logging.getLogger().handlers, logging.getLogger().level) == (before, level)
    assert os.environ.get("MPMRI_CACHE") == cache


def test_a_failed_run_raises_what_a_person_can_read_and_can_be_tried_again(job):
    failing = job("failing", **{"split#file": str(job("x").folder)})
    failing.folder.mkdir()
    (failing.folder / "error.json").write_text("{}")
    with pytest.raises(MpmriError):
        execute_run(failing)
    assert "Traceback" in (failing.folder / "log.txt").read_text()
    assert not (failing.folder / "error.json").exists()
    execute_run(job("failing"))
    assert (failing.folder / "predictions.csv").exists()


def test_an_impossible_split_fails_with_its_own_error(job):
    with pytest.raises(SplitError):
        execute_run(job("impossible", **{"split#folds": 50}))


def test_timing_leaves_no_folder(job, tmp_path):
    start, epoch = time_run(job("timed"))
    assert start >= 0 and epoch >= 0
    assert list(tmp_path.iterdir()) == []


def test_long_epochs_are_timed_once(job, tmp_path, monkeypatch):
    taken = {1: 70.0, 3: 200.0}
    trained = []

    def execute(short):
        trained.append(short.options["max_epochs"])
        return taken[trained[-1]]

    monkeypatch.setattr("mpmri_monai.experiments.worker.execute_run", execute)
    assert time_run(job("long")) == (0.0, 70.0) and trained == [1]
    taken |= {1: 12.0, 3: 32.0}
    assert time_run(job("short")) == (2.0, 10.0) and trained == [1, 1, 1, 3]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_run_in_a_worker_gives_the_bytes_of_the_command(job, tiny_cache):
    execute_run(job("before", seed=7))
    warm, command = job("warm"), job("command")
    execute_run(warm)
    words = [word for key, value in command.options.items() for word in (f"--{key}", str(value))]
    start = [
        sys.executable,
        "-m",
        "monai.bundle",
        "run",
        "training",
        "--config_file",
        str(BUNDLE / "configs/train.json"),
    ]
    environment = os.environ | {"MPMRI_CACHE": str(tiny_cache)}
    subprocess.run([*start, *words], check=True, env=environment, capture_output=True)
    assert _result(warm) == _result(command)
