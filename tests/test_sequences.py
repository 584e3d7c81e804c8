import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpmri_monai import sequences
from mpmri_monai.errors import ConfigError


@given(st.permutations(sequences.SEQUENCES), st.integers(1, 9))
def test_canonical_form_is_read_back_as_the_same_fusion(order, length):
    names = tuple(order[:length])
    assert sequences.fusion(sequences.fusion_name(names)) == names
    assert sequences.fusion(list(names)) == names


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("T211*", "T2-OUT-IN"),
        ("S024", "S0-S2-S4"),
        ("T2S24", "T2-S2-S4"),
        ("T2S02", "T2-S0-S2"),
        ("T21*S4", "T2-OUT-S4"),
        ("T2", "T2"),
    ],
)
def test_names_of_the_paper(name, expected):
    assert sequences.fusion_name(sequences.fusion(name)) == expected


@pytest.mark.parametrize("wrong", ["", "T2-XX", "T2-T2", "T2OUTS4", "t2", [], ["T2", 4], "S0S2"])
def test_anything_else_is_refused(wrong):
    with pytest.raises(ConfigError):
        sequences.fusion(wrong)


def test_a_near_miss_is_named():
    with pytest.raises(ConfigError, match="did you mean OUT"):
        sequences.fusion("T2-OTU")


def test_other_anatomy_has_its_own_sequences():
    assert sequences.fusion("T1-FLAIR", ("T1", "T1ce", "FLAIR")) == ("T1", "FLAIR")


def test_unknown_task_lists_the_known():
    with pytest.raises(ConfigError, match=r"among hcc_grade, hcc_vs_bg, brain; found 'hcc_grad'.*you mean hcc_grade"):
        sequences.task("hcc_grad")


def test_a_declared_label_is_a_task_without_order_and_without_patient_level():
    task = sequences.task("organ", {"side": ["left", "right"], "organ": ["liver", "kidney"]})
    assert task == sequences.Task("organ", "organ", ("liver", "kidney"), ordered=False, patient_level=False)


def test_a_known_task_stays_what_it_is_whatever_is_declared():
    assert sequences.task("hcc_grade", {"hcc_grade": ["a", "b"]}) is sequences.TASKS["hcc_grade"]


def test_unknown_task_lists_the_labels_too():
    with pytest.raises(ConfigError, match="among hcc_grade, hcc_vs_bg, brain, organ; found 'spleen'"):
        sequences.task("spleen", {"organ": ["liver", "kidney"]})


@pytest.mark.parametrize(
    ("fusion", "channels"),
    [("T2-OUT-S4", 3), ("T2S24", 3), ("T1CE-FLAIR", 2), (["T1", "T2", "ADC", "HBV"], 4), ("T2", 1)],
)
def test_channels_are_counted_for_any_anatomy(fusion, channels):
    assert sequences.channels(fusion) == channels


def test_other_anatomy_is_offered_its_own_fusions():
    with pytest.raises(ConfigError, match="such as T1-T1CE-T2; found") as caught:
        sequences.fusion("T2-OUT-S4", ("T1", "T1CE", "T2", "FLAIR"))
    assert "S024" not in str(caught.value)
