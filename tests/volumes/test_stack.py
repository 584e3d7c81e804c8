import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpmri_monai.errors import GeometryError
from mpmri_monai.volumes import Geometry, Stack


def stack(stored, slope=1.0, intercept=0.0, affine=None):
    slices, rows, columns = stored.shape
    slope, intercept = np.broadcast_to(slope, slices).astype(float), np.broadcast_to(intercept, slices).astype(float)
    return Stack(stored, slope, intercept, Geometry(np.eye(4) if affine is None else affine, (columns, rows, slices)))


@given(
    seed=st.integers(0, 2**32 - 1),
    kind=st.sampled_from(["u1", "u2", "i2", "i4", "f4"]),
    shape=st.tuples(st.integers(1, 5), st.integers(1, 40), st.integers(1, 40)),
    trim=st.sampled_from([0.0, 0.01, 0.05, 0.5, 0.999]),
    few=st.booleans(),
)
def test_range_is_that_of_all_voxels_sorted(seed, kind, shape, trim, few):
    generator = np.random.default_rng(seed)
    values = generator.gamma(1.0, 5.0 if few else 40.0, size=shape) - (20 if kind[0] != "u" else 0)
    stored = values.clip(0 if kind[0] == "u" else -200, 250).astype(kind)
    low, high = stack(stored, 2.0, -3.0).intensity_range(trim)
    ordered = np.sort(stored.ravel())
    cut = math.floor(round(trim * ordered.size, 6))
    assert low == ordered[0] * 2.0 - 3.0
    assert high == pytest.approx(ordered[ordered.size - 1 - cut] * 2.0 - 3.0, rel=1e-6, abs=1e-6)


@given(size=st.integers(1, 400), seed=st.integers(0, 1000))
def test_range_is_the_smallest_value_that_99_percent_do_not_exceed(size, seed):
    values = np.random.default_rng(seed).integers(0, 30, size=(1, 1, size)).astype(np.uint16)
    _, high = stack(values).intensity_range()
    enough = [value for value in np.unique(values) if np.mean(values <= value) >= 0.99 - 1e-12]
    assert high == enough[0]


def test_range_when_the_sample_misses_the_bright_voxels():
    """Bright voxels only where the first guess does not look, or only where it does: the answer stays exact."""
    for hit in (False, True):
        stored = np.ones((4, 64, 64), np.uint16)
        stored[:, ::8, ::8] = 500 if hit else 1
        stored[:, 1::8, 1::8] += 0 if hit else 600
        ordered = np.sort(stored.ravel())
        assert stack(stored).intensity_range()[1] == ordered[ordered.size - 1 - ordered.size // 100]


def test_range_with_slopes_that_differ_between_slices():
    stored = np.random.default_rng(1).integers(0, 1000, size=(6, 30, 30)).astype(np.int16)
    slope, intercept = np.linspace(0.5, 3, 6), np.arange(6.0)
    signal = np.sort((stored * slope[:, None, None] + intercept[:, None, None]).ravel())
    low, high = stack(stored, slope, intercept).intensity_range(0.02)
    assert low == pytest.approx(signal[0], rel=1e-6)
    assert high == pytest.approx(signal[signal.size - 1 - signal.size // 50], rel=1e-6)


def test_block_and_volume_are_in_signal_units_and_in_their_contracts_order():
    stored = np.random.default_rng(2).integers(0, 4000, size=(5, 7, 9)).astype(np.uint16)
    slope = np.linspace(1, 2, 5)
    affine = np.array([[0.0, 2, 0, 5], [1.5, 0, 0, -6], [0, 0, 3, 7], [0, 0, 0, 1]])
    one = stack(stored, slope, -1.5, affine)
    block = one.block(3, slice(1, 4), slice(2, 8))
    assert block.dtype == np.float32
    np.testing.assert_allclose(block, stored[3, 1:4, 2:8] * slope[3] - 1.5, rtol=1e-6)
    volume = one.volume()
    assert volume.shape == (1, 9, 7, 5) and str(volume.dtype) == "torch.float32"
    np.testing.assert_allclose(volume.affine.numpy(), affine)
    assert float(volume[0, 4, 2, 3]) == pytest.approx(stored[3, 2, 4] * slope[3] - 1.5, rel=1e-6)


def test_digest_tells_any_change():
    stored = np.arange(24, dtype=np.uint16).reshape(2, 3, 4)
    digests = {
        stack(stored).digest,
        stack(stored + np.uint16(1)).digest,
        stack(stored, slope=2.0).digest,
        stack(stored, affine=np.diag([1.0, 1, 2, 1])).digest,
        stack(stored.astype(np.int16)).digest,
    }
    assert len(digests) == 5
    assert stack(stored.copy()).digest in digests


def test_voxels_that_do_not_match_the_geometry_are_refused():
    with pytest.raises(GeometryError):
        Stack(np.zeros((2, 3, 4)), np.ones(2), np.zeros(2), Geometry(np.eye(4), (3, 4, 2)))
