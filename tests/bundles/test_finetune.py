"""finetune.json merged over train.json: MONAI's command goes on from the bundle's own weights."""

import pytest
import torch

from mpmri_monai.networks import read_weights

QUICK = ("--max_epochs", 1, "--views", 1, "--threads", 1, "--num_workers", 0, "--results", "predictions")


@pytest.fixture
def merged(config):
    return f"['{config('train')}','{config('finetune')}']"


@pytest.mark.slow
def test_the_head_goes_on_learning_and_all_below_stays(bundle, merged, config, cohort, tmp_path):
    options = ("--manifest", cohort, "--output_dir", tmp_path / "run", "--finetune_depth", 1, *QUICK)
    bundle("training", merged, *options)
    before, after = (
        read_weights(config("train").parents[1] / "models/model.pt"),
        read_weights(tmp_path / "run/model.pt"),
    )
    changed = {name for name in after if not torch.equal(before[name], after[name])}
    assert changed == {"classifier.weight", "classifier.bias"}
    moved = max(float((after[name] - before[name]).abs().max()) for name in changed)
    assert moved < 0.1  # tuned, not drawn anew


@pytest.mark.slow
def test_other_channels_than_those_of_the_weights_are_refused_by_name(bundle, merged, cohort, tmp_path):
    options = ("--manifest", cohort, "--output_dir", tmp_path / "run", "--fusion", "T2-IN-S4", *QUICK)
    result = bundle("training", merged, *options, check=False)
    assert result.returncode != 0
    assert "fusion T2-OUT-S4 → T2-IN-S4" in result.stderr + result.stdout
