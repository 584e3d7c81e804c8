"""Claiming the folder of a run: what is taken up, what is taken over, what is refused."""

import json
import logging
import subprocess
import sys
from types import SimpleNamespace

import pandas as pd
import pytest

from mpmri_monai.bundle import run_folder
from mpmri_monai.bundle.run_folder import RunFolder, default_output_dir
from mpmri_monai.cohort.splits import COLUMNS
from mpmri_monai.errors import ConfigError, OutputError

SPLITS = pd.DataFrame([("patient", "P1", "", "", 0, 0, "", "train")], columns=list(COLUMNS))

IMAGES = pd.DataFrame([("P1", "P1-1", "T2", "ab")], columns=["patient", "study", "sequence", "voxels"])


def refuse():
    raise ConfigError(expected="a report", found="nobody to report on")


@pytest.fixture
def claim(tmp_path, monkeypatch):
    """claim(learning_rate=…) claims one folder; what it leaves open is closed after the test."""
    before = list(logging.getLogger().handlers)

    def make(folder=tmp_path / "run", results="report", reportable=True, **config):
        monkeypatch.setattr(run_folder, "running_config", lambda: {"seed": 0, **config})
        cohort = SimpleNamespace(splits=SPLITS, digests=lambda: {"manifest": "m"}, image_table=lambda: IMAGES)
        cohort.refuse_report = lambda: None if reportable else refuse()
        return RunFolder(folder, cohort, "cpu", results)

    yield make
    for handler in set(logging.getLogger().handlers) - set(before):
        logging.getLogger().removeHandler(handler)
        handler.close()


def test_before_the_first_epoch_another_configuration_takes_the_folder_over(claim):
    claim(learning_rate=10.0)
    run = claim(learning_rate=0.1)
    assert json.loads((run.path / "config.json").read_text())["learning_rate"] == 0.1


def test_the_report_of_a_warm_start_is_no_epoch(claim):
    run = claim(learning_rate=10.0)
    (run.path / "warm_start.json").write_text("{}")  # and then stopped within the first epoch
    run = claim(learning_rate=0.1)
    assert json.loads((run.path / "config.json").read_text())["learning_rate"] == 0.1


def test_after_it_only_the_same_configuration_goes_on(claim):
    run = claim(learning_rate=0.1)
    (run.path / "checkpoint.pt").write_bytes(b"")
    claim(learning_rate=0.1, num_workers=7, bundle_root="/elsewhere", run_name="2026")
    with pytest.raises(ConfigError, match=r"learning_rate: 0\.1 → 0\.2"):
        claim(learning_rate=0.2)


def test_another_number_of_processes_is_another_run(claim, monkeypatch):
    run = claim()
    (run.path / "checkpoint.pt").write_bytes(b"")
    monkeypatch.setattr(run_folder.idist, "get_world_size", lambda: 2)
    monkeypatch.setattr(run_folder.idist, "barrier", lambda: None)
    with pytest.raises(ConfigError, match="processes: 1 → 2"):
        claim()


@pytest.mark.parametrize("name", ["notes.txt", "config.json"])
def test_a_folder_of_something_else_is_left_alone(claim, tmp_path, name):
    folder = tmp_path / "other"
    folder.mkdir()
    (folder / name).write_text("{}")
    (folder / "model.pt").write_text("mine")
    with pytest.raises(OutputError, match="other files"):
        claim(folder)
    assert {path.name for path in folder.iterdir()} == {name, "model.pt"}
    assert (folder / name).read_text() == "{}"


def test_a_file_in_its_place_is_refused(claim, tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OutputError, match="the file"):
        claim(tmp_path / "file")


def test_a_place_that_cannot_be_made_is_told_in_words(claim):
    with pytest.raises(OutputError):
        claim(run_folder.Path("/proc/nowhere/run"))


def test_two_processes_do_not_train_in_one_folder(claim, tmp_path):
    lines = (
        "import fcntl, sys",
        "f = open(sys.argv[1], 'a')",
        "fcntl.flock(f, fcntl.LOCK_EX)",
        "print('held', flush=True)",
    )
    (tmp_path / "run").mkdir()
    command = [sys.executable, "-c", "; ".join((*lines, "input()")), str(tmp_path / "run/log.txt")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(OutputError, match="another process"):
            claim()
        other.communicate("\n")
    claim()


def test_a_report_alone_does_not_make_a_run_finished(claim):
    """Evaluating weights whose training was killed before its end writes a report too."""
    run = claim()
    for name in ("model.pt", "report.html"):
        (run.path / name).write_bytes(b"")
    assert not run.finished
    (run.path / "reference.json").write_bytes(b"")
    assert run.finished


def test_a_bundle_that_stands_alone_is_not_written_into(tmp_path, monkeypatch):
    for place, wanted in (("bundles/b", tmp_path), ("alone/b", tmp_path / "alone")):
        (tmp_path / place / "configs").mkdir(parents=True)
        monkeypatch.chdir(tmp_path / place / "configs")
        assert default_output_dir(tmp_path / place) == str(wanted / "runs" / "b")


def test_a_run_is_finished_by_what_it_was_asked_for(claim, tmp_path):
    few = claim(tmp_path / "few", results="predictions")
    whole = claim(tmp_path / "whole")
    for run in (few, whole):
        (run.path / "model.pt").write_bytes(b"")
        (run.path / "predictions.csv").write_text("")
    assert few.finished
    assert few.last_result.name == "predictions.csv"
    assert not whole.finished
    for other in ("everything", "pretraining"):
        with pytest.raises(ConfigError, match="report, predictions;"):
            claim(tmp_path / "other", results=other)


def test_a_released_folder_is_free_and_no_longer_written_to(claim):
    run = claim()
    handlers = list(logging.getLogger().handlers)
    run.release()
    run.release()
    assert len(logging.getLogger().handlers) == len(handlers) - 1
    program = "import fcntl, sys; fcntl.flock(open(sys.argv[1], 'a'), fcntl.LOCK_EX | fcntl.LOCK_NB)"
    subprocess.run([sys.executable, "-c", program, str(run.path / "log.txt")], check=True)  # fails while it is held


def test_the_hashes_of_the_images_are_kept(claim):
    assert pd.read_csv(claim().path / "images.csv").to_dict("list") == IMAGES.to_dict("list")


def test_what_cannot_be_reported_is_refused_before_it_is_trained(claim, tmp_path):
    with pytest.raises(ConfigError, match="nobody to report on"):
        claim(reportable=False)
    assert not (tmp_path / "run").exists()
    claim(reportable=False, results="predictions")
