"""The depth is chosen without the outer patients, and what is reported is what the choice came to on them."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from experiments.finished_runs import Observer, finish_all, make_context, observed_phantom
from mpmri_monai.errors import ConfigError, EvaluationError
from mpmri_monai.evaluation import evaluate
from mpmri_monai.experiments.depth import Depth
from mpmri_monai.experiments.depth_choice import Depths, inner_cell
from mpmri_monai.experiments.question import Question
from mpmri_monai.report import write_experiment_report
from mpmri_monai.sequences import TASKS

BUNDLE = Path(__file__).resolve().parents[2] / "bundles" / "hcc_grade"
GRADE = TASKS["hcc_grade"]


@dataclass(frozen=True)
class DepthObserver(Observer):
    """Sees clearly at one depth, and less with every layer away from it; from scratch hardly at all."""

    best: int = 3

    def finish(self, context, run):
        depth, scratch = run.options["finetune_depth"], run.options["pretrained"] == "scratch"
        noise = 40.0 if scratch else 0.5 + 10.0 * abs(depth - self.best)
        Observer(self.truth, noise, self.failing).finish(context, run)


@pytest.fixture(scope="module")
def truth():
    return observed_phantom()


@pytest.fixture
def context(tmp_path, truth):
    weights = tmp_path / "weights.pt"
    weights.touch()
    options = {"depths": "0,1,3", "folds": "2", "epochs": "5", "pretrained": str(weights)}
    return make_context(tmp_path, truth, BUNDLE, options=options)


def _tables(content):
    return {table["key"]: table for table in content["tables"]}


def test_every_depth_and_scratch_is_planned_on_inner_and_outer_folds(context):
    inner, outer = (stage.runs() for stage in Depth().stages(context))
    assert len(inner) == 5 * 2 * 2 and len(outer) == 5 * 2
    assert not any(stage.adaptive for stage in Depth().stages(context))
    assert {run.options["finetune_depth"] for run in inner} == {0, 1, 3, 12}
    for run in [*inner, *outer]:
        assert (run.options["finetune_depth"] == 0) == (run.options["head"] == "logistic")
        assert run.options["recipe"] == "layerwise" and run.options["max_epochs"] == 5
        assert run.options["split#val"] == 0.0
    assert {run.options["split#inner"] for run in inner} == {0, 1}
    assert {run.options["split#inner"] for run in outer} == {-1}
    assert all("split#inner_folds" in run.options for run in outer)  # so that all fits are of one division


def test_all_depths_are_tried_when_none_is_named(context):
    everything = {key: value for key, value in context.options.items() if key != "depths"}
    inner, outer = Depth().stages(replace(context, options=everything))
    assert (inner.count, outer.count) == (14 * 2 * 2, 14 * 2)


@pytest.mark.parametrize("option", ["folds", "inner_folds"])
@pytest.mark.parametrize("typed", ["-3", "0", "1"])
def test_folds_that_divide_nothing_are_refused(context, option, typed):
    with pytest.raises(ConfigError, match=f"at least 2 for --option {option}"):
        Depth().stages(replace(context, options={**context.options, option: typed}))


def test_the_best_depth_on_inner_folds_is_scored_outside(context, truth):
    finish_all(Depth(), context, DepthObserver(truth))
    depths = Depths(context, Question.of(context))
    for fold in depths.folds:
        values = {start.name: depths.inner_value(inner_cell(start), fold) for start in depths.starts}
        assert depths.chosen(fold).name == max(values, key=values.get)
    content = Depth().collect(context)
    tables = _tables(content)
    assert [row[1] for row in tables["choices"]["rows"]] == ["depth 3", "depth 3"]
    outer = evaluate(context.predictions("outer-depth3"), GRADE)["levels"]["lesion"]["metrics"]["macro_auc"]["value"]
    assert tables["outer"]["rows"][0][1].startswith(f"{outer:.3f} ")
    assert [row[0] for row in tables["outer"]["rows"]] == ["chosen on inner folds", "depth 12", "scratch (He)"]
    assert "better" in tables["outer"]["rows"][2][3]
    assert len(content["comparisons"]) == 2
    assert [row[0] for row in tables["depths"]["rows"]] == ["depth 0", "depth 1", "depth 3", "depth 12", "scratch (He)"]
    assert tables["ranking"]["rows"][0][1] == "depth 3"
    (figure,) = content["figures"]
    assert figure["data"]["panels"][0]["curves"][0]["x"] == [0, 1, 3, 12]
    json.dumps(content, allow_nan=False)
    whole = {"schema": "mpmri-monai/experiment/1", "experiment": "depth", **content}
    assert write_experiment_report(context.out, whole).is_file()


def test_the_choice_does_not_depend_on_the_outer_patients(context, truth, tmp_path):
    """Another grade for every patient of the outer fold changes the outer result and not the choice."""
    finish_all(Depth(), context, DepthObserver(truth))
    (tmp_path / "other").mkdir()
    again = make_context(tmp_path / "other", truth, BUNDLE, options=context.options)
    outer = (truth["patient"].factorize()[0] // 3) % 2 == 0
    names = {"well": "poorly", "moderately": "well", "poorly": "moderately"}
    relabelled = truth.assign(label=truth["label"].where(~outer, truth["label"].map(names)))
    finish_all(Depth(), again, DepthObserver(relabelled))
    before, after = (Depths(one, Question.of(one)) for one in (context, again))
    fold = before.folds[0]
    assert before.chosen(fold) == after.chosen(fold)
    cells = [inner_cell(start) for start in before.starts]
    assert [before.inner_value(cell, fold) for cell in cells] == [after.inner_value(cell, fold) for cell in cells]
    assert before.outer_value(before.predictions_of_choice, fold) != pytest.approx(
        after.outer_value(after.predictions_of_choice, fold)
    )


def test_alike_starts_are_not_called_better(context, truth):
    context = replace(context, options={**context.options, "depths": "3"})
    finish_all(Depth(), context, Observer(truth, noise=1e3))
    rows = _tables(Depth().collect(context))["outer"]["rows"]
    assert [row[3].rpartition(", ")[2] for row in rows[1:]] == ["not shown to differ"] * 2


def test_failed_trainings_are_left_out_and_said(context, truth):
    finish_all(Depth(), context, DepthObserver(truth, failing="depth3/repeat0-fold1"))
    content = Depth().collect(context)
    tables = _tables(content)
    assert tables["choices"]["rows"][1][1] != "depth 3"
    assert tables["depths"]["rows"][2][:2] == ["depth 3", "not all folds finished"]
    assert "depth 3" not in {row[1] for row in tables["ranking"]["rows"]}
    assert content["warnings"] == [
        "Not every outer fold of depth 3 is finished.",
        "In some outer folds depth 3 could not be chosen: an inner fit is missing.",
    ]
    depths = Depths(context, Question.of(context))
    assert math.isnan(depths.inner_value("inner-depth3", depths.folds[1]))


def test_a_choice_whose_training_failed_has_no_result(context, truth):
    context = replace(context, options={**context.options, "depths": "3"})
    finish_all(Depth(), context, DepthObserver(truth, failing="outer-depth3/repeat0-fold1"))
    with pytest.raises(EvaluationError, match="chosen in every outer fold"):
        Depth().collect(context)


def test_nothing_is_chosen_where_nothing_is_finished(context, truth):
    finish_all(Depth(), context, DepthObserver(truth, failing="inner"))
    with pytest.raises(EvaluationError, match="E_CELL_EMPTY"):
        Depth().collect(context)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"depths": "0,13"}, "depths from 0 to 12"),
        ({"depths": "all"}, "depths such as 0,1,2"),
        ({"recipe": "best"}, "a recipe among paper, layerwise"),
        ({"pretrained": "nowhere.pt"}, "pretrained weights"),
        ({"epochs": "0"}, "at least 1"),
    ],
)
def test_options_that_are_none_are_refused(context, options, message):
    with pytest.raises(ConfigError, match=message):
        Depth().stages(replace(context, options={**context.options, **options}))
