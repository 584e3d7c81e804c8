"""From a detector bundle to what slides over a study."""

from __future__ import annotations

import json

import pytest
import torch

from mpmri_monai.artefacts import file_digest
from mpmri_monai.cohort import Study
from mpmri_monai.errors import BundleError, CatalogueError
from mpmri_monai.inference import TrainedModel
from mpmri_monai.inference.find import detector_of, find_lesions, not_shown, region_of
from mpmri_monai.networks import build_network, save_weights
from mpmri_monai.samples import Settings
from mpmri_monai.samples.region import box_mask
from mpmri_monai.training.search import Candidate

NETWORK = {"in_channels": 2, "num_classes": 2, "embedding": 4}


@pytest.fixture
def model(tmp_path):
    """model(…) is a detector of T2-S3 with random weights; options replace parts of its reference."""

    def make(settings=None, network=NETWORK, **more):
        (tmp_path / "configs").mkdir()
        (tmp_path / "configs/metadata.json").write_text("{}")
        torch.manual_seed(0)
        save_weights(build_network(**network), tmp_path / "model.pt")
        reference = {
            "schema": "mpmri-monai/reference/1",
            "task": "hcc_vs_bg",
            "sequences": ["T2", "S0", "S3"],
            "fusion": "T2-S3",
            "pixels": 32,
            "samples": (settings or Settings()).model_dump(mode="json"),
            "network": network,
            "weights_sha256": file_digest(tmp_path / "model.pt"),
            "present": {},
            "ranges": {"extent_mm": [13.0, 52.0]},
            **more,
        }
        (tmp_path / "reference.json").write_text(json.dumps(reference))
        return TrainedModel(tmp_path, tmp_path)

    return make


def test_a_detector_looks_for_lesions_as_large_as_those_it_knows(model):
    detector = detector_of(model())
    assert (detector.fusion, detector.window, detector.finding) == (("T2", "S3"), 32, 1)
    assert len(detector.sizes_mm) == 4 and 13 < min(detector.sizes_mm) < max(detector.sizes_mm) < 52


def test_an_averaging_detector_sees_stored_crops(model):
    assert detector_of(model(averaging=True)).window == Settings().stored_pixels


def test_what_is_no_detector_is_refused(model):
    grade = NETWORK | {"num_classes": 3}
    with pytest.raises(BundleError, match="hcc_grade"):
        detector_of(model(task="hcc_grade", network=grade))


def test_a_candidate_becomes_the_box_of_a_lesion():
    region = region_of(Candidate((1.0, -2.0, 3.0), 20.0, 0.9))
    mask = box_mask(region.center_mm, region.size_mm)
    assert mask.volume_ml == pytest.approx(8.0)
    assert mask.points_mm()[0].tolist() == [1.0, -2.0, 3.0]


def study(*sequences):
    return Study(patient="P1", study="P1-1", site="A", images={name: f"{name}.nii.gz" for name in sequences})


def test_a_study_without_what_the_detector_needs_is_not_searched_unless_allowed(model, tmp_path):
    """Another bundle answers, and may need other sequences: nothing would be found, and nobody would know why."""
    detector = model()
    assert not_shown(study("T2", "S0", "S3"), detector, False) == []
    with pytest.raises(CatalogueError, match="T2 S3, which the detector looks at; found no volume for S3"):
        find_lesions(study("T2", "S0"), tmp_path, detector)
    assert not_shown(study("T2"), detector, True) == ["S3"]


def test_a_detector_that_can_do_without_needs_no_permission_but_something(model):
    detector = model(required=["T2"])
    assert not_shown(study("T2"), detector, False) == ["S3"]
    for allowed in (False, True):
        with pytest.raises(CatalogueError, match="no volume for T2, S3"):
            not_shown(study("S0"), detector, allowed)
