"""`mpmri compare` on run folders, folders of runs and tables."""

from __future__ import annotations

import json

import numpy as np
import pytest

from mpmri_monai.errors import EvaluationError
from mpmri_monai.evaluation import write_predictions
from mpmri_monai.evaluation.compare_command import compare_command, model_predictions
from mpmri_monai.sequences import GRADES


@pytest.fixture
def runs(tmp_path, drawn):
    """Two models with two folds each on the same patients: one that has learned something, one that guesses."""
    for name, skill in (("better", 3.0), ("worse", 0.0)):
        table = drawn(np.random.default_rng(5), 30, skill=skill, fits=((0, 0), (0, 1)))
        half = table["patient"].str[1:].astype(int) % 2
        for fold in (0, 1):
            chosen = table[(table["outer"] == fold) & (half == fold)]
            folder = tmp_path / "runs" / name / f"fold{fold}"
            folder.mkdir(parents=True)
            write_predictions(folder / "predictions.csv", chosen)
    return tmp_path / "runs"


def test_a_better_model_is_told_from_a_guess(runs, tmp_path, capsys):
    assert compare_command([runs / "worse", runs / "better"], "lesion", tmp_path / "found.json") == 0
    (one,) = json.loads((tmp_path / "found.json").read_text())["comparisons"]
    assert one["name"] == "better"
    assert one["metrics"]["accuracy"]["low"] > 0
    assert one["metrics"]["accuracy"]["p"] < 0.01
    printed = capsys.readouterr().out
    assert "Against worse" in printed
    assert "McNemar's test is not given" in printed  # some patients have two lesions


def test_a_model_is_called_as_its_folder_is(runs, capsys):
    for name in ("better", "worse"):
        (runs / name).rename(runs / f"{name}[bold]")
    assert compare_command([runs / "worse[bold]", runs / "better[bold]"], "lesion", None) == 0
    printed = capsys.readouterr().out
    assert "Against worse[bold]" in printed and "better[bold]: McNemar" in printed


def test_models_of_any_label_are_compared(tmp_path, drawn):
    organs = dict(zip(GRADES, ("spleen", "liver", "kidney"), strict=True))
    for name, skill in (("better", 3.0), ("worse", 0.0)):
        table = drawn(np.random.default_rng(5), 30, skill=skill).assign(task="organ")
        table = table.assign(label=table["label"].map(organs)).rename(
            columns={f"p_{grade}": f"p_{organ}" for grade, organ in organs.items()}
        )
        write_predictions(tmp_path / f"{name}.csv", table)
    assert compare_command([tmp_path / "worse.csv", tmp_path / "better.csv"], "lesion", tmp_path / "found.json") == 0
    (one,) = json.loads((tmp_path / "found.json").read_text())["comparisons"]
    assert one["metrics"]["macro_auc"]["low"] > 0


def test_folds_are_pooled_and_one_run_is_one_run(runs):
    assert set(model_predictions(runs / "better")["outer"]) == {0, 1}
    assert set(model_predictions(runs / "better" / "fold0")["outer"]) == {0}
    assert len(model_predictions(runs / "better" / "fold1" / "predictions.csv")) > 0


@pytest.mark.parametrize("places", [["better"], ["better", "better"], ["better", "nothing"], ["better", "worse/fold0"]])
def test_what_cannot_be_compared_is_refused(runs, places):
    with pytest.raises(EvaluationError):
        compare_command([runs / place for place in places], "lesion", None)


def test_two_models_in_one_folder_are_refused(runs):
    with pytest.raises(EvaluationError, match="predictions twice"):
        model_predictions(runs)


def test_an_unknown_level_is_refused(runs):
    with pytest.raises(EvaluationError, match="voxel"):
        compare_command([runs / "better", runs / "worse"], "voxel", None)
