"""What an answer says about sequences, and parts of a lesion, that the network did not see."""

from types import SimpleNamespace

import pandas as pd
import pytest

from mpmri_monai.inference.answer import AnswerWriter


@pytest.fixture
def writer():
    reference = {"present": {"T2": 1.0, "OUT": 0.75}, "ranges": {"extent_mm": [10, 50]}}
    answer = AnswerWriter.__new__(AnswerWriter)
    answer.model = SimpleNamespace(fusion=("T2", "OUT"), reference=reference)
    return answer


def warnings(writer, t2, out, flags=()):
    samples = [SimpleNamespace(extent_mm=20.0, flags=flags)] * len(t2)
    return writer._warnings(samples, pd.DataFrame({"present_T2": t2, "present_OUT": out}))


def test_a_whole_lesion_gives_no_warning(writer):
    assert warnings(writer, [True, True], [True, True]) == []


def test_a_sequence_that_is_missing_on_some_slices_is_named(writer):
    (warning,) = warnings(writer, [True, False, True], [True, True, True])
    assert "T2 is missing on 1 of 3 slices" in warning
    assert "never saw it missing" in warning


def test_what_training_saw_missing_is_said_as_a_share(writer):
    assert warnings(writer, [True, True], [False, False]) == [
        "OUT is missing, as it was in 25.0% of the training samples"
    ]


def test_a_lesion_larger_than_its_crop_and_planes_of_the_body_are_told(writer):
    found = warnings(writer, [True], [True], flags=("cut", "sagittal:T2", "sagittal:S4"))
    assert found == ["the lesion is larger than the crop that the network sees: it saw a part", "sagittal:T2"]
