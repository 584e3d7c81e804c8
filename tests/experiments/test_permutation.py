"""Permuted labels: their runs get the observed ones' protocol, and p counts them."""

import json
from pathlib import Path

import numpy as np
import pytest

from experiments.finished_runs import Observer, finish_all, make_context, observed_phantom
from mpmri_monai.errors import ConfigError, EvaluationError
from mpmri_monai.evaluation.scored import scored
from mpmri_monai.experiments.permutation import Permutation
from mpmri_monai.sequences import task

BUNDLE = Path(__file__).resolve().parents[2] / "bundles" / "hcc_grade"
COUNT = 9


@pytest.fixture(scope="module")
def truth():
    return observed_phantom()


@pytest.fixture
def context(tmp_path, truth):
    return make_context(tmp_path, truth, BUNDLE, options={"permutations": str(COUNT), "epochs": "7"})


def test_permuted_runs_differ_from_the_observed_ones_in_nothing_but_the_labels(context):
    observed, permuted = (stage.runs() for stage in Permutation().stages(context))
    assert len(observed) == 1
    assert [run.options["permutation"] for run in permuted] == list(range(COUNT))
    for run in permuted:
        assert {**run.options, "permutation": -1} == observed[0].options
    assert observed[0].options["max_epochs"] == 7


def test_p_is_the_smallest_possible_for_an_observer_who_sees_and_counts_every_permutation(context, truth):
    _, permuted = finish_all(Permutation(), context, Observer(truth, noise=0.1))
    content = Permutation().collect(context)
    (table,) = content["tables"]
    rows = {row[0]: row[1:] for row in table["rows"]}
    assert rows["lesion"][-1] == f"{1 / (COUNT + 1):.3f}"
    (histogram,) = [figure["data"] for figure in content["figures"]]
    grade = task("hcc_grade")
    aucs = [
        scored(context.run_predictions(run), grade, "lesion").values(["macro_auc"])["macro_auc"] for run in permuted
    ]
    assert sorted(histogram["null"]) == pytest.approx(sorted(aucs))
    assert np.mean(aucs) < 0.7 < histogram["observed"]
    json.dumps(content, allow_nan=False)


def test_p_counts_the_permutations_that_do_as_well_as_an_observer_who_sees_nothing(context, truth):
    finish_all(Permutation(), context, Observer(truth, noise=1e4))
    content = Permutation().collect(context)
    data = content["figures"][0]["data"]
    reached = sum(value >= data["observed"] for value in data["null"])
    row = next(row for row in content["tables"][0]["rows"] if row[0] == "lesion")
    assert row[-1] == f"{(1 + reached) / (1 + COUNT):.3f}"
    assert abs(np.mean(data["null"]) - 0.5) < 0.1


def test_a_permutation_that_failed_does_not_count_and_is_said_to(context, truth):
    finish_all(Permutation(), context, Observer(truth, failing="permuted003"))
    content = Permutation().collect(context)
    assert len(content["figures"][0]["data"]["null"]) == COUNT - 1
    assert content["warnings"][0].startswith(f"1 of {COUNT} permutations")


def test_permuted_labels_get_no_holdout_that_the_true_ones_have_not(tmp_path, truth):
    """More holdouts vary less, and a p-value that compares different numbers of them is none."""
    options = {"permutations": "2"}
    context = make_context(tmp_path, truth, BUNDLE, options=options, repeats=2)
    finish_all(Permutation(), context, Observer(truth, failing="observed/repeat1"))
    content = Permutation().collect(context)
    assert content["warnings"] == [
        "1 of 2 holdouts are finished with the labels as they are; the others count nowhere."
    ]
    (tmp_path / "one").mkdir()
    one = make_context(tmp_path / "one", truth, BUNDLE, options=options)
    finish_all(Permutation(), one, Observer(truth))
    assert content["figures"] == Permutation().collect(one)["figures"]


def test_one_permutation_has_no_spread(tmp_path, truth):
    context = make_context(tmp_path, truth, BUNDLE, options={"permutations": "1"})
    finish_all(Permutation(), context, Observer(truth))
    json.dumps(Permutation().collect(context), allow_nan=False)


@pytest.mark.parametrize("count", ["0", "-3", "many"])
def test_numbers_of_permutations_that_are_none_are_refused(tmp_path, truth, count):
    with pytest.raises(ConfigError, match="E_OPTION"):
        Permutation().stages(make_context(tmp_path, truth, BUNDLE, options={"permutations": count}))


def test_a_metric_that_the_true_labels_do_not_define_is_refused(context, truth, monkeypatch):
    finish_all(Permutation(), context, Observer(truth))
    undefined = {"metrics": {"macro_auc": {"value": None, "low": None, "high": None, "why": "no lesion of class well"}}}
    monkeypatch.setattr(
        "mpmri_monai.experiments.permutation.evaluate", lambda *_, **__: {"levels": {"lesion": undefined}}
    )
    with pytest.raises(EvaluationError, match="no lesion of class well"):
        Permutation().collect(context)
