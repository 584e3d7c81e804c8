"""The bundles ask any question that a cohort has labels for: network, task and samples follow the manifest."""

import json
from pathlib import Path

import pytest
from monai.bundle import ConfigParser

BUNDLES = Path(__file__).parents[2] / "bundles"
ORGANS = ["spleen", "liver", "kidney", "pancreas"]


@pytest.fixture
def organs(tmp_path):
    """Manifest of four patients, each with a box in every organ; its images are not there."""
    lesions = [
        {"id": name, "region": {"center_mm": [9 * i, 0, 0], "size_mm": [30, 30, 7]}, "labels": {"organ": name}}
        for i, name in enumerate(ORGANS)
    ]
    studies = [
        {"patient": f"P{i}", "study": f"P{i}", "site": "A", "images": {"T2": f"{i}.nii"}, "lesions": lesions}
        for i in range(4)
    ]
    content = {"schema": "mpmri-monai/manifest/1", "name": "organs", "sequences": ["T2"], "studies": studies}
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps(content | {"classes": {"organ": ORGANS}}))
    return path


@pytest.mark.parametrize("bundle", ["hcc_grade", "hcc_detection"])
def test_the_network_has_the_classes_of_the_label_that_is_asked_about(bundle, organs):
    parser = ConfigParser()
    parser.read_config(str(BUNDLES / bundle / "configs" / "train.json"))
    parser.update({"manifest": str(organs), "task": "organ", "fusion": "T2"})
    assert parser.get_parsed_content("network_def").classifier.out_features == len(ORGANS)
    assert list(parser.get_parsed_content("cohort").task.classes) == ORGANS
