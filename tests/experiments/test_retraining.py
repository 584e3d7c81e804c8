"""Training again from other seeds on the same folds."""

from __future__ import annotations

from pathlib import Path

import pytest

from experiments.finished_runs import Observer, finish_all, make_context, observed_phantom
from mpmri_monai.errors import ConfigError
from mpmri_monai.experiments.retraining import Retraining
from mpmri_monai.report import write_experiment_report

BUNDLE = Path(__file__).resolve().parents[2] / "bundles" / "hcc_grade"


@pytest.fixture(scope="module")
def truth():
    return observed_phantom()


def _context(folder, truth, repeats=3):
    return make_context(folder, truth, BUNDLE, repeats=repeats, options={"folds": "2"})


def _spread(content, metric="macro AUC"):
    rows = {(row[0], row[1]): row for row in content["tables"][0]["rows"]}
    return float(rows["lesion", metric.replace("macro AUC", "macro auc")][4])


def test_the_division_is_the_same_for_every_seed(tmp_path, truth):
    (stage,) = Retraining().stages(_context(tmp_path, truth))
    runs = stage.runs()
    assert stage.count == len(runs) == 3 * 2
    assert {run.options["cohort#seed"] for run in runs} == {0}
    assert {run.options["seed"] for run in runs} == {0, 1, 2}
    assert [run.cell for run in runs[:2]] == ["seed0", "seed0"]


def test_noisier_training_adds_more_variance(tmp_path, truth):
    spreads = []
    for name, noise in (("quiet", 0.2), ("noisy", 12.0)):
        (tmp_path / name).mkdir()
        context = _context(tmp_path / name, truth)
        finish_all(Retraining(), context, Observer(truth, noise=noise))
        content = Retraining().collect(context)
        spreads.append(_spread(content))
    assert spreads[0] < spreads[1]
    assert "from training again" in content["headline"][0]
    assert write_experiment_report(tmp_path / "report", {"schema": "mpmri-monai/experiment/1",
                                   "experiment": "retraining", **content}).is_file()  # fmt: skip


def test_seeds_that_lack_a_fold_are_left_out(tmp_path, truth):
    context = _context(tmp_path, truth)
    finish_all(Retraining(), context, Observer(truth, failing="seed2/fold1"))
    assert "2 seeds" in Retraining().collect(context)["protocol"][0]


def test_one_seed_cannot_be_compared(tmp_path, truth):
    with pytest.raises(ConfigError, match="at least 2 seeds"):
        Retraining().stages(_context(tmp_path, truth, repeats=1))
