"""Which question a model answers: a known one, or that of a label of the cohort it was trained on."""

import json

import pytest

from mpmri_monai.artefacts import file_digest
from mpmri_monai.errors import BundleError, ConfigError
from mpmri_monai.inference import TrainedModel
from mpmri_monai.samples import Settings
from mpmri_monai.sequences import TASKS, Task


@pytest.fixture
def model(tmp_path):
    """model(task, classes) is the model of a bundle with this reference."""

    def make(task, classes):
        (tmp_path / "configs").mkdir()
        (tmp_path / "configs/metadata.json").write_text("{}")
        (tmp_path / "model.pt").write_bytes(b"weights")
        reference = {
            "schema": "mpmri-monai/reference/1",
            "task": task,
            "classes": classes,
            "sequences": ["T2"],
            "fusion": "T2",
            "pixels": 32,
            "samples": Settings().model_dump(mode="json"),
            "network": {},
            "weights_sha256": file_digest(tmp_path / "model.pt"),
            "present": {},
            "ranges": {},
        }
        (tmp_path / "reference.json").write_text(json.dumps(reference))
        return TrainedModel(tmp_path, tmp_path)

    return make


def test_the_reference_alone_says_what_a_label_s_classes_are(model):
    organ = model("organ", ["spleen", "liver", "kidney"]).task
    assert organ == Task("organ", "organ", ("spleen", "liver", "kidney"), ordered=False, patient_level=False)


def test_a_known_task_is_itself(model):
    assert model("hcc_grade", ["well", "moderately", "poorly"]).task is TASKS["hcc_grade"]


def test_a_known_task_with_its_classes_in_another_order_is_refused(model):
    with pytest.raises(BundleError, match=r"well, moderately, poorly.*found poorly, well, moderately"):
        model("hcc_grade", ["poorly", "well", "moderately"])


def test_a_task_that_nothing_declares_is_refused(model):
    with pytest.raises(ConfigError, match="found 'organ'"):
        model("organ", None)
