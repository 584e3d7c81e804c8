"""Hospitals that train together: what is asked of them, and a whole federated training in NVFlare's simulator."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from mpmri_monai.artefacts import read_json, write_json
from mpmri_monai.cohort import load_manifest, save_manifest
from mpmri_monai.errors import ConfigError, LeakageError, OutputError
from mpmri_monai.evaluation.fitted import salted
from mpmri_monai.inference.federated import ALL_SITES, FEDERATED, Federation, federated, read_sites
from mpmri_monai.networks import read_weights

OPTIONS = {"task": "hcc_vs_bg", "views": 1, "threads": 1}
"""Every patient has both classes, so that few are enough for a site."""


def test_sites_are_named_with_their_manifests():
    assert read_sites(["A=a.json", "B=x/b.json"]) == {"A": Path("a.json"), "B": Path("x/b.json")}


@pytest.mark.parametrize("typed", [["a.json"], ["A="], ["=a.json"], ["A=a.json", "A=b.json"]])
def test_what_names_no_site_or_one_twice_is_refused(typed):
    with pytest.raises(ConfigError, match="sites such as"):
        read_sites(typed)


@pytest.mark.parametrize("wrong", [{"rounds": 0}, {"local_epochs": 0}, {"sites": {"A": Path("a.json")}}])
def test_a_federation_of_nothing_is_refused(wrong, shipped, tmp_path):
    with pytest.raises(ConfigError, match="at least 2 sites"):
        Federation(**{"bundle": shipped, "sites": {"A": Path(), "B": Path()}, "out": tmp_path / "f"} | wrong)


@pytest.mark.parametrize("share", [0.0, 1.0, -0.5, float("nan")])
def test_a_share_that_leaves_nobody_to_test_or_to_train_is_refused(share, shipped, tmp_path):
    with pytest.raises(ConfigError, match="between 0 and 1"):
        Federation(shipped, {"A": Path(), "B": Path()}, tmp_path / "f", test=share)


@pytest.mark.parametrize("name", ["pooled", "server", "../outside", "a/b", "-x", ""])
def test_names_of_sites_that_are_taken_or_are_no_part_of_a_file_name_are_refused(name, shipped, tmp_path):
    with pytest.raises(ConfigError, match="sites named by"):
        Federation(shipped, {name: Path("a.json"), "B": Path("b.json")}, tmp_path / "f")


@pytest.fixture
def two_sites(hospital):
    """Manifests of two halves of the cohort."""
    everybody, found = load_manifest(hospital), {}
    for site, studies in (("A", everybody.studies[:8]), ("B", everybody.studies[8:])):
        found[site] = hospital.with_name(f"site_{site}.json")
        save_manifest(everybody.model_copy(update={"name": site, "studies": studies}), found[site])
    return found


def test_what_is_left_of_an_earlier_training_is_never_taken_up(shipped, two_sites, tmp_path):
    pytest.importorskip("nvflare")
    with pytest.raises(OutputError, match="does not exist yet"):
        federated(Federation(shipped, two_sites, tmp_path))


@pytest.mark.slow
def test_patients_of_two_sites_need_codes_of_their_own(shipped, hospital, with_cache, tmp_path):
    pytest.importorskip("nvflare")
    twice = Federation(shipped, {"A": hospital, "B": hospital}, tmp_path / "f", options=OPTIONS)
    with pytest.raises(ConfigError, match="codes"):
        federated(twice)


def test_a_pooled_manifest_of_other_people_is_refused(shipped, hospital, two_sites, tmp_path):
    pytest.importorskip("nvflare")
    everybody, others = load_manifest(hospital), hospital.with_name("others.json")
    save_manifest(everybody.model_copy(update={"studies": everybody.studies[1:]}), others)
    with pytest.raises(ConfigError, match="1 of theirs missing, 0 that no site has"):
        federated(Federation(shipped, two_sites, tmp_path / "f", others))
    assert not (tmp_path / "f").exists()


@pytest.mark.slow
def test_test_patients_whom_the_start_has_seen_are_refused(shipped, two_sites, with_cache, tmp_path):
    pytest.importorskip("nvflare")
    bundle = Path(shutil.copytree(shipped, tmp_path / "hcc_grade"))
    weights = bundle / "models" / "pretrained.pt"
    record = read_json(weights.with_suffix(".json"))
    everybody = {study.patient for manifest in two_sites.values() for study in load_manifest(manifest).studies}
    record["trained_on"]["seen"] = [{"salt": "x", "patients": [salted("x", patient) for patient in everybody]}]
    write_json(weights.with_suffix(".json"), record)
    with pytest.raises(LeakageError, match="have not seen"):
        federated(Federation(bundle, two_sites, tmp_path / "f", options=OPTIONS))
    assert not (tmp_path / "f").exists()


@pytest.mark.slow
def test_all_sites_end_with_the_same_weights_and_every_training_is_tested_alike(
    shipped, hospital, two_sites, with_cache, tmp_path
):
    pytest.importorskip("nvflare")
    out = tmp_path / "f"
    content = federated(Federation(shipped, two_sites, out, hospital, rounds=2, options=OPTIONS))
    ends = [read_weights(out / f"runs/federated-{site}/federated.pt") for site in two_sites]
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])
    assert all(np.isfinite(tensor).all() for tensor in map(np.asarray, ends[0].values()))
    alone = read_weights(out / "runs/local-A/model.pt")
    assert not torch.equal(ends[0]["conv1.weight"], alone["conv1.weight"])
    rows = pd.DataFrame(content["table"])
    assert set(rows["model"]) == {"local-A", "local-B", FEDERATED, "pooled"}
    assert set(rows["tested_on"]) == {"A", "B", ALL_SITES}
    assert rows.groupby("tested_on")["lesions"].nunique().eq(1).all()
    assert {one["against"] for one in content["federated_minus"]} == {"local-A", "local-B", "pooled"}
    assert json.loads((out / "metrics.json").read_text()) == content
    assert content["unseen"] == "checked by their codes"
    exchanged = (out / "plan.json").read_text()
    assert not any(study.patient in exchanged for study in load_manifest(hospital).studies)
