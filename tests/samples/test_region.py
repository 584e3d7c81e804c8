import numpy as np
import pytest

from mpmri_monai.samples.region import box_mask, extent_mm


def test_box_is_as_large_as_asked():
    mask = box_mask((10.0, -5.0, 3.0), (8.0, 4.0, 12.0))
    assert extent_mm(mask, mask.points_mm(), np.array([1.0, 0, 0])) == pytest.approx((6, 14))
    assert extent_mm(mask, mask.points_mm(), np.array([0, 0, 1.0])) == pytest.approx((-3, 9))
    diagonal = np.array([1.0, 1.0, 0]) / np.sqrt(2)
    low, high = extent_mm(mask, mask.points_mm(), diagonal)
    assert high - low == pytest.approx((8 + 4) / np.sqrt(2))
    inside = mask.contains(np.array([[6.1, -3.1, 8.9], [5.9, -5, 3], [10, -5, -3.1]]))
    assert inside.tolist() == [True, False, False]


def test_extent_holds_the_corners_of_every_voxel(make_geometry, make_ball):
    rng = np.random.default_rng(1)
    geometry = make_geometry(rng, (20, 22, 14), (2.0, 2.5, 4.0), 40)
    mask = make_ball(geometry, np.zeros(3), 11.0)
    k, r, c = np.nonzero(mask.voxels)
    index = np.stack([c, r, k], -1)[:, None] + np.array(np.meshgrid(*[[-0.5, 0.5]] * 3)).reshape(3, -1).T
    corners = geometry.to_mm(index.reshape(-1, 3))
    for direction in np.linalg.qr(rng.normal(size=(3, 3)))[0]:
        along = corners @ direction
        assert extent_mm(mask, mask.points_mm(), direction) == pytest.approx((along.min(), along.max()))


def test_contains_is_the_voxel_around_a_point(make_geometry):
    geometry = make_geometry(np.random.default_rng(2), (6, 5, 4), (1.0, 2.0, 3.0), 60)
    rng = np.random.default_rng(3)
    voxels = rng.random((4, 5, 6)) < 0.5
    from mpmri_monai.volumes import Mask

    index = np.stack(np.meshgrid(np.arange(6), np.arange(5), np.arange(4), indexing="ij"), -1)
    points = geometry.to_mm(index + rng.uniform(-0.49, 0.49, index.shape))
    np.testing.assert_array_equal(Mask(voxels, geometry).contains(points), voxels.transpose(2, 1, 0))
    outside = geometry.to_mm(np.array([[-0.6, 0, 0], [0, 4.6, 0]]))
    assert not Mask(np.ones_like(voxels), geometry).contains(outside).any()
