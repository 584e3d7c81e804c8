"""What travels with the weights."""

import numpy as np
import pandas as pd
import pytest

from mpmri_monai.bundle.reference import ranges, signal_curves


@pytest.fixture
def rows():
    """Three samples of two lesions; S1 is absent from the second, T2 from both."""
    return pd.DataFrame(
        {
            "patient": ["P1", "P1", "P2"],
            "study": ["P1-1", "P1-1", "P2-1"],
            "lesion": ["L1", "L1", "L1"],
            "label": ["well", "well", "poorly"],
            "extent_mm": [20.0, 20.0, 31.5],
            "pitch_mm": [0.625, 0.625, 0.98],
            "present_T2": [False, False, False],
            "present_S0": [True, True, True],
            "present_S1": [True, True, False],
            **{f"{name}_T2": [np.nan] * 3 for name in ("offset", "signal")},
            "offset_S0": [0.0, 1.5, 0.25],
            "offset_S1": [0.0, 1.25, np.nan],
            "signal_S0": [100.0, 120.0, 200.0],
            "signal_S1": [150.0, 180.0, np.nan],
        }
    )


def test_ranges_are_of_what_was_seen(rows):
    assert ranges(rows, ("T2", "S0", "S1")) == {
        "extent_mm": [20.0, 31.5],
        "pitch_mm": [0.625, 0.98],
        "offset_mm": {"S0": [0.0, 1.5], "S1": [0.0, 1.25]},
        "signal": {"S0": [100.0, 200.0], "S1": [150.0, 180.0]},
    }


def test_signal_curves_are_relative_to_the_plain_phase(rows):
    assert signal_curves(rows, ("T2", "S0", "S1")) == {"poorly": {"S0": 1.0}, "well": {"S0": 1.0, "S1": 1.5}}
    assert signal_curves(rows, ("T2", "S1")) == {}


def test_lesions_of_two_studies_are_two_in_the_curves(rows):
    """Each by its own plain phase: 1.5 and 3, not the ratio of the means over both."""
    rows["label"], rows["patient"], rows["study"] = "well", "P1", ["P1-1", "P1-1", "P1-2"]
    rows["signal_S1"] = [150.0, 180.0, 600.0]
    assert signal_curves(rows, ("S0", "S1"))["well"]["S1"] == pytest.approx((1.5 + 3) / 2)
