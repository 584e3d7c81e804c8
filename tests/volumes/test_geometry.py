import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpmri_monai.errors import GeometryError
from mpmri_monai.volumes import Geometry, same_grid
from mpmri_monai.volumes.geometry import on_grid

seeds = st.integers(0, 2**32 - 1)


def oblique(make, seed, shape=(20, 30, 8)):
    generator = np.random.default_rng(seed)
    spacing = generator.uniform(0.5, 6, size=3)
    return Geometry(make.affine_of(make.rotation(generator), spacing, generator.uniform(-200, 200, 3)), shape), spacing


@given(seed=seeds)
def test_index_to_mm_and_back(make, seed):
    geometry, _ = oblique(make, seed)
    index = np.random.default_rng(seed).uniform(-5, 40, size=(4, 7, 3))
    np.testing.assert_allclose(geometry.to_index(geometry.to_mm(index)), index, atol=1e-9)


@given(seed=seeds)
def test_spacing_and_normal_of_oblique_grids(make, seed):
    geometry, spacing = oblique(make, seed)
    np.testing.assert_allclose(geometry.spacing_mm, spacing)
    normal = geometry.normal
    assert abs(np.linalg.norm(normal) - 1) < 1e-12
    np.testing.assert_allclose(geometry.affine[:3, :2].T @ normal, 0, atol=1e-9)
    step = geometry.to_mm([0, 0, 1]) - geometry.to_mm([0, 0, 0])
    assert normal @ step == pytest.approx(geometry.slice_spacing_mm) and geometry.slice_spacing_mm > 0


def test_corners_are_the_centres_of_the_corner_voxels():
    corners = Geometry(np.diag([2.0, 3.0, 4.0, 1.0]), (5, 6, 7)).corners_mm
    assert corners.min(axis=0).tolist() == [0, 0, 0] and corners.max(axis=0).tolist() == [8, 15, 24]
    assert len(np.unique(corners, axis=0)) == 8


def flipped(geometry, axis):
    affine = geometry.affine.copy()
    affine[:3, 3] += affine[:3, axis] * (geometry.shape[axis] - 1)
    affine[:3, axis] *= -1
    return Geometry(affine, geometry.shape)


@given(seed=seeds, order=st.permutations([0, 1, 2]), flips=st.lists(st.booleans(), min_size=3, max_size=3))
def test_flipped_and_exchanged_axes_are_the_same_grid(make, seed, order, flips):
    geometry, _ = oblique(make, seed)
    other = geometry
    for axis, flip in enumerate(flips):
        other = flipped(other, axis) if flip else other
    affine = other.affine.copy()
    affine[:3, :3] = affine[:3, order]
    other = Geometry(affine, tuple(other.shape[axis] for axis in order))
    assert same_grid(geometry, other) and same_grid(other, geometry)


@given(seed=seeds, axis=st.integers(0, 2), voxels=st.floats(0.6, 3))
def test_a_shift_of_more_than_half_a_voxel_is_another_grid(make, seed, axis, voxels):
    geometry, _ = oblique(make, seed)
    for shift, same in ((0.3, True), (voxels, False)):
        affine = geometry.affine.copy()
        affine[:3, 3] += affine[:3, axis] * shift
        assert same_grid(geometry, Geometry(affine, geometry.shape)) is same


def test_other_shape_spacing_or_angle_is_another_grid(make):
    geometry, _ = oblique(make, 5)
    assert not same_grid(geometry, Geometry(geometry.affine, (20, 30, 9)))
    assert not same_grid(geometry, Geometry(geometry.affine @ np.diag([1, 1.05, 1, 1]), geometry.shape))
    turned = geometry.affine.copy()
    turned[:3, :3] = turned[:3, :3] @ make.rotation(np.random.default_rng(8))
    assert not same_grid(geometry, Geometry(turned, geometry.shape))


def test_a_part_of_the_slices_is_on_the_grid_but_not_the_same(make):
    geometry, _ = oblique(make, 6)
    affine = geometry.affine.copy()
    affine[:3, 3] += affine[:3, 2] * 3
    part = Geometry(affine, (20, 30, 4))
    assert on_grid(part, geometry) and not same_grid(part, geometry)
    assert not on_grid(Geometry(affine, (20, 30, 6)), geometry)


@pytest.mark.parametrize(
    ("affine", "shape"),
    [
        (np.zeros((4, 4)), (2, 2, 2)),
        (np.full((4, 4), np.nan), (2, 2, 2)),
        (np.eye(3), (2, 2, 2)),
        (np.diag([1.0, 1, 0, 1]), (2, 2, 2)),
        (np.eye(4), (2, 0, 2)),
    ],
)
def test_what_spans_no_space_is_refused(affine, shape):
    with pytest.raises(GeometryError):
        Geometry(affine, shape)
