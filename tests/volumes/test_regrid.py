import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.data import MetaTensor
from monai.transforms import ResampleToMatch
from scipy.ndimage import map_coordinates
from scipy.spatial.transform import Rotation

from mpmri_monai.errors import GeometryError
from mpmri_monai.volumes import Geometry, Stack
from mpmri_monai.volumes.regrid import regrid


def grid(shape, spacing, origin=(0.0, 0.0, 0.0), turn_deg=(0.0, 0.0, 0.0)):
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", turn_deg, degrees=True).as_matrix() @ np.diag(spacing)
    affine[:3, 3] = origin
    return Geometry(affine, shape)


def stack_of(values, geometry, slope=1.0, intercept=0.0):
    slices = geometry.shape[2]
    return Stack(values, np.full(slices, slope), np.full(slices, intercept), geometry)


def centres(geometry):
    columns, rows, slices = geometry.shape
    k, r, c = np.meshgrid(np.arange(slices), np.arange(rows), np.arange(columns), indexing="ij")
    return geometry.to_mm(np.stack([c, r, k], axis=-1).astype(float))


def test_same_grid_gives_the_signal_itself():
    geometry = grid((7, 6, 5), (1.5, 1.5, 4.0), turn_deg=(10, 20, -30))
    values = np.random.default_rng(0).integers(0, 999, (5, 6, 7))
    result = regrid(stack_of(values, geometry, slope=2.0, intercept=10.0), geometry)
    assert result.covered.all()
    np.testing.assert_allclose(result.stack.stored, values * 2 + 10, rtol=1e-5)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_interior_agrees_with_scipy(seed):
    """Two grids turned against each other; scipy's trilinear interpolation is the oracle inside."""
    rng = np.random.default_rng(seed)
    source = grid((30, 28, 26), (2.0, 2.2, 2.4), rng.uniform(-32, -26, 3), rng.uniform(-20, 20, 3))
    target = grid((12, 14, 10), (1.5, 1.6, 1.8), rng.uniform(-15, 0, 3), rng.uniform(-20, 20, 3))
    values = rng.normal(size=(26, 28, 30)).astype(np.float32)
    result = regrid(stack_of(values, source), target)
    index = source.to_index(centres(target))
    inside = np.all((index >= 0) & (index <= np.array(source.shape) - 1), axis=-1)
    expected = map_coordinates(values, np.moveaxis(index[..., ::-1], -1, 0), order=1)
    assert result.covered[inside].all()
    np.testing.assert_allclose(result.stack.stored[inside], expected[inside], atol=1e-4)


def test_interior_agrees_with_monai():
    source = grid((30, 28, 26), (2.0, 2.2, 2.4), (-28, -28, -28), (5, -8, 12))
    target = grid((20, 22, 14), (1.5, 1.6, 1.8), (-14, -14, -12))
    values = np.random.default_rng(1).normal(size=(26, 28, 30)).astype(np.float32)
    stack = stack_of(values, source)
    like = MetaTensor(torch.zeros(1, *target.shape), affine=torch.from_numpy(target.affine.copy()))
    resample = ResampleToMatch(mode="bilinear", padding_mode="zeros", dtype=np.float64)
    expected = resample(stack.volume(), like)[0].numpy().transpose(2, 1, 0)
    index = source.to_index(centres(target))
    inside = np.all((index >= 0) & (index <= np.array(source.shape) - 1), axis=-1)
    assert inside.mean() > 0.9
    np.testing.assert_allclose(regrid(stack, target).stack.stored[inside], expected[inside], atol=1e-4)


def test_outside_is_not_covered():
    """A voxel reaches half a voxel beyond its centre: from -1 to 19 mm here."""
    source = grid((10, 10, 10), (2.0, 2.0, 2.0))
    target = grid((40, 1, 1), (1.0, 1.0, 1.0), (-10.25, 9.0, 9.0))
    result = regrid(stack_of(np.full((10, 10, 10), 7.0), source), target)
    x = centres(target)[0, 0, :, 0]
    np.testing.assert_array_equal(result.covered[0, 0], (x >= -1) & (x <= 19))
    np.testing.assert_allclose(result.stack.stored[0, 0], np.where(result.covered[0, 0], 7, 0))


