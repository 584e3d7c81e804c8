"""A bundle tuned at a hospital: who judges, what is chosen, and what the next version holds."""

import json

import numpy as np
import pandas as pd
import pytest
import torch

from mpmri_monai.bundle.adopt import contents
from mpmri_monai.errors import ConfigError, OutputError
from mpmri_monai.evaluation import read_predictions
from mpmri_monai.inference.finetune import _joined, finetune
from mpmri_monai.inference.model import TrainedModel
from mpmri_monai.inference.tuning import Tuning, choose_depth, read_depths
from mpmri_monai.networks import read_weights

QUICK = {"epochs": 1, "other_people": True, "device": "cpu"}


def test_depths_are_whole_numbers():
    assert read_depths("0,2, 12") == (0, 2, 12)
    assert read_depths("") == ()
    with pytest.raises(ConfigError, match="depths"):
        read_depths("all")


def test_the_shallowest_depth_is_chosen_that_is_not_clearly_worse_than_the_best():
    rng = np.random.default_rng(0)
    best = rng.uniform(0.2, 1.0, 20)
    noise = rng.normal(0.02, 0.3, 20)
    assert choose_depth(pd.DataFrame({0: best + 0.5, 1: best + noise, 12: best})) == (
        1 if noise.mean() <= noise.std(ddof=1) / 20**0.5 else 12
    )
    assert choose_depth(pd.DataFrame({0: best + 0.5, 1: best + 0.4, 12: best})) == 12
    assert choose_depth(pd.DataFrame({0: best, 1: best, 12: best})) == 0
    assert choose_depth(pd.DataFrame({0: best, 1: best + 0.1})) == 0


@pytest.mark.parametrize("wrong", [{"held_out": 0.0}, {"held_out": 1.0}, {"epochs": -1}])
def test_choices_that_mean_nothing_are_refused(wrong):
    with pytest.raises(ConfigError):
        Tuning(**wrong)


def test_ranges_of_both_trainings_are_joined():
    older = {"extent_mm": [10, 50], "signal": {"T2": [1.0, 5.0], "S0": [1.0, 2.0]}, "timing": {"S1": [10.0, 20.0]}}
    newer = {"extent_mm": [5, 40], "signal": {"T2": [2.0, 9.0], "S0": []}}
    assert _joined(older, newer) == {
        "extent_mm": [5, 50],
        "signal": {"T2": [1.0, 9.0], "S0": [1.0, 2.0]},
        "timing": {"S1": [10.0, 20.0]},
    }


@pytest.mark.slow
def test_the_next_version_is_tuned_on_others_than_those_who_judge(shipped, hospital, with_cache, tmp_path):
    before = contents(shipped)
    content = finetune(shipped, hospital, tmp_path / "t", Tuning(0.5, (1, 2), **QUICK), hospital)
    assert contents(shipped) == before
    best = min(content["depths"], key=lambda one: one["nll"])["depth"]
    assert content["depth"] <= best

    splits = pd.read_csv(next((tmp_path / "t/runs").glob("depth-*/inner-0")) / "splits.csv", keep_default_na=False)
    outer = splits[splits["inner"].astype(str) == ""]
    judges = set(outer.loc[outer["role"] == "test", "patient"])
    inner = set(splits.loc[splits["inner"].astype(str) != "", "patient"])
    assert judges
    assert inner
    assert not judges & inner
    for name in ("predictions_before.csv", "predictions_after.csv"):
        assert set(read_predictions(tmp_path / "t" / name)["patient"]) == judges

    bundle = tmp_path / "t" / "hcc_grade"
    model = TrainedModel(bundle / "models", bundle)
    assert model.bundle["version"] == content["version"]
    old, new = read_weights(shipped / "models/model.pt"), read_weights(bundle / "models/model.pt")
    changed = {name.split(".")[0] for name in new if not torch.equal(old[name], new[name])}
    assert changed == ({"classifier"} if content["depth"] == 1 else {"classifier", "embedding"})
    history = model.reference["history"]
    assert history[-1]["from"]["weights_sha256"] == content["bundle"]["weights_sha256"]
    assert history[-1]["cohort"]["held_out"] == len(judges)
    assert json.loads((bundle / "contents.json").read_text()) == contents(bundle)
    assert len(model.reference["trained_on"]["seen"]) == 2  # those of the older version, and these
    assert "fine-tuned on" in (tmp_path / "t/report.html").read_text()
    with pytest.raises(OutputError):
        finetune(shipped, hospital, tmp_path / "t", Tuning(0.5, (1, 2), **QUICK))


@pytest.mark.slow
def test_tuning_nothing_leaves_the_bundle_and_makes_no_version(shipped, hospital, with_cache, tmp_path):
    content = finetune(shipped, hospital, tmp_path / "t", Tuning(0.5, (0,), **QUICK))
    assert content["version"] is None
    assert not (tmp_path / "t" / "hcc_grade").exists()
    assert "stays as it is" in (tmp_path / "t/report.html").read_text()


@pytest.mark.slow
def test_a_depth_that_the_network_lacks_is_refused(shipped, hospital, with_cache, tmp_path):
    with pytest.raises(ConfigError, match="depths from 0"):
        finetune(shipped, hospital, tmp_path / "t", Tuning(0.5, (99,), **QUICK))
