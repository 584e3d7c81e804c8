"""What a study must show to be answered, and where an answer may be written."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from mpmri_monai.errors import MaskError, OutputError
from mpmri_monai.inference import AnswerWriter
from mpmri_monai.inference.study import seen_by

MODEL = SimpleNamespace(sequences=("T2", "OUT", "S4"), fusion=("S4", "T2"))


def sample(lesion, *present):
    return SimpleNamespace(lesion=lesion, present=np.array([name in present for name in MODEL.sequences]))


def test_slices_outside_the_fusion_s_sequences_are_left_out_as_in_training():
    samples = [sample("L1", "T2"), sample("L1", "OUT"), sample("L1", "S4", "OUT")]
    assert seen_by(MODEL, samples) == [samples[0], samples[2]]


@pytest.mark.parametrize("samples", [[], [sample("L1", "T2"), sample("L2", "OUT")]])
def test_a_lesion_that_no_sequence_of_the_fusion_shows_is_refused(samples):
    with pytest.raises(MaskError, match="outside all"):
        seen_by(MODEL, samples)


def test_an_answer_for_another_study_is_not_written_over(tmp_path):
    dataset = SimpleNamespace(study=SimpleNamespace(study="study-1"))
    (tmp_path / "result.json").write_text(json.dumps({"study": {"code": "study-1"}}))
    AnswerWriter(tmp_path, dataset, MODEL)
    (tmp_path / "result.json").write_text(json.dumps({"study": {"code": "study-2"}}))
    with pytest.raises(OutputError, match="another study"):
        AnswerWriter(tmp_path, dataset, MODEL)


@pytest.mark.parametrize("content", ["{", "[]", '{"study": 1}'])
def test_what_is_no_answer_is_not_written_over_either(tmp_path, content):
    (tmp_path / "result.json").write_text(content)
    with pytest.raises(OutputError, match="another study"):
        AnswerWriter(tmp_path, SimpleNamespace(study=SimpleNamespace(study="study-1")), MODEL)
