import json
import math
from dataclasses import replace

import pytest
from rich.console import Console

from mpmri_monai.errors import ConfigError
from mpmri_monai.experiments.context import Context
from mpmri_monai.experiments.plan import Run, Stage
from mpmri_monai.experiments.planning import (
    keep_plan,
    known_plan,
    new_plan,
    plan_table,
    shown_plan,
    total_seconds,
    with_runs,
)

SETTINGS = {"seed": 0, "manifest": "abc", "options": {"views": "2"}}


@pytest.fixture
def bundle(tmp_path):
    configs = tmp_path / "bundle" / "configs"
    configs.mkdir(parents=True)
    (configs / "train.json").write_text(json.dumps({"max_epochs": 30}))
    return configs.parent


@pytest.fixture
def context(tmp_path, bundle):
    return Context((bundle,), tmp_path / "manifest.json", tmp_path / "out")


def _plan(bundle, settings=None, options=None, name="repeats"):
    runs = [Run(f"a/{number}", "a", bundle, options or {"levels": (1, 2)}) for number in range(2)]
    stages = [
        Stage("first", 2, runs[0], lambda: runs),
        Stage("winner", 1, Run("w", "w", bundle, {"max_epochs": 4}), list, adaptive=True),
    ]
    plan = new_plan(name, settings or SETTINGS, stages, [runs, []])
    for stage, seconds in zip(plan["stages"], (10.0, None), strict=True):
        stage["seconds"] = seconds
    return plan


def test_a_plan_is_found_again_with_its_estimates_and_later_runs(bundle, context):
    plan = with_runs(_plan(bundle), 1, [Run("w/best", "w", bundle, {"fusion": "T2-OUT-S4"})])
    keep_plan(plan, context)
    assert known_plan(_plan(bundle), context.out) == plan
    assert [run.name for run in context.planned()] == ["a/0", "a/1", "w/best"]


def test_no_plan_in_a_new_folder(bundle, tmp_path):
    assert known_plan(_plan(bundle), tmp_path) is None


@pytest.mark.parametrize("content", ["{}", "[]", "no JSON", '["schema"]', '{"schema": "of something else/1"}'])
def test_a_file_that_is_no_plan_is_refused(bundle, tmp_path, content):
    (tmp_path / "plan.json").write_text(content)
    with pytest.raises(ConfigError, match="E_PLAN"):
        known_plan(_plan(bundle), tmp_path)


@pytest.mark.parametrize(
    ("other", "told"),
    [
        ({"settings": {**SETTINGS, "seed": 1}}, "found seed: 0 → 1"),
        ({"settings": {**SETTINGS, "options": {"views": "2", "epochs": "7"}}}, "found options epochs: absent → 7"),
        ({"options": {"levels": (1, 2, 3)}}, "other runs"),
        ({"name": "single"}, "experiment: repeats → single"),
    ],
)
def test_another_plan_in_the_same_folder_is_refused(bundle, context, other, told):
    keep_plan(_plan(bundle), context)
    with pytest.raises(ConfigError, match=told):
        known_plan(_plan(bundle, **other), context.out)


def test_the_table_has_a_row_for_each_run_and_for_those_that_are_not_known_yet(bundle):
    table = plan_table(_plan(bundle))
    assert list(table["run"]) == ["a/0", "a/1", "1 runs, chosen by the results before"]
    assert table["settings"][0] == "levels = [1, 2]"


def test_time_without_an_estimate_is_unknown_not_zero(bundle):
    plan = _plan(bundle)
    assert math.isnan(total_seconds(plan))
    plan["stages"][1]["seconds"] = 5.0
    assert total_seconds(plan) == 25.0


def test_epochs_are_the_run_s_own_or_the_bundle_s(bundle):
    assert [stage["epochs"] for stage in _plan(bundle)["stages"]] == [30, 4]


def test_the_plan_names_no_folder_of_this_machine_and_goes_on_where_the_bundle_lies_now(bundle, context):
    keep_plan(_plan(bundle), context)
    assert str(bundle.parent) not in "".join(path.read_text() for path in context.out.iterdir())
    moved = bundle.rename(bundle.parent / "elsewhere")
    (bundle.parent / "new").mkdir()
    moved = moved.rename(bundle.parent / "new" / "bundle")
    assert known_plan(_plan(moved), context.out) is not None
    assert replace(context, bundles=(moved,)).planned()[0].bundle == moved


def test_a_plan_that_named_whole_paths_goes_on(bundle, context):
    keep_plan(_plan(bundle), context)
    path = context.out / "plan.json"
    path.write_text(path.read_text().replace('"bundle": "bundle"', f'"bundle": "/elsewhere/{bundle.name}"'))
    assert known_plan(_plan(bundle), context.out) is not None


def test_a_plan_without_an_estimate_says_so_in_words(bundle, capsys):
    plan = _plan(bundle)
    Console(width=200).print(shown_plan(plan, 2))
    shown = capsys.readouterr().out
    assert "time unknown" in shown and "nan" not in shown
