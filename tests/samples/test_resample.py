import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from mpmri_monai.samples.intensity import Window
from mpmri_monai.samples.plane import CropPlane
from mpmri_monai.samples.resample import angle_deg, take_crop
from mpmri_monai.volumes import Geometry, Stack

ACROSS, DOWN, UP = np.eye(3)


def axial(shape=(32, 32, 8), spacing=(2.0, 2.0, 6.0)):
    """Slices at z = 0, 6, 12, … with voxel (0, 0, 0) at the origin."""
    return Geometry(np.diag([*spacing, 1.0]), shape)


def plane_at(z, centre=(31.0, 31.0), pixels=10, pitch=1.0):
    return CropPlane(np.array([*centre, z]), ACROSS, DOWN, pitch, pixels)


def by_slice(make_stack, geometry):
    """Each slice holds its own number."""
    columns, rows, slices = geometry.shape
    return make_stack(np.broadcast_to(np.arange(slices)[:, None, None], (slices, rows, columns)).copy(), geometry)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), thick=st.booleans(), flip=st.booleans())
def test_linear_field_is_met_at_the_projected_point(seed, thick, flip):
    """Bilinear interpolation is exact for linear fields, so any error would be one of geometry."""
    rng = np.random.default_rng(seed)
    turn = Rotation.from_rotvec(rng.uniform(-0.5, 0.5, 3)).as_matrix()
    spacing = np.array([1.5, 1.2, 6.0 if thick else 2.2])
    shape = (60, 70, 14 if thick else 36)
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag(spacing * [1, -1 if flip else 1, 1])
    affine[:3, 3] = rng.uniform(-20, 20, 3) - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    geometry = Geometry(affine, shape)
    slope, constant = rng.uniform(-0.02, 0.02, 3), 5.0
    k, r, c = np.meshgrid(*map(np.arange, shape[::-1]), indexing="ij")
    field = geometry.to_mm(np.stack([c, r, k], -1).astype(float)) @ slope + constant
    stack = Stack(field, np.ones(shape[2]), np.zeros(shape[2]), geometry)
    basis = Rotation.from_rotvec(rng.uniform(-0.3, 0.3, 3)).as_matrix()
    plane = CropPlane(affine[:3, :3] @ ((np.array(shape) - 1) / 2) + affine[:3, 3], basis[0], basis[1], 0.7, 24)

    crop = take_crop(stack, plane, Window(0.0, 10.0))

    points = plane.points_mm()
    height = (points - affine[:3, 3]) @ geometry.normal
    nearest = np.rint(height / spacing[2]) * spacing[2]
    projected = points + (nearest - height)[..., None] * geometry.normal
    truth = projected @ slope + constant
    assert crop.covered.all()
    assert crop.offset_mm <= spacing[2] / 2 + 1e-9
    assert crop.offset_mm == pytest.approx(np.abs(nearest - height).max())
    tie = np.abs(np.abs(nearest - height) - spacing[2] / 2) < 1e-6  # both neighbours are as near
    np.testing.assert_allclose(crop.signal[~tie], truth[~tie], atol=1e-4)
    np.testing.assert_allclose(crop.image[~tie], truth[~tie] / 10, atol=1e-4)


@pytest.mark.parametrize(("z", "expected"), [(0.0, 0), (2.9, 0), (3.1, 1), (6.0, 1), (-2.9, 0), (42.0, 7), (44.9, 7)])
def test_nearest_acquired_slice_is_shown_as_it_is(make_stack, z, expected):
    crop = take_crop(by_slice(make_stack, axial()), plane_at(z), Window(0, 7))
    assert crop.covered.all()
    assert (crop.signal == expected).all(), "nothing between two slices may be invented"
    assert crop.offset_mm == pytest.approx(abs(z - 6 * expected))


@pytest.mark.parametrize("z", [-3.1, 45.1, 500.0])
def test_farther_than_half_a_spacing_is_not_covered(make_stack, z):
    crop = take_crop(by_slice(make_stack, axial()), plane_at(z), Window(-1, 7))
    assert not crop.covered.any()
    assert not crop.image.any()
    assert np.isnan(crop.offset_mm)


