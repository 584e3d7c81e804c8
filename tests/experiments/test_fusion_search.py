"""The search sees no outer patient, goes on with the better fusions, and says how sure it is."""

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.finished_runs import Observer, finish_all, make_context, observed_phantom
from mpmri_monai.errors import ConfigError, EvaluationError
from mpmri_monai.evaluation import holm
from mpmri_monai.experiments.fusion_search import FusionSearch
from mpmri_monai.experiments.halving import best_first, rungs
from mpmri_monai.experiments.question import Question
from mpmri_monai.experiments.search import CHOSEN, Search, candidates
from mpmri_monai.experiments.search_results import _figure
from mpmri_monai.phantom.truth import ceiling
from mpmri_monai.sequences import SEQUENCES, fusion

FUSIONS = "IN,S0,T2,T2-OUT-S4,S2"
BUNDLE = Path(__file__).resolve().parents[2] / "bundles" / "hcc_grade"


@pytest.fixture(scope="module")
def truth():
    return observed_phantom()


@pytest.fixture
def context(tmp_path, truth):
    options = {"candidates": FUSIONS, "rungs": "2,6", "folds": "2"}
    return make_context(tmp_path, truth, BUNDLE, options=options)


def test_candidates_are_canonical_and_each_there_once():
    assert len(candidates("triples", SEQUENCES)) == math.comb(9, 3) == 84
    assert len(candidates("pairs,singles", SEQUENCES)) == 36 + 9
    assert candidates("nine", SEQUENCES) == ["-".join(SEQUENCES)]
    assert candidates("S4-OUT-T2, T21*S4,T2-OUT-S4", SEQUENCES) == ["T2-OUT-S4"]
    assert candidates("triples", ("T2", "S0", "S1")) == ["T2-S0-S1"]
    with pytest.raises(ConfigError, match="T2-S9"):
        candidates("T2-S9", SEQUENCES)


def test_84_fusions_are_halved_to_28_and_10():
    assert [(rung.candidates, rung.epochs) for rung in rungs(84, [6, 15, 30])] == [(84, 6), (28, 15), (10, 30)]
    assert [rung.candidates for rung in rungs(3, [1, 2, 3])] == [3]
    assert [rung.candidates for rung in rungs(1, [5, 6])] == [1]


@pytest.mark.parametrize("epochs", [[], [0, 1], [3, 3], [5, 2]])
def test_epochs_that_do_not_grow_are_refused(epochs):
    with pytest.raises(ConfigError, match="E_OPTION"):
        rungs(9, epochs)


@given(st.dictionaries(st.text(max_size=3), st.one_of(st.floats(0, 1), st.just(math.nan))))
def test_the_better_come_first_and_none_is_lost(values):
    order = best_first(values)
    assert sorted(order) == sorted(values)
    ranked = [values[name] for name in order]
    known = [value for value in ranked if not math.isnan(value)]
    assert known == sorted(known, reverse=True)
    assert all(math.isnan(value) for value in ranked[len(known) :])


def test_every_rung_keeps_the_best_of_the_one_before_in_each_fold_by_itself(context, truth):
    stages = finish_all(FusionSearch(), context, Observer(truth))
    assert [len(runs) for runs in stages] == [5 * 2 * 2, 2 * 2 * 2, 2 * 3]
    search = Search(context, Question.of(context))
    for fold in search.folds:
        first = {name: search.value(search.rungs[0], name, fold) for name in search.fusions}
        going_on = {run.options["fusion"] for run in stages[1] if run.options["split#fold"] == fold.number}
        assert going_on == set(sorted(first, key=first.get)[-2:])
        second = {name: search.value(search.rungs[1], name, fold) for name in going_on}
        (outer,) = [run for run in stages[2] if run.cell == CHOSEN and run.options["split#fold"] == fold.number]
        assert outer.options["fusion"] == max(second, key=second.get)
        assert outer.options["split#inner"] == -1


