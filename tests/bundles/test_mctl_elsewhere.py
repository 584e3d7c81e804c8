"""The mctl bundles in other hands: DICOM by the brain protocol, a new study, several processes, a federated client."""

import json
import os
import shutil
import subprocess
import sys

import pytest
import torch
from monai.bundle import verify_metadata, verify_net_in_out

from mpmri_monai.artefacts import CACHE_VARIABLE
from mpmri_monai.phantom import write_cohort
from mpmri_monai.phantom.study import write_study

QUICK = {"copies": 2, "max_epochs": 2, "filters": 4, "dense": 4}
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def phantom(tmp_path_factory):
    """Manifest of a few generated brains, as DICOM."""
    return write_cohort(tmp_path_factory.mktemp("phantom") / "c", "brain", patients=10, workers=1, progress=False)


@pytest.mark.parametrize("name", ["mctl_brain", "mctl_autoencoder"])
def test_monai_accepts_metadata_and_networks(root, cache, tmp_path, name, monkeypatch):
    monkeypatch.setenv(CACHE_VARIABLE, str(cache))
    schema = tmp_path / "schema.json"
    shutil.copy(root / "mpmri_monai" / "bundle" / "meta_schema_20240725.json", schema)
    configs = root / "bundles" / name / "configs"
    verify_metadata(meta_file=str(configs / "metadata.json"), filepath=str(schema))
    verify_net_in_out("network_def", str(configs / "metadata.json"), str(configs / "train.json"))
    assert not (cache / "cohorts").exists()


def test_from_the_phantoms_dicom_to_an_answer_on_a_new_study(run_here, bundle, phantom, root, tmp_path):
    cohort = {"manifest": str(phantom), "results": "predictions"}
    pretrained = run_here("mctl_autoencoder", tmp_path / "ae", max_epochs=1, **cohort, **{"samples#grid#patches": 100})
    options = {"pretrained": str(pretrained / "encoder.pt"), "copies": 2, "max_epochs": 2}
    run = run_here("mctl_brain", tmp_path / "run", **cohort | {"results": "report"}, **options, **{"split#val": 0})
    assert 0.5 < json.loads((run / "metrics.json").read_text())["ceiling"]["fusion"]["accuracy"]["mean"] <= 1
    study = write_study(tmp_path / "new", "brain", number=11)
    given = ("--models", run, "--study", study.dicom, "--lesion_mask", study.lesion_mask)
    config = root / "bundles" / "mctl_brain" / "configs" / "inference.json"
    result = bundle("inference", config, *given, "--output_dir", tmp_path / "answer")
    assert "Research use only" in result.stdout
    (lesion,) = json.loads((tmp_path / "answer" / "result.json").read_text())["lesions"]
    assert set(lesion["probabilities"]) == {"healthy", "unhealthy"}
    assert sum(lesion["probabilities"].values()) == pytest.approx(1, abs=1e-5)
    assert (tmp_path / "answer" / "picture.png").stat().st_size > 1000


def test_two_processes_train_as_one_and_write_once(brains, small_grid, cache, root, tmp_path):
    configs = [
        str(root / "bundles" / "mctl_brain" / "configs" / f"{name}.json") for name in ("train", "multi_gpu_train")
    ]
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    command += ["-m", "monai.bundle", "run", "training", "--config_file", str(configs)]
    options = small_grid | QUICK | {"manifest": brains, "output_dir": tmp_path / "run", "threads": 1, "num_workers": 0}
    command += [str(part) for key, value in options.items() for part in (f"--{key}", value)]
    environment = os.environ | {CACHE_VARIABLE: str(cache), "OMP_NUM_THREADS": "1"}
    result = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-3000:]
    assert result.stdout.count("Report: ") == 1
    assert '"processes": 2' in (tmp_path / "run" / "environment.json").read_text()


def test_a_round_of_a_federated_site(brains, small_grid, cache, root, tmp_path, monkeypatch):
    client = pytest.importorskip("monai.fl.client")
    from monai.fl.utils.exchange_object import ExchangeObject

    monkeypatch.setenv(CACHE_VARIABLE, str(cache))
    shutil.copytree(root / "bundles" / "mctl_brain", tmp_path / "mctl_brain")
    options = small_grid | QUICK | {"manifest": str(brains), "output_dir": str(tmp_path / "run")}
    options |= {"threads": 1, "num_workers": 0, "split#val": 0.3}
    site = client.MonaiAlgo(
        str(tmp_path / "mctl_brain"),
        local_epochs=1,
        send_weight_diff=False,
        train_kwargs=dict(options),
        eval_kwargs=dict(options),
    )
    site.initialize()
    before = {name: torch.as_tensor(value).clone() for name, value in site.get_weights().weights.items()}
    site.train(ExchangeObject(weights=before))
    after = site.get_weights().weights
    assert not torch.equal(torch.as_tensor(after["conv1.weight"]), before["conv1.weight"])
    assert 0 <= site.evaluate(ExchangeObject(weights=after)).metrics["val_macro_auc"] <= 1
    site.finalize()
