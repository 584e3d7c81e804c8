"""Ways to show a lesion are compared on the same folds, and what they differ in is what is shown."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from experiments.finished_runs import Observer, finish_all, make_context, observed_phantom
from mpmri_monai.errors import ConfigError, EvaluationError
from mpmri_monai.evaluation import evaluate, read_predictions, write_predictions
from mpmri_monai.experiments.collect import collected
from mpmri_monai.experiments.repetitions import bundle_config
from mpmri_monai.experiments.shapes import ARCHITECTURES, Shapes, ShapesPlan
from mpmri_monai.experiments.shapes_results import as_lesions
from mpmri_monai.report import write_experiment_report
from mpmri_monai.sequences import TASKS

BUNDLES = Path(__file__).resolve().parents[2] / "bundles"
PLANES, GRIDS = BUNDLES / "hcc_grade", BUNDLES / "mctl_brain"
GRADE = TASKS["hcc_grade"]


@dataclass(frozen=True)
class ShapeObserver(Observer):
    """Sees clearly in 3D; of planes it writes two samples a lesion."""

    def finish(self, context, run):
        architecture = run.options.get("architecture", "planes")
        noise = {"planes": 20.0, "resnet10": 1.0}.get(architecture, 20.0)
        Observer(self.truth, noise, self.failing).finish(context, run)
        path = context.folder(run) / "predictions.csv"
        if architecture == "planes" and path.is_file():
            table = read_predictions(path)
            write_predictions(path, pd.concat([table, table.assign(sample=table["lesion"] + "-01")]))


@pytest.fixture(scope="module")
def truth():
    return observed_phantom()


@pytest.fixture
def context(tmp_path, truth):
    options = {"architectures": "axial,mctl,resnet10", "folds": "3"}
    return replace(make_context(tmp_path, truth, PLANES, options=options), bundles=(PLANES, GRIDS))


def _tables(content):
    return {table["key"]: table for table in content["tables"]}


def test_all_shapes_have_the_same_folds_and_question(context):
    stages = Shapes().stages(replace(context, options={}))
    assert len(stages) == 1 + len(ARCHITECTURES) and {stage.count for stage in stages} == {5}
    splits = []
    for stage in stages:
        runs = stage.runs()
        splits.append([{k: v for k, v in run.options.items() if k.startswith(("split#", "cohort#"))} for run in runs])
    assert all(split == splits[0] for split in splits)
    grids = [run for stage in stages[1:] for run in stage.runs()]
    assert {run.options["architecture"] for run in grids} == set(ARCHITECTURES)
    for run in grids:
        assert (run.options["task"], run.options["fusion"]) == ("hcc_grade", "T2-OUT-S4")
        assert run.options["samples#grid"] == {
            "slices": 7, "pixels": 32, "depth_mm": 6.0, "plane_mm": 1.5,
        }  # fmt: skip
        assert (run.options["samples#window"], run.options["samples#trim"]) == ("trimmed", 0.01)  # as in the planes
    assert "architecture" not in stages[0].runs()[0].options
    assert {run.options["pretrained"] for stage in stages for run in stage.runs()} == {"scratch"}


def test_every_setting_of_a_run_is_a_key_of_its_bundle(context):
    """MONAI would take a misspelt one for a new one."""
    for stage in Shapes().stages(context):
        config = bundle_config(stage.example.bundle)
        for key, value in stage.example.options.items():
            known = config
            for part in key.split("#"):
                assert part in known, key
                known = known[part]
            assert not isinstance(value, dict) or set(value) <= set(known)


def test_the_order_of_the_bundles_does_not_matter(context):
    turned = ShapesPlan(replace(context, bundles=context.bundles[::-1]))
    assert turned.planes.bundle == PLANES and turned.grids.bundle != PLANES


def test_another_question_is_asked_of_both_bundles(context):
    asked = ShapesPlan(replace(context, asked={"fusion": "S0-S4"}))
    assert asked.shapes[1].options["fusion"] == "S0-S4" and asked.planes.fusion == "S0-S4"


def test_repetitions_have_other_seeds_and_the_same_divisions(context):
    plan = ShapesPlan(replace(context, repeats=2, seed=5))
    runs = plan.runs(plan.shapes[1])
    assert [(run.options["seed"], run.options["split#repeat"], run.options["cohort#seed"]) for run in runs] == [
        *[(5, 0, 5)] * 3,
        *[(6, 1, 5)] * 3,
    ]


def test_views_are_of_planes_and_copies_of_grids(context):
    plan = ShapesPlan(replace(context, options={**context.options, "views": "2", "copies": "4", "epochs": "3"}))
    planes, grids = (plan.runs(shape)[0].options for shape in plan.shapes[:2])
    assert planes["views"] == 2 and "copies" not in planes
    assert grids["copies"] == 4 and "views" not in grids
    assert planes["max_epochs"] == grids["max_epochs"] == 3


def test_shapes_are_compared_on_lesions_and_patients(context, truth):
    finish_all(Shapes(), context, ShapeObserver(truth))
    content = Shapes().collect(context)
    tables = _tables(content)
    rows = tables["shapes"]["rows"]
    assert [row[0] for row in rows][-1] == "ceiling" and len(rows) == 5
    assert "Macro AUC, patients" in tables["shapes"]["header"]
    resnet = tables["minus-planes"]["rows"][2]
    assert resnet[0] == ARCHITECTURES["resnet10"] and "better" in resnet[1]
    assert [row[0] for row in tables["minus-axial"]["rows"]] == [ARCHITECTURES["mctl"], ARCHITECTURES["resnet10"]]
    assert "not shown to differ" in tables["minus-axial"]["rows"][0][1]
    assert len(content["comparisons"]) == (3 + 2) * 2
    assert content["warnings"] == []
    json.dumps(content, allow_nan=False)
    whole = {"schema": "mpmri-monai/experiment/1", "experiment": "shapes", **content}
    assert write_experiment_report(context.out, whole).is_file()


def test_the_cohort_is_counted_by_the_question_that_was_asked(context, truth):
    """Not by the one that the bundle of grids has by itself."""
    finish_all(Shapes(), context, ShapeObserver(truth))
    plan = {"stages": [{"count": 1, "seconds": None, "runs": []}]}
    for run in context.runs():
        (context.folder(run) / "environment.json").write_text("{}")
    audited = {"check": "none", "outcome": "passed", "found": "stand-in"}

    class Audited(Shapes):
        def collect(self, context):
            return {**super().collect(context), "audit": [audited]}

    told = replace(context, common={"precision": "fp32"})
    rows = collected(Audited(), told, plan, {})["cohort"]["classes"]["rows"]
    assert [row[0] for row in rows] == list(GRADE.classes)


def test_lesions_score_the_same_with_and_without_their_samples(context, truth):
    finish_all(Shapes(), context, ShapeObserver(truth))
    whole = context.predictions("planes")
    tested = whole[whole["role"] == "test"]
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(3), size=len(tested))
    tested = tested.assign(**{f"p_{name}": p[:, k] for k, name in enumerate(GRADE.classes)})
    before, after = (evaluate(table, GRADE)["levels"] for table in (tested, as_lesions(tested)))
    for level in ("lesion", "patient"):
        assert after[level]["metrics"]["macro_auc"]["value"] == pytest.approx(
            before[level]["metrics"]["macro_auc"]["value"]
        )
    assert "slice" not in after


def test_a_shape_of_which_a_fold_failed_is_left_out_and_said(context, truth):
    finish_all(Shapes(), context, ShapeObserver(truth, failing="mctl/repeat0-fold1"))
    content = Shapes().collect(context)
    assert content["warnings"] == [f"Not every fold is finished of: {ARCHITECTURES['mctl']}."]
    assert _tables(content)["shapes"]["rows"][2][1] == "not all folds finished"


def test_shapes_of_other_lesions_are_not_compared(context, truth):
    finish_all(Shapes(), context, ShapeObserver(truth))
    for fold in range(3):  # a lesion for which the grid had no room
        path = context.out / "runs" / "mctl" / f"repeat0-fold{fold}" / "predictions.csv"
        table = read_predictions(path)
        write_predictions(path, table[table["lesion"] != truth["lesion"].iloc[0]])
    content = Shapes().collect(context)
    assert "the whole crop, MCTL (3D) has other lesions or folds" in content["warnings"][0]
    assert len(_tables(content)["minus-planes"]["rows"]) == 2


def test_nothing_is_compared_where_nothing_is_finished(context, truth):
    finish_all(Shapes(), context, ShapeObserver(truth, failing="fold1"))
    with pytest.raises(EvaluationError, match="E_CELL_EMPTY"):
        Shapes().collect(context)


def test_two_kinds_of_bundles_are_needed(context):
    for bundles in ((PLANES,), (PLANES, PLANES), context.bundles[1:]):
        with pytest.raises(ConfigError, match="two --bundle"):
            Shapes().stages(replace(context, bundles=bundles))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"architectures": "axial,cnn3d"}, "architectures among"),
        ({"slices": "0"}, "more than 0 for --option slices"),
        ({"plane_mm": "wide"}, "a number for --option plane_mm"),
        ({"folds": "1"}, "at least 2"),
    ],
)
def test_options_that_are_none_are_refused(context, options, message):
    with pytest.raises(ConfigError, match=message):
        Shapes().stages(replace(context, options={**context.options, **options}))
