import numpy as np
import pytest

from mpmri_monai.errors import ConfigError
from mpmri_monai.samples.intensity import Window, intensity_windows
from mpmri_monai.volumes import Stack


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


@pytest.mark.parametrize("trim", [0.0, 0.05, 0.1, 0.333])
def test_central_window_leaves_out_as_many_at_either_end(make_geometry, make_stack, trim):
    values = np.random.default_rng(1).permutation(1000).reshape(10, 10, 10).astype(np.int16)
    stack = make_stack(values, make_geometry(np.random.default_rng(0), (10, 10, 10), (1, 1, 1)), 2.0, -5.0)
    window = intensity_windows({"T2": stack}, trim, joint_dce=False, kind="central")["T2"]
    signal = np.sort(values.ravel() * 2.0 - 5.0)
    inside = (signal >= window.minimum) & (signal <= window.maximum)
    assert inside.sum() == 1000 - 2 * int(trim / 2 * 1000)
    assert inside[::-1].tolist() == inside.tolist()
    assert (signal[inside].min(), signal[inside].max()) == (window.minimum, window.maximum)


def test_central_window_heeds_the_scale_of_each_slice(make_geometry):
    geometry = make_geometry(np.random.default_rng(0), (10, 10, 2), (1, 1, 1))
    stored = np.broadcast_to(np.arange(100).reshape(10, 10), (2, 10, 10)).astype(np.int16)
    stack = Stack(stored, np.array([1.0, 100.0]), np.array([0.0, 0.0]), geometry)
    window = intensity_windows({"T2": stack}, 0.1, joint_dce=False, kind="central")["T2"]
    signal = np.sort(np.concatenate([np.arange(100), 100 * np.arange(100)]))
    assert (window.minimum, window.maximum) == (signal[10], signal[-11])


@pytest.mark.parametrize("share", [0.0, 0.01, 0.99])
def test_volume_without_a_central_window_is_refused(make_geometry, make_stack, share):
    """Constant, or nearly binary: a shape so small that it is left out as if it were noise."""
    values = (np.arange(1000).reshape(10, 10, 10) < 1000 * share).astype(np.uint8)
    stack = make_stack(values, make_geometry(np.random.default_rng(0), (10, 10, 10), (1, 1, 1)))
    with pytest.raises(ConfigError, match=r"E_WINDOW: sequence SHAPE.*window trimmed with trim 0"):
        intensity_windows({"SHAPE": stack}, 0.05, joint_dce=False, kind="central")
    if share:
        assert intensity_windows({"SHAPE": stack}, 0.0, joint_dce=False)["SHAPE"] == Window(0, 1)


@pytest.mark.filterwarnings("ignore:overflow")
def test_signal_beyond_all_bounds_is_refused(make_geometry, make_stack):
    values = np.random.default_rng(0).normal(size=(10, 10, 10))
    values[0, 0, 0] = 1e300  # finite in a file of doubles, but not as a signal
    stack = make_stack(values, make_geometry(np.random.default_rng(0), (10, 10, 10), (1, 1, 1)))
    with pytest.raises(ConfigError, match="E_WINDOW"):
        intensity_windows({"T2": stack}, 0.0, joint_dce=False, kind="central")