def test_tilted_crop_is_covered_up_to_the_end_of_the_stack(make_stack):
    tilt = np.radians(30)
    plane = CropPlane(np.array([31.0, 31.0, 45.0]), np.array([np.cos(tilt), 0, np.sin(tilt)]), DOWN, 1.0, 20)
    crop = take_crop(by_slice(make_stack, axial()), plane, Window(0, 7))
    height = plane.points_mm()[..., 2]
    np.testing.assert_array_equal(crop.covered, height <= 45.01)
    assert 0 < crop.covered.sum() < crop.covered.size


def test_voxels_reach_half_a_voxel_beyond_their_centres(make_stack):
    geometry = axial()
    values = np.broadcast_to(np.arange(32) + 1.0, (8, 32, 32)).copy()
    crop = take_crop(make_stack(values, geometry), plane_at(6.0, centre=(0.0, 31.0), pixels=8), Window(0, 100))
    x = plane_at(6.0, centre=(0.0, 31.0), pixels=8).points_mm()[0, :, 0]
    np.testing.assert_array_equal(crop.covered[0], x >= -1.0)
    np.testing.assert_allclose(crop.signal[0][crop.covered[0]], np.maximum(x[x >= -1.0], 0) / 2 + 1)
    assert not crop.signal[~crop.covered].any()


def test_clipping_comes_before_interpolation(make_stack):
    values = np.zeros((8, 32, 32))
    values[:, :, 16:] = 1000.0  # far above the window: clipped to 1 before the neighbours are mixed
    crop = take_crop(make_stack(values, axial()), plane_at(6.0, pixels=4, pitch=0.5), Window(0, 100))
    x = plane_at(6.0, pixels=4, pitch=0.5).points_mm()[0, :, 0]
    np.testing.assert_allclose(crop.image[0], (x - 30) / 2, atol=1e-6)
    np.testing.assert_allclose(crop.signal[0], (x - 30) * 500, rtol=1e-6)


def test_slope_and_intercept_count(make_stack):
    crop = take_crop(make_stack(np.full((8, 32, 32), 3, np.int16), axial(), 2.0, 10.0), plane_at(6), Window(0, 32))
    assert (crop.signal == 16).all()
    assert (crop.image == 0.5).all()


def test_slab_mean_averages_the_slices_inside_the_slab(make_stack):
    stack = by_slice(make_stack, axial((32, 32, 20), (2.0, 2.0, 2.0)))
    crop = take_crop(stack, plane_at(12.5), Window(0, 20), "slab_mean", slab_mm=6.0)
    assert (crop.signal == 6).all()  # slices at 10, 12 and 14 mm: numbers 5, 6, 7
    assert crop.offset_mm == pytest.approx(0.5)
    border = take_crop(stack, plane_at(13.0), Window(0, 20), "slab_mean", slab_mm=6.0)
    assert (border.signal == 7).all(), "of 10 and 16 mm, both on the border, one belongs to the next slab"


def test_slab_mean_of_thick_slices_is_the_nearest_one(make_stack):
    stack = by_slice(make_stack, axial())
    near, slab = (take_crop(stack, plane_at(8.8), Window(0, 8), how, slab_mm=2.0) for how in ("nearest", "slab_mean"))
    np.testing.assert_array_equal(near.signal, slab.signal)
    assert (slab.signal == 1).all()


@pytest.mark.parametrize("degrees", [0.0, 0.01, 1.99, 2.01, 45.0, 90.0])
def test_angle_ignores_the_sense_of_a_normal(degrees):
    turned = Rotation.from_euler("x", degrees, degrees=True).apply(UP)
    assert angle_deg(UP, turned) == pytest.approx(degrees, abs=1e-9)
    assert angle_deg(UP, -turned) == pytest.approx(degrees, abs=1e-9)
