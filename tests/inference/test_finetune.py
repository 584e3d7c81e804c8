"""A bundle tuned at a hospital: who judges, what is chosen, and what the next version holds."""

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from mpmri_monai.artefacts import write_json
from mpmri_monai.bundle.adopt import contents
from mpmri_monai.cohort import load_manifest, save_manifest
from mpmri_monai.errors import ConfigError, OutputError
from mpmri_monai.evaluation import read_predictions, write_predictions
from mpmri_monai.evaluation.fitted import VAL, Seen
from mpmri_monai.evaluation.temperature import Temperature
from mpmri_monai.inference.finetune import _joined, _reference, finetune
from mpmri_monai.inference.model import TrainedModel
from mpmri_monai.inference.tuning import Tuning, choose_depth
from mpmri_monai.networks import read_weights
from mpmri_monai.sequences import TASKS

QUICK = {"epochs": 1, "other_people": True, "device": "cpu"}


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


@pytest.mark.slow
def test_a_stopped_command_goes_on_and_the_old_site_is_judged_without_those_who_were_tuned_on(
    shipped, hospital, with_cache, tmp_path, monkeypatch
):
    everybody = load_manifest(hospital)
    renamed = [one.model_copy(update={"patient": f"new{one.patient}"}) for one in everybody.studies]
    local = hospital.with_name("renamed_for_tuning.json")
    save_manifest(everybody.model_copy(update={"studies": tuple(renamed), "truth": None}), local)
    tuning = Tuning(0.5, (1,), epochs=1, device="cpu")

    def stopped(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("mpmri_monai.inference.finetune.new_version", stopped)
        with pytest.raises(KeyboardInterrupt):
            finetune(shipped, local, tmp_path / "t", tuning, local)
    content = finetune(shipped, local, tmp_path / "t", tuning, local)
    assert (
        TrainedModel(tmp_path / "t/hcc_grade/models", tmp_path / "t/hcc_grade").bundle["version"] == content["version"]
    )
    judges = set(read_predictions(tmp_path / "t/predictions_after.csv")["patient"])
    assert set(read_predictions(tmp_path / "t/predictions_old_after.csv")["patient"]) == judges


def test_thresholds_of_certainty_go_where_another_temperature_comes_to_be_shown(tmp_path):
    rng, classes = np.random.default_rng(0), TASKS["hcc_grade"].classes
    rows = []
    for k, label in enumerate([*classes] * 4):
        p = rng.dirichlet([1, 1, 1])
        rows.append({"patient": f"P{k}", "label": label} | dict(zip((f"p_{name}" for name in classes), p, strict=True)))
    fixed = {"task": "hcc_grade", "study": "s", "lesion": "L1", "sample": "L1-0", "site": "B", "repeat": 0, "outer": 0}
    inner = pd.DataFrame(rows).assign(**fixed, inner="0", role="val")
    judged = inner.assign(patient=[f"J{k}" for k in range(len(inner))], inner="", role="test")
    write_predictions(tmp_path / "predictions.csv", judged)
    shares = {"ranges": {}, "present": {"T2": 0.5}, "trained_on": {"patients": 30}}
    write_json(tmp_path / "reference.json", shares | {"present": {"T2": 1.0}, "trained_on": {"patients": 10}})
    unseen = Seen(VAL, "salt", frozenset(), {})
    old = Temperature("hcc_grade", classes, 3.0, unseen)
    trainings = SimpleNamespace(
        trusted=SimpleNamespace(model=SimpleNamespace(reference=shares, fitted=[old])),
        depths=(0, 1), inner={1: inner}, local=SimpleNamespace(task=TASKS["hcc_grade"]), tuning=Tuning(),
    )  # fmt: skip
    found = _reference(trainings, tmp_path, 1)
    kinds = [one["kind"] for one in found["fitted"]]
    assert Temperature.kind in kinds  # the old one: four patients of a class are too few for another
    assert "conformal_marginal" in kinds
    assert "certainty_threshold" not in kinds
    assert found["present"] == {"T2": 0.625}


def test_a_folder_with_results_of_another_command_is_not_taken_for_an_earlier_tuning(shipped, tmp_path):
    write_json(tmp_path / "metrics.json", {"schema": "mpmri-monai/validation/1"})
    with pytest.raises(OutputError, match="name another --out"):
        finetune(shipped, tmp_path / "local.json", tmp_path)
