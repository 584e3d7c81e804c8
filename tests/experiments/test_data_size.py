"""Starts on fewer training patients: the plan, and what is said of the differences."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from experiments.finished_runs import Observer, finish_all, make_context, observed_phantom
from mpmri_monai.errors import ConfigError
from mpmri_monai.experiments.data_size import DataSize
from mpmri_monai.report import write_experiment_report

BUNDLE = Path(__file__).resolve().parents[2] / "bundles" / "hcc_grade"


@dataclass(frozen=True)
class SizeObserver(Observer):
    """Pretrained networks see as well with few patients; those from scratch need all of them."""

    def finish(self, context, run):
        share, scratch = run.options["split#train_share"], run.options["pretrained"] == "scratch"
        Observer(self.truth, 60.0 * (1 - share) if scratch else 0.5, self.failing).finish(context, run)


@pytest.fixture(scope="module")
def truth():
    return observed_phantom()


@pytest.fixture
def context(tmp_path, truth):
    (tmp_path / "weights.pt").touch()
    options = {"shares": "100,25", "folds": "2", "pretrained": str(tmp_path / "weights.pt")}
    return make_context(tmp_path, truth, BUNDLE, repeats=2, options=options)


def _tables(content):
    return {table["key"]: table for table in content["tables"]}


def test_starts_differ_in_nothing_but_the_start(context):
    (stage,) = DataSize().stages(context)
    runs = stage.runs()
    assert stage.count == len(runs) == 2 * 2 * 2 * 5
    assert {run.options["split#train_share"] for run in runs} == {1.0, 0.25}
    own = ("pretrained", "init", "finetune_depth", "head")
    by_place = {}
    for run in runs:
        rest = {key: value for key, value in run.options.items() if key not in own}
        by_place.setdefault((run.name.split("/")[1], run.options["split#train_share"]), []).append(rest)
    assert all(len(of) == 5 and all(one == of[0] for one in of) for of in by_place.values())
    assert sorted(run.options["finetune_depth"] for run in runs[:5]) == [2, 12, 12, 12, 12]


@pytest.mark.parametrize("typed", ["0", "1"])
def test_folds_that_divide_nothing_are_refused(context, typed):
    with pytest.raises(ConfigError, match="at least 2 for --option folds"):
        DataSize().stages(replace(context, options={**context.options, "folds": typed}))


def test_what_pretraining_is_worth_is_said_at_every_share(context, truth):
    finish_all(DataSize(), context, SizeObserver(truth))
    content = DataSize().collect(context)
    assert len(content["headline"]) == 2
    assert "not shown to differ" in content["headline"][0] and "100 %" in content["headline"][0]
    assert content["headline"][1].endswith("better.") and "25 %" in content["headline"][1]
    tables = _tables(content)
    assert [row[:3] for row in tables["data-size"]["rows"][:2]] == [
        ["100 %", "18", "scratch (He)"],
        ["100 %", "18", "scratch (Gaussian)"],
    ]
    assert len(tables["data-size"]["rows"]) == 10
    assert len(tables["against-scratch"]["rows"]) == 8
    assert [panel["curves"][0]["x"] for panel in content["figures"][0]["data"]["panels"]] == [[25, 100]] * 2
    json.dumps(content, allow_nan=False)
    whole = {"schema": "mpmri-monai/experiment/1", "experiment": "data-size", **content}
    assert write_experiment_report(context.out, whole).is_file()


def test_a_start_with_a_failed_run_is_shown_and_not_compared(context, truth):
    context = replace(context, options={**context.options, "shares": "25"})
    finish_all(DataSize(), context, SizeObserver(truth, failing="25percent-depth12/repeat0-fold1"))
    content = DataSize().collect(context)
    assert "both" in content["headline"][0]
    tables = _tables(content)
    assert "deep tuning (all 12 layers)" not in {row[1] for row in tables["against-scratch"]["rows"]}
    (deep,) = [row for row in tables["data-size"]["rows"] if row[2] == "deep tuning (all 12 layers)"]
    assert "[" in deep[3]  # of the repeat that is whole


def test_starts_are_compared_in_the_same_repeats_alone(context, truth):
    context = replace(context, options={**context.options, "shares": "25"})
    finish_all(DataSize(), context, SizeObserver(truth, failing="25percent-depth12/repeat0-fold1"))
    (other,) = context.out.glob("runs/25percent-scratch-he/repeat1-fold0/predictions.csv")
    other.unlink()  # one repeat each, with as many rows, but another one
    compared = {row[1] for row in _tables(DataSize().collect(context))["against-scratch"]["rows"]}
    assert "deep tuning (all 12 layers)" not in compared


def test_without_a_whole_repeat_a_start_has_no_result(context, truth):
    context = replace(context, repeats=1, options={**context.options, "shares": "25"})
    finish_all(DataSize(), context, SizeObserver(truth, failing="scratch-xavier/repeat0-fold1"))
    rows = _tables(DataSize().collect(context))["data-size"]["rows"]
    assert [row[3] for row in rows if row[2] == "scratch (Xavier)"] == ["not all folds finished"]


@pytest.mark.parametrize(
    ("options", "message"),
    [({"shares": "0,50"}, "1 to 100 %"), ({"shares": "half"}, "1 to 100 %"), ({"depth": "12"}, "1 to 11")],
)
def test_options_that_are_none_are_refused(context, options, message):
    with pytest.raises(ConfigError, match=message):
        DataSize().stages(replace(context, options={**context.options, **options}))


def test_weights_that_the_bundle_does_not_ship_have_to_be_named(context, tmp_path):
    bundle = tmp_path / "bundle"
    (bundle / "configs").mkdir(parents=True)
    (bundle / "configs" / "train.json").write_bytes((BUNDLE / "configs" / "train.json").read_bytes())
    own = replace(context, bundles=(bundle,), options={})
    with pytest.raises(ConfigError, match="E_WEIGHTS"):
        DataSize().stages(own)
    (bundle / "models").mkdir()
    (bundle / "models" / "pretrained.pt").touch()
    (stage,) = DataSize().stages(own)
    assert stage.example.options["pretrained"] == str(bundle / "models" / "pretrained.pt")