def test_far_away_is_not_covered():
    source, target = grid((5, 5, 5), (2.0, 2.0, 2.0)), grid((4, 4, 4), (2.0, 2.0, 2.0), (500, 0, 0))
    result = regrid(stack_of(np.ones((5, 5, 5)), source), target)
    assert not result.covered.any() and not result.stack.stored.any()


def test_thicker_slices_are_means_of_their_slabs():
    """Thin slices of 2 mm that hold their own number, on slices of 6 mm: the mean of three."""
    source = grid((6, 6, 12), (2.0, 2.0, 2.0))
    values = np.broadcast_to(np.arange(12.0)[:, None, None], (12, 6, 6)) ** 2
    result = regrid(stack_of(values.copy(), source), grid((6, 6, 5), (2.0, 2.0, 6.0), (0, 0, 2.0)))
    squares = np.arange(12) ** 2
    expected = [squares[3 * k : 3 * k + 3].mean() for k in range(4)]
    np.testing.assert_allclose(result.stack.stored[:4, 3, 3], expected, rtol=1e-5)
    assert result.covered[:4].all() and not result.covered[4].any()


def test_slab_that_is_half_covered_counts():
    source = grid((6, 6, 12), (2.0, 2.0, 1.0))
    stack = stack_of(np.full((12, 6, 6), 3.0), source)
    for origin, covered in ((11.0, True), (13.0, False)):  # the source ends at 11.5 mm, the slab reaches 3 mm each way
        result = regrid(stack, grid((6, 6, 1), (2.0, 2.0, 6.0), (0, 0, origin)))
        assert (result.covered == covered).all()
        assert (result.stack.stored == 3.0 * covered).all()


def test_slab_of_a_coronal_sequence_is_across_its_rows():
    """Slices of the new grid lie across the rows of the source, which are what is averaged."""
    source = grid((6, 20, 20), (2.0, 1.0, 1.0), turn_deg=(90, 0, 0))
    target = grid((3, 3, 2), (2.0, 2.0, 5.0), (2.0, -10.0, 6.0))
    points = centres(source)
    values = points[..., 2] ** 2
    result = regrid(stack_of(values, source), target)
    offsets = np.arange(-2, 3)
    np.testing.assert_allclose(result.stack.stored[:, 1, 1], [((z + offsets) ** 2).mean() for z in (6, 11)], rtol=1e-4)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_box_is_a_part_of_the_whole(seed):
    rng = np.random.default_rng(seed)
    source = grid((24, 24, 20), (2.0, 2.0, 2.5), rng.uniform(-26, -20, 3), rng.uniform(-30, 30, 3))
    target = grid((16, 14, 12), (2.0, 2.0, float(rng.uniform(1, 8))), rng.uniform(-20, -10, 3), rng.uniform(-9, 9, 3))
    stack = stack_of(rng.normal(size=(20, 24, 24)), source)
    low = [int(rng.integers(0, count - 1)) for count in target.shape]
    high = [int(rng.integers(start + 1, count + 1)) for start, count in zip(low, target.shape, strict=True)]
    columns, rows, slices = box = tuple(map(slice, low, high))
    whole, part = regrid(stack, target), regrid(stack, target, box)
    np.testing.assert_allclose(part.stack.geometry.to_mm([0, 0, 0]), target.to_mm(low))
    differs = part.covered != whole.covered[slices, rows, columns]
    assert differs.mean() < 0.01  # at the very border of the source the last bit of a position decides
    both = part.covered & whole.covered[slices, rows, columns]
    expected = whole.stack.stored[slices, rows, columns]
    np.testing.assert_allclose(part.stack.stored[both & ~differs], expected[both & ~differs], atol=1e-3)


@pytest.mark.parametrize("columns", [slice(-1, 3), slice(2, 2), slice(0, 9), slice(0, None)])
def test_box_outside_the_grid_is_refused(columns):
    geometry = grid((8, 8, 8), (1.0, 1.0, 1.0))
    with pytest.raises(GeometryError, match="E_BOX"):
        regrid(stack_of(np.ones((8, 8, 8)), geometry), geometry, (columns, slice(0, 8), slice(0, 8)))
