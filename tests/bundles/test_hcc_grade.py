"""The hcc_grade bundle from end to end: DICOM in, weights, report and an answer out."""

import json
import os
import shutil
import subprocess
import sys
import time

import pandas as pd
import pytest
import torch
from monai.bundle import ConfigWorkflow

from mpmri_monai.bundle.adopt import contents
from mpmri_monai.bundle.audit import audit_run
from mpmri_monai.networks import read_weights


def test_a_run_leaves_everything_that_its_folder_promises(run_folder):
    names = {path.name for path in run_folder.iterdir()}
    assert {"config.json", "environment.json", "splits.csv", "log.txt"} <= names
    assert {"model.pt", "reference.json", "history.csv", "predictions.csv", "metrics.json"} <= names
    assert {"figures", "report.html"} <= names
    assert not [name for name in names if name.endswith(".part")]
    state = torch.load(run_folder / "model.pt", weights_only=True)
    assert all(isinstance(value, torch.Tensor) for value in state.values())


def test_predictions_cover_every_patient_once_in_one_role(run_folder, cohort):
    rows = pd.read_csv(run_folder / "predictions.csv")
    patients = {study["patient"] for study in json.loads(cohort.read_text())["studies"]}
    assert set(rows["patient"]) == patients
    assert rows.groupby("patient")["role"].nunique().max() == 1
    assert not rows.duplicated(["study", "lesion", "sample"]).any()
    assert (rows[["p_well", "p_moderately", "p_poorly"]].sum(axis=1) - 1).abs().max() < 1e-6


def test_metrics_name_baseline_and_ceiling(run_folder):
    metrics = json.loads((run_folder / "metrics.json").read_text())
    assert metrics["fusion"] == "T2-OUT-S4"
    assert set(metrics["levels"]) == {"slice", "lesion", "patient"}
    assert 0 < metrics["ceiling"]["fusion"]["accuracy"]["mean"] <= 1
    assert "lesion" in metrics["baseline"]["levels"]


def test_no_identifier_of_the_headers_is_written(run_folder, cohort):
    import pydicom

    study = json.loads(cohort.read_text())["studies"][0]
    image = next(path for path in (cohort.parent / study["patient"] / "dicom").iterdir())
    header = pydicom.dcmread(image, stop_before_pixels=True)
    wanted = [str(header[name].value) for name in ("PatientName", "PatientID", "StudyInstanceUID") if name in header]
    text = " ".join(
        path.read_text(errors="replace")
        for path in run_folder.iterdir()
        if path.suffix in (".json", ".csv", ".txt", ".html")
    )
    assert wanted
    assert not [value for value in wanted if value and value in text]


def test_evaluating_again_gives_the_same_bytes(run_folder, bundle, cohort, config):
    before = (run_folder / "predictions.csv").read_bytes()
    configs = f"['{config('train')}','{config('evaluate')}']"
    options = ("--manifest", cohort, "--output_dir", run_folder, "--split#val", 0, "--threads", 1)
    bundle("evaluating", configs, *options)
    assert (run_folder / "predictions.csv").read_bytes() == before


def test_evaluating_with_another_fusion_is_refused(run_folder, bundle, cohort, config):
    configs = f"['{config('train')}','{config('evaluate')}']"
    options = ("--manifest", cohort, "--output_dir", run_folder, "--split#val", 0, "--fusion", "T2-S0-S2")
    result = bundle("evaluating", configs, *options, check=False)
    assert result.returncode != 0
    assert "--fusion T2-OUT-S4" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_finished_run_says_so_and_another_one_is_refused(run_folder, bundle, cohort, config, quick):
    weights = (run_folder / "model.pt").read_bytes()
    options = ("--manifest", cohort, "--output_dir", run_folder, *quick)
    assert "finished" in bundle("training", config("train"), *options).stdout
    refused = bundle("training", config("train"), *options, "--learning_rate", 0.01, check=False)
    assert refused.returncode != 0
    assert "learning_rate: 0.0 → 0.01" in refused.stderr
    assert (run_folder / "model.pt").read_bytes() == weights


