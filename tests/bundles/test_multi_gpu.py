"""Two processes under torchrun, on the CPU with gloo: they train as one, can be killed, and write once."""

import os
import subprocess
import sys
import time

import pytest
import torch

from mpmri_monai.networks import read_weights

OPTIONS = ("--task", "hcc_vs_bg", "--views", 1, "--threads", 1, "--num_workers", 0)
"""Every patient has both classes, so that few are enough for a validation set."""
SAME = 1e-4
"""Weights after one epoch of some twenty steps: sums of other order differ by rounding, which every step amplifies."""
FILES = ("predictions.csv", "model.pt", "history.csv", "metrics.json")


@pytest.fixture
def torchrun(config, cohort, cache, root):
    """torchrun(folder, *more, check=True) runs the training in two processes; without check it returns at once."""

    def run(folder, *more, check=True):
        configs = f"['{config('train')}','{config('multi_gpu_train')}']"
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
        command += ["-m", "monai.bundle", "run", "training", "--config_file", configs]
        options = ("--manifest", cohort, "--output_dir", folder, "--max_epochs", 4, *OPTIONS, *more)
        environment = os.environ | {"MPMRI_CACHE": str(cache), "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
        process = subprocess.Popen(
            [*command, *map(str, options)],
            cwd=root, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        if check:
            output, _ = process.communicate(timeout=300)
            assert process.returncode == 0, output[-3000:]
            return output
        return process

    return run


@pytest.mark.slow
def test_two_processes_train_as_one_resume_and_write_once(torchrun, tmp_path):
    output = torchrun(tmp_path / "whole")
    assert output.count("Report: ") == 1
    names = {path.name for path in (tmp_path / "whole").iterdir()}
    assert {*FILES, "config.json", "environment.json", "reference.json", "report.html", "log.txt"} <= names
    assert not [name for name in names if name.endswith(".part")]
    assert '"processes": 2' in (tmp_path / "whole/environment.json").read_text()
    assert "is finished" in torchrun(tmp_path / "whole")

    process = torchrun(tmp_path / "killed", check=False)
    while not (tmp_path / "killed/checkpoint.pt").exists() and process.poll() is None:
        time.sleep(0.01)
    process.terminate()  # torchrun ends its processes with it
    process.communicate(timeout=60)
    torchrun(tmp_path / "killed")
    for name in FILES:
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


@pytest.mark.slow
def test_two_processes_freeze_the_same_layers_and_need_no_validation(torchrun, tmp_path):
    torchrun(tmp_path / "first", "--split#val", 0, "--results", "predictions")
    weights = tmp_path / "first/model.pt"
    recipe = ("--recipe", "layerwise", "--finetune_depth", 2, "--balance", "downsample", "--pretrained", weights)
    torchrun(tmp_path / "tuned", "--split#val", 0, "--results", "predictions", *recipe)
    before, after = read_weights(weights), read_weights(tmp_path / "tuned/model.pt")
    changed = {name for name in after if not torch.equal(before[name], after[name])}
    assert changed == {name for name in after if name.startswith(("embedding.", "classifier."))}
    process = torchrun(tmp_path / "refused", *recipe, "--unfreeze_every", 1, check=False)
    output, _ = process.communicate(timeout=300)
    assert process.returncode != 0
    assert "expected one process to unfreeze layers gradually" in output


@pytest.mark.slow
def test_with_kept_statistics_two_processes_equal_one_on_the_joint_batch(torchrun, bundle, config, cohort, tmp_path):
    """Two views a sample make equal shares; without jitter a crop does not depend on the batch that it lies in."""
    same = ("--split#val", 0, "--results", "predictions", "--keep_statistics", True, "--recipe", "layerwise")
    same += ("--finetune_depth", -1, "--jitter", 0, "--max_epochs", 1)
    torchrun(tmp_path / "two", *same, "--views", 2, "--batch_size", 4)
    options = ("--manifest", cohort, "--output_dir", tmp_path / "one", *OPTIONS, *same)
    bundle("training", config("train"), *options, "--views", 2, "--batch_size", 8)
    start = read_weights(config("train").parents[1] / "models/pretrained.pt")
    one, two = (read_weights(tmp_path / name / "model.pt") for name in ("one", "two"))
    apart = max(float((one[name] - two[name]).abs().max()) for name in one if one[name].is_floating_point())
    moved = max(float((one[name] - start[name]).abs().max()) for name in start if "conv" in name and name in one)
    assert apart < SAME < moved
    assert all(torch.equal(one[name], start[name]) for name in start if "running" in name)
