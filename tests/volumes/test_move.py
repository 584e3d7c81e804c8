import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from mpmri_monai.errors import MaskError
from mpmri_monai.volumes import Geometry, Mask, move_mask


def grid(spacing, shape, turn=(0, 0, 0), centre=(0, 0, 0)):
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_rotvec(np.radians(turn)).as_matrix() * spacing
    affine[:3, 3] = centre - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return Geometry(affine, shape)


def ball(geometry, radius, centre=(0, 0, 0)):
    k, row, column = np.indices(geometry.shape[::-1])
    distance = np.linalg.norm(geometry.to_mm(np.stack([column, row, k], axis=-1)) - centre, axis=-1)
    return Mask(distance <= radius, geometry)


THICK, THIN = grid((1.25, 1.25, 6.0), (60, 56, 20)), grid((0.8, 0.8, 2.2), (100, 96, 40))


@given(st.integers(0, 10**6))
def test_each_voxel_takes_the_nearest_one_of_the_mask(seed):
    """Against a search for the nearest voxel along each axis of the mask, on grids turned to one another."""
    rng = np.random.default_rng(seed)
    mask = ball(grid((1.5, 1.2, 4.0), (20, 22, 9), rng.normal(size=3) * 20, rng.normal(size=3)), 8)
    target = grid(rng.uniform(1, 3, 3), (30, 30, 30), rng.normal(size=3) * 20)
    moved = move_mask(mask, target).mask
    k, row, column = np.indices(moved.voxels.shape)
    index = mask.geometry.to_index(target.to_mm(np.stack([column, row, k], axis=-1)))
    nearest = np.clip(np.round(index), 0, np.array(mask.geometry.shape) - 1)
    near = (np.abs(index - nearest) < 0.5).all(axis=-1)
    c, r, s = np.moveaxis(nearest.astype(int), -1, 0)
    np.testing.assert_array_equal(moved.voxels, mask.voxels[s, r, c] & near)


def test_on_its_own_grid_nothing_changes():
    mask = ball(THIN, 12)
    moved = move_mask(mask, THIN)
    np.testing.assert_array_equal(moved.mask.voxels, mask.voxels)
    assert moved.change == 0 and moved.caution is None


@pytest.mark.parametrize(("source", "target"), [(THIN, THICK), (THICK, THIN)])
def test_volume_of_a_large_lesion_stays(source, target):
    moved = move_mask(ball(source, 20), target)
    exact = 4 / 3 * np.pi * 20**3 / 1000
    assert moved.volume_before_ml == pytest.approx(exact, rel=0.05)
    assert moved.volume_after_ml == pytest.approx(exact, rel=0.08)
    assert moved.volume_after_ml == pytest.approx(moved.mask.volume_ml)
    assert moved.caution is None


def test_a_large_change_of_volume_is_said():
    """A lesion of one thin slice becomes one of a whole thick slice."""
    voxels = np.zeros(THIN.shape[::-1], bool)
    voxels[20, 40:50, 40:50] = True
    target = grid((0.8, 0.8, 6.0), (100, 96, 15), centre=(0, 0, 1.1))
    moved = move_mask(Mask(voxels, THIN), target)
    assert moved.change == pytest.approx(6.0 / 2.2 - 1)
    assert moved.caution is not None and moved.caution.code == "W_MASK_VOLUME"
    assert "0.14 to 0.38 ml (+173%)" in moved.caution.message


def test_what_the_other_image_does_not_show_is_refused():
    with pytest.raises(MaskError, match=r"E_MASK_OUT: L1.*% of its voxels outside"):
        move_mask(ball(THIN, 12, (30, 0, 0)), grid((1.25, 1.25, 6.0), (40, 40, 10)), "L1")
    voxels = np.zeros(THIN.shape[::-1], bool)
    voxels[20, 40:50, 40:50] = True
    with pytest.raises(MaskError, match=r"E_MASK_EMPTY: L1.*thinner than 6.0 mm"):
        move_mask(Mask(voxels, THIN), grid((1.25, 1.25, 6.0), (60, 56, 20), centre=(0, 0, 1.1)), "L1")
