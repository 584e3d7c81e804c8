"""Test-time averaging and classical heads, by the bundle's commands."""

import json

import pandas as pd
import pytest
import torch

SAME_SUM = 1e-5
"""float32 in batches of another size."""


@pytest.fixture(scope="module")
def averaged_run(bundle, cohort, config, quick, tmp_path_factory):
    """A finished training run whose predictions are averaged."""
    folder = tmp_path_factory.mktemp("runs") / "averaged"
    options = ("--manifest", cohort, "--output_dir", folder, *quick, "--max_epochs", 1, "--averaging", True)
    bundle("training", config("train"), *options)
    return folder


def probabilities(rows):
    return sorted(rows[[f"p_{name}" for name in ("well", "moderately", "poorly")]].itertuples(index=False))


def test_answers_are_averaged_as_the_predictions_of_the_training_were(averaged_run, bundle, cohort, config, tmp_path):
    """A study of the cohort, asked again as a new one, gets the probabilities that the run wrote for it."""
    assert json.loads((averaged_run / "reference.json").read_text())["averaging"] is True
    study = json.loads(cohort.read_text())["studies"][0]
    place, mask = cohort.parent / study["patient"], study["lesions"][0]["region"]["mask"]
    options = ("--models", averaged_run, "--study", place / "dicom", "--lesion_mask", cohort.parent / mask)
    bundle("inference", config("inference"), *options, "--output_dir", tmp_path / "answer")
    assert json.loads((tmp_path / "answer/result.json").read_text())["averaging"] is True
    trained = pd.read_csv(averaged_run / "predictions.csv")
    answered = pd.read_csv(tmp_path / "answer/predictions.csv")
    wanted = probabilities(trained[trained["study"] == study["study"]])
    assert len(wanted) == len(answered) > 0
    for found, expected in zip(probabilities(answered), wanted, strict=True):
        assert found == pytest.approx(expected, abs=SAME_SUM)


@pytest.mark.slow
def test_evaluating_an_averaged_run_averages_or_is_refused(averaged_run, bundle, cohort, config):
    before = (averaged_run / "predictions.csv").read_bytes()
    configs = f"['{config('train')}','{config('evaluate')}']"
    options = ("--manifest", cohort, "--output_dir", averaged_run, "--split#val", 0, "--threads", 1)
    refused = bundle("evaluating", configs, *options, check=False)
    assert refused.returncode != 0
    assert "--averaging True" in refused.stderr
    assert "Traceback" not in refused.stderr
    bundle("evaluating", configs, *options, "--averaging", True)
    assert (averaged_run / "predictions.csv").read_bytes() == before


def test_a_classical_head_writes_predictions_and_leaves_the_network_alone(
    averaged_run, bundle, cohort, config, quick, tmp_path
):
    options = ("--manifest", cohort, *quick, "--head", "logistic", "--finetune_depth", 0)
    refused = bundle("training", config("train"), *options, "--output_dir", tmp_path / "no", check=False)
    assert "--results predictions" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert not (tmp_path / "no").exists()
    start = ("--pretrained", averaged_run / "model.pt", "--results", "predictions")
    bundle("training", config("train"), *options, *start, "--output_dir", tmp_path / "yes")
    rows = pd.read_csv(tmp_path / "yes/predictions.csv")
    columns = list(pd.read_csv(averaged_run / "predictions.csv").columns)
    assert list(rows.columns) == columns
    assert (rows[["p_well", "p_moderately", "p_poorly"]].sum(axis=1) - 1).abs().max() < 1e-6
    assert rows[rows["role"] == "train"].groupby("label")["p_well"].mean().idxmax() == "well"
    state = torch.load(tmp_path / "yes/model.pt", weights_only=True)
    for name, tensor in torch.load(averaged_run / "model.pt", weights_only=True).items():
        assert "classifier" in name or torch.equal(state[name], tensor), name
    assert not (tmp_path / "yes/reference.json").exists()