def test_the_same_seed_gives_the_same_bytes_whatever_the_workers(run_folder, bundle, cohort, config, quick, tmp_path):
    assert quick[-2:] == ("--num_workers", 0)
    options = ("--manifest", cohort, "--output_dir", tmp_path / "run", *quick[:-1], 2)
    bundle("training", config("train"), *options, cache=tmp_path / "cache")
    for name in ("predictions.csv", "model.pt", "history.csv"):
        assert (tmp_path / "run" / name).read_bytes() == (run_folder / name).read_bytes(), name


def test_a_bad_study_is_skipped_and_the_exit_status_says_so(bundle, cohort, config, quick, tmp_path):
    content = json.loads(cohort.read_text())
    for study in content["studies"]:
        place = cohort.parent / study["patient"]
        for image in study["images"].values():
            image["dicom"] = str(place / "dicom")
        study["organs"] = {}
        for lesion in study["lesions"]:
            lesion["region"]["mask"] = str(place / lesion["region"]["mask"].split("/")[-1])
    (tmp_path / "empty").mkdir()
    bad = max(content["studies"], key=lambda study: len(study["lesions"]))
    for image in bad["images"].values():
        image["dicom"] = "empty"
    content.pop("truth")
    (tmp_path / "manifest.json").write_text(json.dumps(content))
    options = ("--manifest", tmp_path / "manifest.json", "--output_dir", tmp_path / "run", *quick)
    result = bundle("training", config("train"), *options, check=False)
    assert result.returncode == 1
    assert "1 of 9 studies were left out" in result.stderr
    assert bad["study"] in result.stderr
    assert "Traceback" not in result.stderr
    assert (tmp_path / "run/report.html").is_file()
    assert bad["patient"] not in set(pd.read_csv(tmp_path / "run/predictions.csv")["patient"])


def test_answer_for_a_new_study(run_folder, bundle, new_study, config, tmp_path):
    options = ("--models", run_folder, "--study", new_study.dicom, "--lesion_mask", new_study.lesion_mask)
    result = bundle("inference", config("inference"), *options, "--output_dir", tmp_path / "answer")
    assert "Research use only" in result.stdout
    answer = json.loads((tmp_path / "answer/result.json").read_text())
    assert answer["schema"] == "mpmri-monai/result/1"
    assert answer["research_use_only"] is True
    for lesion in answer["lesions"]:
        assert sum(lesion["probabilities"].values()) == pytest.approx(1, abs=1e-5)
        best = max(lesion["probabilities"], key=lesion["probabilities"].get)
        assert lesion["predicted"] == (None if lesion["abstained_because"] else best)
    assert (tmp_path / "answer/picture.png").stat().st_size > 1000
    rows = pd.read_csv(tmp_path / "answer/predictions.csv")
    assert rows["label"].isna().all()
    assert answer["bundle"]["weights_sha256"] in (run_folder / "reference.json").read_text()


def test_the_bundle_works_from_inside_its_folder_and_moved_elsewhere(run_folder, bundle, new_study, config, tmp_path):
    moved = tmp_path / "moved"
    shutil.copytree(config("train").parents[1], moved)
    for name in ("model.pt", "reference.json"):
        shutil.copy(run_folder / name, moved / "models" / name)
    options = ("--study", new_study.dicom, "--lesion_mask", new_study.lesion_mask, "--output_dir", tmp_path / "answer")
    bundle("inference", "configs/inference.json", *options, cwd=moved)
    assert (tmp_path / "answer/result.json").is_file()