def test_the_choice_does_not_depend_on_the_outer_patients(context, truth, tmp_path):
    """Another grade for every patient of the outer fold changes the outer result and nothing before."""
    before = finish_all(FusionSearch(), context, Observer(truth))
    other = tmp_path / "other"
    other.mkdir()
    again = make_context(other, truth, BUNDLE, options=context.options)
    outer = (truth["patient"].factorize()[0] // 3) % 2 == 0
    names = {"well": "poorly", "moderately": "well", "poorly": "moderately"}
    relabelled = truth.assign(label=truth["label"].where(~outer, truth["label"].map(names)))
    after = finish_all(FusionSearch(), again, Observer(relabelled))
    chosen = [
        [run.options["fusion"] for run in runs[2] if run.name == "chosen/repeat0-fold0"] for runs in (before, after)
    ]
    assert chosen[0] == chosen[1]


def test_a_good_observer_leads_to_the_fusion_with_the_highest_ceiling(context, truth):
    finish_all(FusionSearch(), context, Observer(truth, noise=0.1))
    content = FusionSearch().collect(context)
    ceilings = {name: ceiling(truth, fusion(name))["macro_auc"]["mean"] for name in FUSIONS.split(",")}
    best = max(ceilings, key=ceilings.get)
    tables = {table["key"]: table for table in content["tables"]}
    assert {row[1] for row in tables["winners"]["rows"]} == {best} == {"T2-OUT-S4"}
    assert tables["winners"]["rows"][0][4] == tables["winners"]["rows"][0][5] == f"{ceilings[best]:.3f}"
    (wins,) = [figure["data"]["bars"] for figure in content["figures"]]
    assert wins[0]["name"] == best
    assert wins[0]["probability"] > 0.9
    assert sum(bar["probability"] for bar in wins) == pytest.approx(1)
    assert wins[0]["ceiling"] == pytest.approx(ceilings[best])
    tested = [comparison["metrics"]["macro_auc"] for comparison in content["comparisons"]]
    assert [found["p_holm"] for found in tested] == holm([found["p"] for found in tested])
    json.dumps(content, allow_nan=False)


def test_an_ignorant_observer_is_told_to_be_one(context, truth):
    """To him labels are noise: no fusion is sure to win, and patients who had no part in the choice show it."""
    finish_all(FusionSearch(), context, Observer(truth, noise=1e3))
    content = FusionSearch().collect(context)
    tables = {table["key"]: table for table in content["tables"]}
    low, high = map(float, tables["outer"]["rows"][0][1].partition(" ")[2].strip("[]").split(","))
    assert low < 0.5 < high
    (wins,) = [figure["data"]["bars"] for figure in content["figures"]]
    assert max(bar["probability"] for bar in wins) < 0.9


def test_a_fusion_whose_training_failed_is_out_and_said_to_be(context, truth):
    finish_all(FusionSearch(), context, Observer(truth, noise=0.1, failing="rung0-T2-OUT-S4/repeat0-fold1-inner1"))
    content = FusionSearch().collect(context)
    tables = {table["key"]: table for table in content["tables"]}
    assert "T2-OUT-S4" not in {row[1] for row in tables["ranking"]["rows"]}
    assert tables["winners"]["rows"][1][1] != "T2-OUT-S4"
    assert any(warning.startswith("1 fusions are not ranked") for warning in content["warnings"])


def test_a_search_without_a_finished_fusion_has_no_winner(context, truth):
    with pytest.raises(EvaluationError, match="E_CELL_EMPTY"):
        finish_all(FusionSearch(), context, Observer(truth, failing="rung"))


def test_options_that_are_none_are_refused(tmp_path, truth):
    for options in ({"rungs": "a,b"}, {"candidates": "fours"}, {"folds": "x"}):
        with pytest.raises(ConfigError):
            FusionSearch().stages(make_context(tmp_path, truth, BUNDLE, options=options))


def test_a_perfect_fusion_has_no_interval_in_the_figure():
    """Its macro AUC of 1 in every resample has none; NaN would make the content no JSON."""
    ranked = pd.DataFrame({"name": ["T2", "S0"], "value": [1, 0.8], "low": [None, 0.7], "high": [None, 0.9]})
    figure = _figure(ranked.assign(p_win=[1.0, 0.0], ceiling=np.nan))
    assert figure["data"]["bars"][0]["low"] is None
    json.dumps(figure, allow_nan=False)
