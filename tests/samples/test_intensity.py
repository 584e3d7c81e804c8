import numpy as np
import pytest

from mpmri_monai.samples.intensity import Window, intensity_windows


def test_window_maps_and_clips():
    signal = np.array([0, 10, 15, 20, 99], np.float32)
    np.testing.assert_allclose(Window(10, 20).apply(signal), [0, 0, 0.5, 1, 1])


def test_constant_volume_becomes_zero():
    assert not Window(7, 7).apply(np.full(3, 7, np.float32)).any()


@pytest.fixture
def stacks(make_geometry, make_stack):
    geometry = make_geometry(np.random.default_rng(0), (10, 10, 10), (1, 1, 1))
    values = np.arange(1000).reshape(10, 10, 10)
    factors = {"T2": 5, "S0": 1, "S4": 3}
    return {sequence: make_stack(values.astype(np.int16) + 7, geometry, factor) for sequence, factor in factors.items()}


def test_each_volume_has_its_own_window(stacks):
    windows = intensity_windows(stacks, 0.01, joint_dce=False)
    for sequence, factor in {"T2": 5, "S0": 1, "S4": 3}.items():
        assert windows[sequence].minimum == 7 * factor
        assert windows[sequence].maximum == pytest.approx((7 + 990) * factor, abs=2 * factor)


def test_joint_window_spans_the_phases_and_spares_the_others(stacks):
    own = intensity_windows(stacks, 0.01, joint_dce=False)
    joint = intensity_windows(stacks, 0.01, joint_dce=True)
    assert joint["S0"] == joint["S4"] == Window(own["S0"].minimum, own["S4"].maximum)
    assert joint["T2"] == own["T2"]
