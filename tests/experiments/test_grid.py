"""A network's size is chosen without the outer patients; what is reported is what the choice came to on them."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from experiments.brain_runs import Reader, brain_context, weights_that_saw
from experiments.finished_runs import finish_all
from mpmri_monai.errors import ConfigError, EvaluationError, LeakageError
from mpmri_monai.experiments.grid import GridSearch
from mpmri_monai.experiments.grid_choice import Candidate, Grid
from mpmri_monai.experiments.question import Question
from mpmri_monai.report import write_experiment_report

HCC = Path(__file__).resolve().parents[2] / "bundles" / "hcc_grade"
BEST = Candidate(2, 32, 16)
SMALL = {"layers": "1,2", "filters": "16,32", "dense": "16", "folds": "2", "inner_folds": "3", "epochs": "3"}


@dataclass(frozen=True)
class SizeReader(Reader):
    """Sees clearly through one network, and hardly through the others."""

    best: Candidate = BEST

    def noise_of(self, options):
        size = Candidate(options["layers"], options["filters"], options["dense"])
        return 0.5 if size == self.best else 8.0


@pytest.fixture
def context(tmp_path):
    return brain_context(tmp_path, options=SMALL)


def _grid(context):
    return Grid(context, Question.of(context))


def _tables(content):
    return {table["key"]: table for table in content["tables"]}


def test_the_whole_grid_is_planned_on_nested_folds(context):
    stages = GridSearch().stages(replace(context, options={}))
    assert [stage.count for stage in stages] == [3 * 5 * 3] * 9 + [2 * 5]
    assert [stage.adaptive for stage in stages] == [False] * 9 + [True]
    runs = [run for stage in stages[:-1] for run in stage.runs()]
    sizes = {(run.options["layers"], run.options["filters"], run.options["dense"]) for run in runs}
    assert len(sizes) == 27 and len({run.cell for run in runs}) == 27
    for run in runs:
        assert run.options["split#val"] == 0.0 and run.options["pretrained"] == "scratch"
        assert (run.options["split#folds"], run.options["split#inner_folds"]) == (5, 3)
    assert {run.options["split#inner"] for run in runs} == {0, 1, 2}


def test_every_stage_is_timed_by_its_largest_network(context):
    stages = GridSearch().stages(replace(context, options={"dense": "64,16"}))
    assert {stage.example.options["dense"] for stage in stages[:-1]} == {64}
    assert [(s.example.options["layers"], s.example.options["filters"]) for s in stages[:3]] == [
        (1, 16),
        (1, 32),
        (1, 64),
    ]


def test_the_best_size_on_inner_folds_is_scored_outside(context):
    done = finish_all(GridSearch(), context, SizeReader())
    assert len(done[-1]) == 2 * 2
    grid = _grid(context)
    assert [grid.choice(fold) for fold in grid.folds] == [Candidate(2, 32, 16)] * 2
    content = GridSearch().collect(context)
    tables = _tables(content)
    assert [row[1] for row in tables["choices"]["rows"]] == ["2 layers, 32 filters, 16 dense"] * 2
    assert tables["candidates"]["rows"][0][1] == "2 layers, 32 filters, 16 dense"
    assert len(tables["candidates"]["rows"]) == 4
    chosen, fixed = tables["outer"]["rows"]
    assert fixed[0] == "the bundle's own (2 layers, 16 filters, 32 dense)"
    assert float(chosen[1].split()[0]) > float(fixed[1].split()[0])
    assert any("sensitivity" in name.lower() for name in tables["outer"]["header"])
    panels = content["figures"][0]["data"]["panels"]
    assert [panel["curves"][0]["x"] for panel in panels] == [[16, 32], [16, 32]]
    json.dumps(content, allow_nan=False)
    whole = {"schema": "mpmri-monai/experiment/1", "experiment": "grid", **content}
    assert write_experiment_report(context.out, whole).is_file()


def test_the_reported_score_is_of_patients_outside_the_choice(context):
    """All sizes are alike: the inner score of the best of many is higher than what it reaches outside, on average."""
    gaps = []
    for trial in range(2):
        folder = context.out.parent / f"trial{trial}"
        folder.mkdir()
        options = {**SMALL, "layers": "1,2,3", "inner_folds": "2", "filters": str(trial + 1), "dense": "8,9"}
        again = brain_context(folder, options=options)
        finish_all(GridSearch(), again, Reader(noise=6.0))
        grid = _grid(again)
        tested = grid.tested("chosen")
        gaps += [grid.value(grid.choice(fold), fold) - grid.outer_value(tested, fold) for fold in grid.folds]
    assert np.mean(gaps) > 0.05


def test_of_equal_sizes_the_smallest_is_chosen(context):
    finish_all(GridSearch(), context, Reader(noise=0.0))
    grid = _grid(context)
    assert {grid.choice(fold) for fold in grid.folds} == {Candidate(1, 16, 16)}
    rows = _tables(GridSearch().collect(context))["candidates"]["rows"]
    assert rows[0][2] == "1.000 [no interval]"  # perfect, and nothing to redraw


def test_failed_trainings_are_left_out_and_said(context):
    reader = SizeReader(failing="layers2-filters32-dense16/repeat0-fold1")
    finish_all(GridSearch(), context, reader)
    content = GridSearch().collect(context)
    assert "2 layers, 32 filters, 16 dense" not in {row[1] for row in _tables(content)["candidates"]["rows"]}
    assert "2 layers, 32 filters" in content["warnings"][0]
    assert _tables(content)["choices"]["rows"][1][1] != "2 layers, 32 filters, 16 dense"


def test_a_choice_whose_training_failed_has_no_result(context):
    finish_all(GridSearch(), context, SizeReader(failing="chosen/repeat0-fold0"))
    with pytest.raises(EvaluationError, match="chosen"):
        GridSearch().collect(context)


def test_each_size_starts_from_its_own_encoder(context, tmp_path):
    for layers in (1, 2):
        for filters in (16, 32):
            (tmp_path / f"encoder{layers}x{filters}.pt").touch()
    options = {**SMALL, "pretrained": str(tmp_path / "encoder{layers}x{filters}.pt")}
    stages = GridSearch().stages(replace(context, options=options))
    for run in [run for stage in stages[:-1] for run in stage.runs()]:
        name = f"encoder{run.options['layers']}x{run.options['filters']}.pt"
        assert Path(run.options["pretrained"]).name == name


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layers": "0,1"}, "from 1 on for --option layers"),
        ({"layers": "1,4"}, "1 to 3 layers"),
        ({"filters": "many"}, "for --option filters"),
        ({"dense": ""}, "for --option dense"),
        ({"folds": "1"}, "at least 2"),
        ({"pretrained": "nowhere{layers}.pt"}, r"nowhere2\.pt"),
    ],
)
def test_options_that_are_none_are_refused(context, options, message):
    with pytest.raises(ConfigError, match=message):
        GridSearch().stages(replace(context, options={**SMALL, **options}))


def test_weights_that_have_seen_the_patients_are_refused_before_anything_is_trained(context, tmp_path):
    for layers, patient in ((1, "B05"), (2, "S05")):
        weights_that_saw(tmp_path / f"encoder{layers}.pt", patient)
    options = {**SMALL, "pretrained": str(tmp_path / "encoder{layers}.pt")}
    with pytest.raises(LeakageError, match="1 of 24 tested patients"):
        GridSearch().stages(replace(context, options=options))


def test_bundles_without_such_sizes_are_refused(context):
    with pytest.raises(ConfigError, match="no layers, filters, dense"):
        GridSearch().stages(replace(context, bundles=(HCC,), asked={"task": "brain", "fusion": "T2"}))
