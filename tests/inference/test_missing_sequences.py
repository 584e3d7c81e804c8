"""What an answer says about sequences, and parts of a lesion, that the network did not see."""

from types import SimpleNamespace

import pandas as pd
import pytest

from mpmri_monai.inference import lesion


@pytest.fixture
def model():
    reference = {"present": {"T2": 1.0, "OUT": 0.75}}
    return SimpleNamespace(fusion=("T2", "OUT"), required=("T2", "OUT"), reference=reference)


def warnings(model, t2, out, flags=()):
    samples = [SimpleNamespace(flags=flags)] * len(t2)
    return lesion.warnings(samples, pd.DataFrame({"present_T2": t2, "present_OUT": out}), model)


def test_a_whole_lesion_gives_no_warning(model):
    assert warnings(model, [True, True], [True, True]) == []


def test_a_sequence_that_is_missing_on_some_slices_is_named(model):
    (warning,) = warnings(model, [True, False, True], [True, True, True])
    assert "T2 is missing on 1 of 3 slices" in warning
    assert "never saw it missing" in warning


def test_what_training_saw_missing_is_said_as_a_share(model):
    assert warnings(model, [True, True], [False, False]) == [
        "OUT is missing, as it was in 25.0% of the training samples"
    ]


def test_a_lesion_larger_than_its_crop_and_planes_of_the_body_are_told(model):
    found = warnings(model, [True], [True], flags=("cut", "sagittal:T2", "sagittal:S4"))
    assert found == ["the lesion is larger than the crop that the network sees: it saw a part", "sagittal:T2"]


def test_a_sequence_that_the_network_was_made_to_do_without_is_told_mildly(model):
    model.required = ("T2",)
    assert warnings(model, [True], [False]) == ["OUT is missing; this network was made to do without it"]
