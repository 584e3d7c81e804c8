"""The hcc_detection bundle: one definition with hcc_grade, weights that answer, and a run of its own."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from mpmri_monai.bundle.adopt import contents

BUNDLES = Path(__file__).resolve().parents[2] / "bundles"
GRADE, DETECTION = BUNDLES / "hcc_grade", BUNDLES / "hcc_detection"
OWN_KEYS = {"task": "hcc_vs_bg", "fusion": "T2-S0-S2"}
OWN_SAMPLES = {"background_kinds": ["liver", "edge", "vessel", "body"]}
"""What sets the two apart; everything else is one definition."""


def config(bundle, name):
    return json.loads((bundle / "configs" / f"{name}.json").read_text())


def test_training_differs_from_hcc_grade_in_the_question_alone():
    detection, grade = config(DETECTION, "train"), config(GRADE, "train")
    assert detection.pop("samples") == grade.pop("samples") | OWN_SAMPLES
    assert detection == grade | OWN_KEYS


@pytest.mark.parametrize("name", ["evaluate", "inference", "multi_gpu_train"])
def test_everything_else_is_the_same_definition(name):
    assert config(DETECTION, name) == config(GRADE, name)


def test_contents_list_every_file_as_it_is():
    """After a change on purpose: mpmri bundle contents bundles/hcc_detection."""
    assert contents(DETECTION) == json.loads((DETECTION / "contents.json").read_text())


def test_the_weights_that_ship_know_a_given_lesion(bundle, new_study, tmp_path):
    options = ("--study", new_study.dicom, "--lesion_mask", new_study.lesion_mask, "--output_dir", tmp_path / "answer")
    result = bundle("inference", DETECTION / "configs" / "inference.json", *options)
    assert "Research use only" in result.stdout
    answer = json.loads((tmp_path / "answer/result.json").read_text())
    assert answer["bundle"]["name"] == "hcc_detection"
    assert answer["lesions"]
    for lesion in answer["lesions"]:
        assert set(lesion["probabilities"]) == {"background", "hcc"}
        assert lesion["predicted"] == "hcc"


@pytest.fixture(scope="module")
def detection_run(bundle, cohort, quick, tmp_path_factory):
    folder = tmp_path_factory.mktemp("detection") / "run"
    bundle("training", DETECTION / "configs" / "train.json", "--manifest", cohort, "--output_dir", folder, *quick)
    return folder


def test_a_run_scores_lesions_beside_background(detection_run):
    rows = pd.read_csv(detection_run / "predictions.csv")
    assert set(rows["label"]) == {"background", "hcc"}
    assert (rows["lesion"].str.startswith("BG-") == (rows["label"] == "background")).all()
    metrics = json.loads((detection_run / "metrics.json").read_text())
    assert set(metrics["levels"]) == {"slice", "lesion"}  # every patient has both classes
    assert (detection_run / "report.html").is_file()


def test_monai_accepts_its_metadata_and_its_network(root, tmp_path):
    schema = tmp_path / "schema.json"
    shutil.copy(root / "mpmri_monai/bundle/meta_schema_20240725.json", schema)
    meta, train = DETECTION / "configs" / "metadata.json", DETECTION / "configs" / "train.json"
    for verb in (
        ["verify_metadata", "--meta_file", meta, "--filepath", schema],
        ["verify_net_in_out", "--net_id", "network_def", "--meta_file", meta, "--config_file", train],
    ):
        command = [sys.executable, "-m", "monai.bundle", *map(str, verb)]
        result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=root)
        assert result.returncode == 0, result.stderr[-2000:]
