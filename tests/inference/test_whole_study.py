"""Tasks about a study as a whole are answered without a lesion."""

import json
from dataclasses import replace

import pytest
import torch

from mpmri_monai.artefacts import file_digest, write_json
from mpmri_monai.errors import ConfigError
from mpmri_monai.inference import TrainedModel, infer
from mpmri_monai.inference.infer import Reader
from mpmri_monai.inference.question import Question
from mpmri_monai.networks import build_network, save_weights
from mpmri_monai.phantom.study import write_study
from mpmri_monai.samples import Settings

GRID = Settings(grid={"slices": 4, "pixels": 25}, window="central", trim=0.05, background=False)
NETWORK = {"architecture": "mctl", "in_channels": 1, "num_classes": 2, "size": [4, 25, 25], "filters": 4, "dense": 8}


@pytest.fixture
def head(tmp_path):
    return write_study(tmp_path / "s", "brain", number=1)


@pytest.fixture
def brain(tmp_path, monkeypatch):
    """The model of a network with random weights that tells healthy from unhealthy heads."""
    (tmp_path / "brain/configs").mkdir(parents=True)
    (tmp_path / "brain/configs/metadata.json").write_text('{"version": "0.1"}')
    torch.manual_seed(0)
    save_weights(build_network(**NETWORK), tmp_path / "brain/model.pt")
    reference = {
        "schema": "mpmri-monai/reference/1",
        "task": "brain",
        "sequences": ["T1", "T2"],
        "protocol": "brain",
        "fusion": "T2",
        "pixels": [4, 25, 25],
        "samples": GRID.model_dump(mode="json"),
        "network": NETWORK,
        "weights_sha256": file_digest(tmp_path / "brain/model.pt"),
        "present": {"T2": 1.0},
        "ranges": {"extent_mm": [100.0, 400.0]},
    }
    write_json(tmp_path / "brain/reference.json", reference)
    monkeypatch.setattr(infer, "THREADS", 1)
    return TrainedModel(tmp_path / "brain", tmp_path / "brain")


def test_a_study_without_a_mask_is_one_answer(brain, head, tmp_path):
    question = Question(study=str(head.dicom))
    answered = Reader.of(brain, "cpu").answer(question, tmp_path / "out")
    result = json.loads((answered.folder / "result.json").read_text())
    (whole,) = result["lesions"]
    assert whole["id"] == "whole"
    assert result["study"]["lesions_from"] == "whole study"
    assert set(whole["probabilities"]) == {"healthy", "unhealthy"}
    assert (answered.folder / "report.html").is_file()


def test_one_of_lesions_needs_them(model, head):
    with pytest.raises(ConfigError, match="hcc_grade"):
        replace(Question(), study=str(head.dicom)).described(model)