def test_a_missing_sequence_is_refused_unless_allowed(run_folder, bundle, new_study, config, tmp_path):
    import pydicom

    study = tmp_path / "study"
    shutil.copytree(new_study.dicom, study)
    for path in study.iterdir():
        header = pydicom.dcmread(path, stop_before_pixels=True)
        if header.get("EchoTime") and float(header.EchoTime) > 60:
            path.unlink()
    options = ("--models", run_folder, "--study", study, "--lesion_mask", new_study.lesion_mask)
    refused = bundle("inference", config("inference"), *options, "--output_dir", tmp_path / "no", check=False)
    assert refused.returncode != 0
    assert "T2" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert not (tmp_path / "no").exists()
    bundle("inference", config("inference"), *options, "--output_dir", tmp_path / "yes", "--allow_missing", True)
    lesion = json.loads((tmp_path / "yes/result.json").read_text())["lesions"][0]
    assert lesion["present"]["T2"] is False
    assert any("training never saw it missing" in warning for warning in lesion["warnings"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--fusion", "T2-XX"], "T2-XX"),
        (["--fusoin", "T2-OUT-S4"], "did you mean --fusion?"),
        (["--samples#pixls", "32"], "did you mean --samples#pixels?"),
        (["--manifest", "nowhere.json"], "nowhere.json"),
        (["--pretrained", "nowhere.pt"], "nowhere.pt"),
        (["--split#folds", "5"], "fold"),
        (["--task", "hcc_garde"], "hcc_grade"),
        (["--learning_rate", "-1"], "Invalid learning rate"),
        (["--recipe", "layer-wise"], "paper, layerwise"),
        (["--finetune_depth", "three"], "a whole number for --finetune_depth"),
        (["--finetune_depth", "0"], "add --head logistic"),
    ],
)
def test_bad_options_give_one_clear_error_and_leave_nothing(bundle, cohort, config, quick, tmp_path, options, message):
    given = ("--manifest", cohort, "--output_dir", tmp_path / "run", *quick, *options)
    result = bundle("training", config("train"), *given, check=False)
    assert result.returncode != 0
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "run" / "model.pt").exists()


def test_what_pretrained_weights_gave_is_said(run_folder, bundle, cohort, config, quick, tmp_path):
    options = ("--manifest", cohort, "--output_dir", tmp_path / "run", *quick, "--fusion", "T2")
    result = bundle("training", config("train"), *options, "--pretrained", run_folder / "model.pt")
    log = (tmp_path / "run/log.txt").read_text()
    assert "pretrained weights" in log
    assert "conv1.weight" in log  # one channel instead of three: fresh, and said so
    assert result.returncode == 0


def test_layerwise_tuning_keeps_the_frozen_layers_bit_by_bit(run_folder, bundle, cohort, config, quick, tmp_path):
    options = ("--manifest", cohort, "--output_dir", tmp_path / "run", *quick, "--results", "predictions")
    recipe = ("--recipe", "layerwise", "--finetune_depth", 3, "--unfreeze_every", 1, "--balance", "downsample")
    bundle("training", config("train"), *options, *recipe, "--pretrained", run_folder / "model.pt")
    before, after = (read_weights(folder / "model.pt") for folder in (run_folder, tmp_path / "run"))
    changed = {name for name in after if not torch.equal(before[name], after[name])}
    assert changed == {name for name in after if name.startswith(("embedding.", "classifier."))}  # in two epochs
    rates = pd.read_csv(tmp_path / "run/history.csv")["learning_rate"]
    assert list(rates) == pytest.approx([1e-3, 0.95e-3])
    log = (tmp_path / "run/log.txt").read_text()
    assert "statistics of batch norm too: stem, block1" in log
    assert "from epoch 2 on, the last 2 layers are tuned" in log


def test_an_audit_of_a_run_finds_no_leak_and_one_of_a_replica_does(run_folder, bundle, cohort, config, quick, tmp_path):
    assert {row["outcome"] for row in audit_run(run_folder)} == {"passed"}
    options = ("--manifest", cohort, "--output_dir", tmp_path / "run", *quick, "--split#unit", "sample")
    refused = bundle("training", config("train"), *options, check=False)
    assert "not patient-disjoint" in refused.stderr
    assert "--results predictions" in refused.stderr
    assert not (tmp_path / "run").exists()
    bundle("training", config("train"), *options, "--results", "predictions")
    rows = pd.read_csv(tmp_path / "run/predictions.csv")
    tested = rows.loc[rows["role"] == "test", "sample"]
    assert tested.str.contains("+", regex=False).mean() == pytest.approx(5 / 6)
    assert (tmp_path / "run/best.pt").is_file()  # chosen on the test set, as was published
    assert "not patient-disjoint" in (tmp_path / "run/log.txt").read_text()
    leaks = {row["check"] for row in audit_run(tmp_path / "run") if row["outcome"] == "LEAK"}
    assert {"unit of the split", "patients across roles", "best epoch chosen on the test set"} <= leaks


