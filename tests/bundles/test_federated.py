"""MONAI's federated client on a copy of the bundle: weights in, weights and metrics out, no image leaves."""

import shutil

import pytest
import torch

from mpmri_monai.artefacts import CACHE_VARIABLE

OPTIONS = {"task": "hcc_vs_bg", "views": 1, "threads": 1, "num_workers": 0}
"""Every patient has both classes, so that few are enough for a validation set."""


def copied(weights):
    """On the CPU the client hands out the network's own tensors."""
    return {name: torch.as_tensor(value).clone() for name, value in weights.items()}


@pytest.mark.slow
def test_two_rounds_of_a_site(config, cohort, cache, tmp_path, monkeypatch):
    client = pytest.importorskip("monai.fl.client")
    from monai.fl.utils.exchange_object import ExchangeObject

    monkeypatch.setenv(CACHE_VARIABLE, str(cache))
    bundle = tmp_path / "hcc_grade"
    shutil.copytree(config("train").parents[1], bundle)
    options = OPTIONS | {"manifest": str(cohort), "output_dir": str(tmp_path / "run")}
    site = client.MonaiAlgo(
        str(bundle), local_epochs=1, send_weight_diff=False, train_kwargs=dict(options), eval_kwargs=dict(options)
    )
    site.initialize()
    weights = copied(site.get_weights().weights)
    for number in (1, 2):
        site.train(ExchangeObject(weights=weights))
        trained = copied(site.get_weights().weights)
        assert site.trainer.state.epoch == number
        assert not torch.equal(trained["conv1.weight"], weights["conv1.weight"])
        metrics = site.evaluate(ExchangeObject(weights=trained)).metrics
        assert 0 <= metrics["val_macro_auc"] <= 1
        weights = trained
    site.finalize()
    assert len((tmp_path / "run/history.csv").read_text().splitlines()) == 3
