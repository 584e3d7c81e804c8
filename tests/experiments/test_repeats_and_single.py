"""Repetitions of a bundle and single sequences, from predictions whose worth is known from the phantom's truth."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from experiments.finished_runs import Observer, finish_all, make_context, observed_phantom
from mpmri_monai.errors import ConfigError, EvaluationError
from mpmri_monai.evaluation import evaluate
from mpmri_monai.experiments import repeats, single
from mpmri_monai.experiments.repeats import CELL, Repeats
from mpmri_monai.experiments.single import Single
from mpmri_monai.phantom.truth import ceiling
from mpmri_monai.sequences import SEQUENCES, task

BUNDLE = Path(__file__).resolve().parents[2] / "bundles" / "hcc_grade"


@pytest.fixture(scope="module")
def truth():
    return observed_phantom()


@pytest.fixture
def context(tmp_path, truth, monkeypatch):
    """A context whose runs have predictions only; baseline and protocol, which need their data, stand still."""
    given = make_context(tmp_path, truth, BUNDLE, repeats=2)
    for module in (repeats, single):
        monkeypatch.setattr(module, "baseline", lambda context, runs: evaluate(_all(context, runs), task("hcc_grade")))
        monkeypatch.setattr(module, "holdouts_in_words", lambda *_: [])
    return given


def _all(context, runs) -> pd.DataFrame:
    return pd.concat([context.run_predictions(run) for run in runs], ignore_index=True)


class TrainedObserver(Observer):
    """Leaves learning curves too."""

    def finish(self, context, run):
        super().finish(context, run)
        if context.finished(run):
            curves = pd.DataFrame({"epoch": [1, 2], "train_accuracy": [0.5, 0.9], "val_accuracy": [0.4, 0.6]})
            curves.to_csv(context.folder(run) / "history.csv", index=False)


def test_repetitions_are_ten_unless_asked_otherwise(context, tmp_path, truth):
    assert Repeats().stages(context)[0].count == 2
    (tmp_path / "ten").mkdir()
    assert Repeats().stages(make_context(tmp_path / "ten", truth, BUNDLE))[0].count == 10


def test_repetitions_are_pooled_and_spread(context, truth):
    finish_all(Repeats(), context, TrainedObserver(truth))
    content = Repeats().collect(context)
    result = evaluate(context.predictions(CELL), task("hcc_grade"), seed=context.seed)
    value = result["levels"]["lesion"]["metrics"]["accuracy"]["value"]
    assert f"accuracy {value:.3f} [" in content["headline"][0]
    assert "±" in content["headline"][1]
    kinds = {figure["kind"]: figure["data"]["curves"] for figure in content["figures"]}
    assert [curve["name"] for curve in kinds["epochs"]] == ["training", "validation"]
    assert [curve["name"] for curve in kinds["roc_band"]] == ["well", "moderately", "poorly"]


def test_inner_folds_calibrate_and_are_not_scored(tmp_path, truth, context):
    given = replace(context, options={"inner_folds": "2"})
    (stage,) = Repeats().stages(given)
    runs = stage.runs()
    assert stage.count == len(runs) == 2 * (1 + 2)
    assert [run.options["split#inner"] for run in runs[:3]] == [-1, 0, 1]
    assert {run.options["split#val"] for run in runs} == {0.0}
    finish_all(Repeats(), given, TrainedObserver(truth))
    content = Repeats().collect(given)
    outer = pd.concat([given.run_predictions(run) for run in given.runs(CELL)])
    assert f"On {outer.loc[outer['role'] == 'test', 'lesion'].nunique()} lesions" in content["headline"][0]
    assert content["calibration"]["from"] == "inner folds"


def test_one_inner_fold_is_refused(context):
    with pytest.raises(ConfigError, match="at least 2"):
        Repeats().stages(replace(context, options={"inner_folds": "1"}))


@pytest.mark.parametrize("stopped_early", [True, False])
def test_repetitions_without_common_epochs_have_no_curve_over_them(context, truth, stopped_early):
    """A bundle may stop early, or have a classical head, which has no epochs."""
    finish_all(Repeats(), context, TrainedObserver(truth))
    path = context.out / "runs" / CELL / "repeat0" / "history.csv"
    if stopped_early:
        pd.read_csv(path).head(1).to_csv(path, index=False)
    else:
        path.unlink()
    assert [figure["key"] for figure in Repeats().collect(context)["figures"]] == ["roc"]


def test_every_sequence_is_trained_alone(context):
    (stage,) = Single().stages(context)
    runs = stage.runs()
    assert stage.count == len(runs) == 9 * 2
    assert {run.options["fusion"] for run in runs[:9]} == set(SEQUENCES)


def test_sequences_stand_beside_their_ceilings_and_are_ranked(context, truth):
    finish_all(Single(), context, TrainedObserver(truth, noise=0.1))
    content = Single().collect(context)
    table, ranked = content["tables"]
    shown = {row[0]: row[-1] for row in table["rows"] if row[1] == "accuracy" and row[0] != "baseline"}
    tested = context.predictions("T2").query("role == 'test'")
    lesions = set(zip(tested["patient"], tested["lesion"], strict=True))
    assert shown["T2"].startswith(f"{ceiling(truth, ['T2'], lesions)['accuracy']['mean']:.3f} [")
    assert content["headline"][0].startswith(
        f"The highest macro AUC of lesions from one sequence is that of {ranked['rows'][0][0]}:"
    )


def test_sequences_tested_in_other_repetitions_are_not_ranked(context, truth):
    """As many repetitions, and the same patients over all of them, but not the same trainings."""
    context = replace(context, repeats=3)
    finish_all(Single(), context, TrainedObserver(truth))
    for sequence in SEQUENCES:
        repeat = 0 if sequence == "T2" else 2
        (context.out / "runs" / sequence / f"repeat{repeat}" / "predictions.csv").unlink()
    assert [table["key"] for table in Single().collect(context)["tables"]] == ["single"]


def test_sequences_without_a_finished_run_are_named(context, truth):
    finish_all(Single(), context, TrainedObserver(truth, failing="S5"))
    assert Single().collect(context)["warnings"] == ["No finished run of S5."]


def test_nothing_finished_is_said(context, truth):
    finish_all(Single(), context, TrainedObserver(truth, failing="repeat"))
    with pytest.raises(EvaluationError, match="finished runs"):
        Single().collect(context)
