"""Shift against a training cohort of which only ranges and counts are known."""

import numpy as np
import pandas as pd
import pytest

from mpmri_monai.evaluation.shift import shifts

FUSION = ("T2", "S4")


def rows(signal, *, present=None, label=None, extent=30.0):
    """One sample a patient with the signal of T2; S4 has twice that."""
    signal = np.asarray(signal, float)
    count = len(signal)
    names = [f"P{k:03d}" for k in range(count)]
    return pd.DataFrame(
        {
            "patient": names,
            "study": names,
            "lesion": "L1",
            "label": ["well", "poorly"] * (count // 2) + ["well"] * (count % 2) if label is None else label,
            "extent_mm": extent,
            "signal_T2": signal,
            "signal_S4": 2 * signal,
            "present_T2": True,
            "present_S4": True if present is None else present,
        }
    )


def reference(low=100.0, high=200.0, patients=100, counts=(50, 50)):
    return {
        "classes": ["well", "poorly"],
        "present": {"T2": 1.0, "S4": 1.0},
        "ranges": {"extent_mm": [10.0, 50.0], "signal": {"T2": [low, high], "S4": [2 * low, 2 * high], "S0": [1, 2]}},
        "trained_on": {"patients": patients, "lesions_per_class": dict(zip(("well", "poorly"), counts, strict=True))},
    }


def of(found, quantity, sequence=None):
    return next(one for one in found["ranges"] if (one["quantity"], one["sequence"]) == (quantity, sequence))


def test_another_scanner_is_found_and_only_what_the_network_sees_is_looked_at():
    found = shifts(rows(np.linspace(180, 400, 20)), reference(), FUSION)
    signal = of(found, "signal", "T2")
    assert signal["shifted"]
    assert signal["outside"] == (np.linspace(180, 400, 20) > 200).sum()
    assert signal["here"] == [180.0, 400.0]
    assert not of(found, "extent_mm")["shifted"]
    assert {one["sequence"] for one in found["ranges"]} == {None, "T2", "S4"}


def test_a_patient_counts_once_however_many_samples_lie_outside():
    table = pd.concat([rows([150, 300]), rows([150, 300])])
    assert of(shifts(table, reference(), FUSION), "signal", "T2")["outside"] == 1


def test_a_range_of_few_patients_is_left_more_often():
    """Of a sequence that few of the training patients had, the range is theirs alone."""
    known, signal = reference(), [150] * 6 + [250] * 3
    assert of(shifts(rows(signal), known, FUSION), "signal", "S4")["p"] < 0.01
    known["present"]["S4"] = 0.05
    assert of(shifts(rows(signal), known, FUSION), "signal", "S4")["p"] > 0.3


def test_cohorts_that_are_drawn_alike_are_rarely_called_shifted():
    rng = np.random.default_rng(0)
    called = 0
    for _ in range(300):
        there, here = rng.normal(size=60), rng.normal(size=30)
        known = reference(there.min(), there.max(), 60)
        called += of(shifts(rows(here), known, FUSION), "signal", "T2")["p"] < 0.05
    assert called <= 300 * 0.05 + 10  # three standard errors


def test_a_sequence_that_training_never_missed():
    found = shifts(rows([150] * 4, present=[True, True, False, False]), reference(), FUSION)["sequences"]
    assert [one["shifted"] for one in found] == [False, True]
    assert found[1]["here"] == 0.5


def test_absent_sequences_have_no_signal_to_compare():
    found = shifts(rows([150] * 4, present=[False] * 4), reference(), FUSION)
    assert "S4" not in {one["sequence"] for one in found["ranges"]}


@pytest.mark.parametrize(("counts", "shifted"), [((50, 50), False), ((95, 5), True)])
def test_case_mix(counts, shifted):
    mix = shifts(rows([150] * 60), reference(counts=counts), FUSION)["case_mix"]
    assert mix["shifted"] is shifted
    assert mix["here"] == {"well": 30, "poorly": 30}


def test_a_class_in_neither_cohort_has_no_p():
    assert shifts(rows([150] * 4, label=["well"] * 4), reference(counts=(9, 0)), FUSION)["case_mix"]["p"] is None


def test_a_reference_without_counts_gives_no_p():
    known = reference() | {"trained_on": {}}
    found = shifts(rows([150] * 4), known, FUSION)
    assert of(found, "signal", "T2")["p"] is None
    assert not of(found, "signal", "T2")["shifted"]


def test_phases_at_other_times_are_found_and_unknown_times_are_not_looked_at():
    known = reference()
    known["ranges"]["timing"] = {"S4": [60.0, 90.0], "T2": []}
    late = of(shifts(rows([150] * 8), known, FUSION, {"S4": [180.0] * 8}), "timing", "S4")
    assert late["shifted"]
    assert late["outside"] == 8
    assert not of(shifts(rows([150] * 8), known, FUSION, {"S4": [70.0] * 8}), "timing", "S4")["shifted"]
    assert "timing" not in {one["quantity"] for one in shifts(rows([150] * 8), known, FUSION)["ranges"]}
    known["ranges"]["timing"]["S0"] = [0.0, 0.0]  # here seconds count from another phase
    found = shifts(rows([150] * 8), known, FUSION, {"S1": [0.0] * 8, "S4": [20.0] * 8})
    assert "timing" not in {one["quantity"] for one in found["ranges"]}


def test_lesions_of_few_patients_are_no_shift_of_the_case_mix():
    one_patient = pd.concat([rows([150] * 2, label=["poorly"] * 2).assign(lesion=f"L{k}") for k in range(8)])
    assert not shifts(one_patient, reference(counts=(50, 50)), FUSION)["case_mix"]["shifted"]
    patients = rows([150] * 16, label=["poorly"] * 16)
    assert shifts(patients, reference(counts=(50, 50)), FUSION)["case_mix"]["shifted"]


def test_a_value_at_the_very_limit_of_training_is_inside_whatever_the_digits_of_its_file():
    known = reference()
    known["ranges"]["extent_mm"] = [13.28125, 50.0]  # seventeen pixels of 0.78125 mm
    assert of(shifts(rows([150] * 4, extent=13.28125), known, FUSION), "extent_mm")["outside"] == 0
