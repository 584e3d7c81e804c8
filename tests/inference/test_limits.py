"""What training saw, and when no class is named."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpmri_monai.inference.limits import outside_training, why_abstain

RANGES = {
    "extent_mm": [10.0, 50.0],
    "offset_mm": {"T2": [0.0, 0.0], "S4": [0.1, 1.1]},
    "signal": {"T2": [100.0, 400.0], "S4": [120.0, 500.0]},
    "timing": {"S4": [150.0, 220.0]},
}


def model(ranges=RANGES, threshold=None, required=(), present=1.0, dropout=0.0):
    reference = {"ranges": ranges, "present": {"T2": 1.0, "S4": present}, "sequence_dropout": dropout}
    return SimpleNamespace(fusion=("T2", "S4"), reference=reference, required=required, certainty_threshold=threshold)


def sample(extent=20.0, offset=(0.0, 0.5), signal=(200.0, 300.0), present=(True, True)):
    return SimpleNamespace(
        sequences=("T2", "S4"),
        extent_mm=extent,
        offset_mm=np.array(offset),
        signal=np.array(signal),
        present=np.array(present),
    )


def found(times=None, **values):
    return outside_training([sample(**values)], model(), {"S4": 180.0} if times is None else times)


def test_what_training_saw_is_no_news():
    assert found() == ()
    assert why_abstain(0.4, model(), ()) is None


@pytest.mark.parametrize(
    ("values", "text", "far"),
    [
        ({"extent": 9.5}, "too small", False),
        ({"extent": 8.0}, "too small", True),
        ({"extent": 54.0}, "too large", False),
        ({"extent": 56.0}, "too large", True),
        ({"offset": (0.0, 2.0)}, "S4 was acquired up to 2.0 mm", False),
        ({"offset": (0.0, 3.0)}, "S4 was acquired up to 3.0 mm", True),
        ({"signal": (450.0, 300.0)}, "the signal of T2", False),
        ({"signal": (900.0, 300.0)}, "the signal of T2", True),
        ({"signal": (40.0, 300.0)}, "the signal of T2", True),
        ({"times": {"S4": 225.0}}, "after 225.0 s, while training saw 150.0 to 220.0 s", False),
        ({"times": {"S4": 90.0}}, "after 90.0 s", True),
        ({"times": {}}, "not known", False),
    ],
)
def test_what_it_did_not_see_is_told_and_far_from_it_no_class_is_named(values, text, far):
    (one,) = found(**values)
    assert text in one.text
    assert one.far is far
    assert (why_abstain(0.99, model(), [one]) is not None) is far


ABSENT = {"signal": (200.0, np.nan), "offset": (0.0, np.nan), "present": (True, False)}


def test_an_absent_sequence_is_compared_with_nothing():
    assert found(times={}, **ABSENT) == ()


@pytest.mark.parametrize(
    ("required", "share", "far"),
    [(("T2", "S4"), 1.0, True), (("T2",), 1.0, False), (("T2", "S4"), 0.9, False)],
)
def test_without_a_sequence_that_training_always_had_no_class_is_named(required, share, far):
    outside = outside_training([sample(**ABSENT)], model(required=required, present=share), {})
    assert any(one.far for one in outside) is far


def test_training_that_dropped_sequences_has_seen_each_missing():
    assert outside_training([sample(**ABSENT)], model(required=("T2", "S4"), dropout=0.3), {}) == ()


@pytest.mark.parametrize(
    ("values", "numbers"),
    [
        ({"extent": 9.9}, ("9.9", "10.0")),
        ({"times": {"S4": 220.4}}, ("220.4", "220.0")),
        ({"signal": (400.4, 300.0)}, ("400.4", "400")),
    ],
)
def test_what_lies_just_outside_is_not_told_as_what_lies_inside(values, numbers):
    (one,) = found(**values)
    assert all(number in one.text for number in numbers)


def test_seconds_that_count_from_another_phase_are_not_compared():
    """Of a study without the plain phase the first is another one: its seconds are others."""
    known = model(ranges=RANGES | {"timing": {"S0": [0.0, 0.0], "S4": [150.0, 220.0]}})
    (one,) = outside_training([sample()], known, {"S1": 0.0, "S4": 100.0})
    assert "not compared" in one.text and not one.far
    (one,) = outside_training([sample()], known, {"S0": 0.0, "S4": 100.0})
    assert one.far


def test_references_of_before_a_range_was_kept_still_serve():
    ranges = {"extent_mm": [10.0, 50.0]}
    assert outside_training([sample(signal=(9e9, 0.0))], model(ranges), {}) == ()


def test_below_the_threshold_of_certainty_no_class_is_named():
    assert "uncertain" in why_abstain(0.6, model(threshold=0.7), ())
    assert why_abstain(0.7, model(threshold=0.7), ()) is None


def test_of_a_network_that_is_always_sure_a_sure_answer_is_given():
    assert why_abstain(0.96, model(threshold=0.9999), ()) is None
    assert "below 0.95" in why_abstain(0.94, model(threshold=0.9999), ())


def test_every_reason_is_given():
    reasons = why_abstain(0.5, model(threshold=0.7), found(extent=5.0, signal=(9e4, 300.0)))
    assert len(reasons.split("; ")) == 3


@given(st.floats(1, 100), st.floats(1, 100))
def test_a_lesion_farther_out_is_never_treated_milder(one, other):
    """Of two lesions on one side of the range, the one nearer to it is told far only if the other one is."""
    near, far = sorted((one, other), key=lambda extent: abs(extent - 30))
    if (near - 30) * (far - 30) > 0:
        rank = {extent: max((1 + item.far for item in found(extent=extent)), default=0) for extent in (near, far)}
        assert rank[near] <= rank[far]