def test_half_precision_and_predictions_alone(run_folder, bundle, cohort, config, quick, tmp_path):
    options = ("--manifest", cohort, "--output_dir", tmp_path / "run", *quick, "--precision", "bf16")
    bundle("training", config("train"), *options, "--results", "predictions")
    assert not {"metrics.json", "report.html", "reference.json"} & {path.name for path in (tmp_path / "run").iterdir()}
    ours, theirs = pd.read_csv(tmp_path / "run/predictions.csv"), pd.read_csv(run_folder / "predictions.csv")
    assert (ours["p_well"] - theirs["p_well"]).abs().max() > 0
    assert list(ours["sample"]) == list(theirs["sample"])


def test_contents_list_every_file_as_it_is(config):
    """After a change on purpose: mpmri bundle contents bundles/hcc_grade."""
    folder = config("train").parents[1]
    assert contents(folder) == json.loads((folder / "contents.json").read_text())


def test_the_weights_that_ship_answer_at_once(bundle, new_study, config, tmp_path):
    options = ("--study", new_study.dicom, "--lesion_mask", new_study.lesion_mask, "--output_dir", tmp_path / "answer")
    bundle("inference", config("inference"), *options)
    lesions = json.loads((tmp_path / "answer/result.json").read_text())["lesions"]
    truth = pd.read_csv(new_study.dicom.parent / "truth.csv")["label"]
    assert [lesion["predicted"] for lesion in lesions] == list(truth)


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.0, 0.6, 1.3, 2.1])
def test_killed_at_any_moment_and_repeated_ends_with_the_same_bytes(
    bundle, cohort, config, quick, cache, tmp_path, seconds
):
    options = ("--manifest", cohort, *quick[2:], "--max_epochs", 6)
    bundle("training", config("train"), *options, "--output_dir", tmp_path / "whole")
    command = [sys.executable, "-m", "monai.bundle", "run", "training", "--config_file", str(config("train"))]
    command += [*map(str, options), "--output_dir", str(tmp_path / "killed")]
    process = subprocess.Popen(command, env=os.environ | {"MPMRI_CACHE": str(cache)}, stderr=subprocess.DEVNULL)
    while not (tmp_path / "killed").exists():
        time.sleep(0.01)
    time.sleep(seconds)
    process.kill()
    process.wait()
    bundle("training", config("train"), *options, "--output_dir", tmp_path / "killed")
    for name in ("predictions.csv", "model.pt", "history.csv", "metrics.json"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


def test_monai_verbs_pass_offline(config, tmp_path, root):
    schema = tmp_path / "schema.json"
    shutil.copy(root / "mpmri_monai/bundle/meta_schema_20240725.json", schema)
    meta = config("metadata")
    for verb in (
        ["verify_metadata", "--meta_file", meta, "--filepath", schema],
        ["verify_net_in_out", "--net_id", "network_def", "--meta_file", meta, "--config_file", config("train")],
    ):
        command = [sys.executable, "-m", "monai.bundle", *map(str, verb)]
        result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=root)
        assert result.returncode == 0, result.stderr[-2000:]


def test_monai_finds_every_property_where_it_looks(run_folder, cohort, new_study, config, cache, tmp_path, monkeypatch):
    monkeypatch.setenv("MPMRI_CACHE", str(cache))
    options = {"manifest": str(cohort), "num_workers": 0, "split#val": 0, "output_dir": str(tmp_path / "run")}
    training = ConfigWorkflow(config("train"), workflow_type="train", logging_file=False, **options)
    training.initialize()
    assert training.check_properties() == []
    assert training.val_interval == 1
    assert training.val_handlers == []
    options = {"models": str(run_folder), "study": str(new_study.dicom), "lesion_mask": str(new_study.lesion_mask)}
    inference = ConfigWorkflow(config("inference"), workflow_type="infer", logging_file=False, **options)
    inference.initialize()
    assert inference.check_properties() == []
    assert not (cache / "cohorts").exists()  # looking at dataset_dir does not write a cohort
