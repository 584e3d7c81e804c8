"""Sequences are taken from test patients alone, and what is left is what the networks are asked about."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from experiments.finished_runs import finish_all, make_context, observed_phantom
from experiments.test_robustness import COUNT, FUSION, SmallCohort
from mpmri_monai.artefacts import write_json
from mpmri_monai.errors import ConfigError, EvaluationError
from mpmri_monai.evaluation import compare, evaluate, read_predictions, write_predictions
from mpmri_monai.evaluation.predictions import PROBABILITY
from mpmri_monai.experiments import missing_predictions, missing_results
from mpmri_monai.experiments.missing import ARMS, DROPOUT, Missing
from mpmri_monai.experiments.missing_predictions import left_with, predictions_by_subset, subsets
from mpmri_monai.networks import build_network, save_weights
from mpmri_monai.sequences import GRADES
from mpmri_monai.training import predict, prediction_rows

BUNDLES = Path(__file__).resolve().parents[2] / "bundles"


def test_every_subset_of_few_sequences_is_tried_and_of_many_one_without_or_alone():
    assert subsets(("T2", "OUT", "S4")) == [
        ("T2", "OUT", "S4"), ("T2", "OUT"), ("T2", "S4"), ("OUT", "S4"), ("T2",), ("OUT",), ("S4",),
    ]  # fmt: skip
    assert len(subsets("abcd")) == 15
    assert [len(kept) for kept in subsets("abcde")] == [5] + 5 * [4] + 5 * [1]


def test_what_is_taken_away_is_absent_and_samples_that_show_nothing_are_left_out():
    data = SmallCohort(0.7).data  # sample 4 never had S4
    left = left_with(data, FUSION, ("S4",))
    assert len(left.table) == COUNT - 1
    assert "P04" not in set(left.table["patient"])
    assert not left.present[:, 0].any() and left.present[:, 1].all()
    assert not left.table["present_T2"].any() and left.table["present_S4"].all()
    assert not left.image[:, 0].any()
    assert (left.image[:, 1] == np.delete(data.image[:, 1], 4, axis=0)).all()
    assert left_with(data, FUSION, FUSION).table["present_T2"].all()
    assert data.present[:, 0].all(), "the samples themselves stay as they are"


def write_run(folder, architecture):
    """A run folder as training leaves it, with a network that was never trained."""
    folder.mkdir(parents=True)
    network_arguments = {"architecture": architecture, "in_channels": 2, "embedding": 4, "levels": [1]}
    config = {"imports": ["$import mpmri_monai.bundle as mpmri"], "network_arguments": network_arguments}
    config |= {"cohort": {"_target_": f"{SmallCohort.__module__}.SmallCohort", "pitch_mm": 0.7}}
    write_json(folder / "config.json", config | {"network_def": "$mpmri.build_network(**@network_arguments)"})
    torch.manual_seed(1)
    network = build_network(**network_arguments)
    save_weights(network, folder / "model.pt")
    cohort = SmallCohort(0.7)
    rows = prediction_rows(
        cohort.data, predict(network, cohort.data, "cpu"), cohort.task, FUSION, cohort.split_columns("test")
    )
    write_predictions(folder / "predictions.csv", rows)


def context_with(tmp_path, runs=(), **given):
    context = make_context(tmp_path, observed_phantom(), BUNDLES / "hcc_grade", repeats=1, **given)
    context = replace(context, workers=1)
    if runs:
        context.out.mkdir()
        entries = [{**vars(run), "bundle": str(run.bundle)} for run in runs]
        write_json(context.out / "plan.json", {"stages": [{"runs": entries}]})
    return context


@pytest.mark.parametrize("arm", ["early fusion", "any subset"])
def test_a_finished_run_is_asked_about_every_subset_once(tmp_path, arm, monkeypatch):
    stages = {stage.title: stage.runs() for stage in Missing().stages(context_with(tmp_path))}
    (run,) = stages[arm]
    context = context_with(tmp_path, [run])
    monkeypatch.setattr(SmallCohort, "fusion", FUSION, raising=False)
    write_run(context.folder(run), run.options["architecture"])
    found = predictions_by_subset(context, run.cell)
    assert list(found) == [("T2", "S4"), ("T2",), ("S4",)]
    probabilities = [PROBABILITY + name for name in GRADES]
    written = read_predictions(context.folder(run) / "predictions.csv")[probabilities].to_numpy()
    assert found[FUSION][probabilities].to_numpy() == pytest.approx(written, abs=1e-6)
    changed = np.abs(found[("T2",)][probabilities].to_numpy() - written).max(axis=1)
    assert changed[4] == pytest.approx(0, abs=1e-6), "the patient without S4 loses nothing by losing it"
    assert (np.delete(changed, 4) > 0).all()
    monkeypatch.setattr(missing_predictions, "predict", None)
    assert predictions_by_subset(context, run.cell).keys() == found.keys()


def test_three_ways_of_training_on_the_same_holdouts(tmp_path):
    stages = Missing().stages(context_with(tmp_path, options={"epochs": "3"}))
    runs = [stage.runs()[0] for stage in stages]
    ways = [(run.options["architecture"], run.options["sequence_dropout"]) for run in runs]
    assert ways == [("spp_resnet", 0.0), ("spp_resnet", DROPOUT), ("subset", DROPOUT)]
    alike = [{k: v for k, v in run.options.items() if k not in ("architecture", "sequence_dropout")} for run in runs]
    assert alike[0] == alike[1] == alike[2]
    assert alike[0]["max_epochs"] == 3


@pytest.mark.parametrize("options", [{"sequence_dropout": "1"}, {"sequence_dropout": "often"}])
def test_a_dropout_that_is_none_is_refused(tmp_path, options):
    with pytest.raises(ConfigError, match="E_OPTION"):
        Missing().stages(context_with(tmp_path, options=options))


def test_bundles_and_fusions_without_anything_to_leave_out_are_refused(tmp_path):
    context = context_with(tmp_path)
    with pytest.raises(ConfigError, match="and no sequence_dropout"):
        Missing().stages(replace(context, bundles=(BUNDLES / "mctl_brain",)))
    with pytest.raises(ConfigError, match="at least two sequences"):
        Missing().stages(replace(context, asked={"fusion": "T2"}))


def left_from_observed(context, cell, worse):
    """Predictions by subset made from those of the noisy observer; without OUT they tell less."""
    table = context.predictions(cell)
    found = {}
    for kept in subsets(("T2", "OUT", "S4")):
        share = worse if "OUT" not in kept else 0.0
        columns = [PROBABILITY + name for name in GRADES]
        found[kept] = table.assign(**{c: (1 - share) * table[c] + share / len(columns) for c in columns})
        if share:
            found[kept][columns] = found[kept][columns].iloc[:, ::-1].to_numpy()
    return found


@pytest.fixture
def quickly(monkeypatch):
    for function in (evaluate, compare):
        monkeypatch.setattr(missing_results, function.__name__, partial(function, bootstraps=20))


def test_the_tables_hold_every_subset_of_every_way_beside_what_is_possible(tmp_path, monkeypatch, quickly, observer):
    context = context_with(tmp_path)
    finish_all(Missing(), context, observer)
    worse = {"early": 0.5, "early-dropout": 0.0, "subset": 0.0}
    monkeypatch.setattr(
        "mpmri_monai.experiments.missing.predictions_by_subset",
        lambda c, cell: left_from_observed(c, cell, worse[cell]),
    )
    content = Missing().collect(context)
    auc, accuracy, differences = content["tables"]
    assert auc["header"] == ["missing", "left", "patients", *ARMS, "ceiling"]
    assert [row[0] for row in auc["rows"]] == [
        "nothing", "S4", "OUT", "T2", "OUT, S4", "T2, S4", "T2, OUT",
    ]  # fmt: skip
    assert len(accuracy["rows"]) == 7
    value = {row[0]: [float(cell.split()[0]) for cell in row[3:]] for row in auc["rows"]}
    assert value["nothing"][:3] == pytest.approx(value["S4"][:3])
    assert value["OUT"][0] < value["OUT"][2] == value["nothing"][2]
    assert value["nothing"][3] >= value["OUT"][3] > value["OUT, S4"][3]
    assert "without OUT" in content["headline"][1]
    assert len(differences["rows"]) == 21
    assert [row[:3] for row in differences["rows"][::7]] == [
        ["nothing", "early fusion, dropout", "early fusion"],
        ["nothing", "any subset", "early fusion"],
        ["nothing", "any subset", "early fusion, dropout"],
    ]
    bars = content["figures"][0]["data"]["bars"]
    assert len(bars) == 21 and bars[0]["name"] == "all there"
    assert content["warnings"] == []


@pytest.fixture
def observer():
    from experiments.finished_runs import Observer

    return Observer(observed_phantom())


def test_unfinished_trainings_are_said_and_not_compared(tmp_path, monkeypatch, quickly, observer):
    context = replace(context_with(tmp_path), repeats=2)
    finish_all(Missing(), context, replace(observer, failing="subset/repeat1"))
    monkeypatch.setattr(
        "mpmri_monai.experiments.missing.predictions_by_subset", lambda c, cell: left_from_observed(c, cell, 0.0)
    )
    content = Missing().collect(context)
    assert "Not all trainings finished" in content["warnings"][-1]
    assert len(content["tables"]) == 2


def test_nothing_finished_is_said(tmp_path):
    context = context_with(tmp_path)
    with pytest.raises(EvaluationError, match="finished runs"):
        Missing().collect(context)
