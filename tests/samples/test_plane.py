import numpy as np
import pytest

from mpmri_monai.samples.plane import CropPlane, ParallelPlanes


def test_pixels_of_a_crop_lie_around_its_centre():
    plane = CropPlane(np.array([1.0, 2.0, 3.0]), np.array([1.0, 0, 0]), np.array([0, -1.0, 0]), 0.5, 4)
    points = plane.points_mm()
    assert points.shape == (4, 4, 3)
    np.testing.assert_allclose(points.mean(axis=(0, 1)), [1, 2, 3])
    np.testing.assert_allclose(points[0, 0], [1 - 0.75, 2 + 0.75, 3])
    np.testing.assert_allclose(points[0, 3], [1 + 0.75, 2 + 0.75, 3], err_msg="columns run along the row direction")
    np.testing.assert_allclose(points[3, 0], [1 - 0.75, 2 - 0.75, 3], err_msg="rows run along the column direction")


@pytest.mark.parametrize("flip", [False, True])
def test_planes_of_a_grid_pass_through_its_slices(make_geometry, make_grid, flip):
    geometry = make_geometry(np.random.default_rng(0), (5, 6, 4), (1.0, 2.0, 6.0), 40, centre=(3, -7, 11), flip=flip)
    planes = ParallelPlanes.of(geometry)
    basis = np.stack([planes.row_direction, planes.column_direction, planes.normal])
    np.testing.assert_allclose(basis @ basis.T, np.eye(3), atol=1e-12)
    for k, points in enumerate(make_grid(geometry)):
        np.testing.assert_allclose(points @ planes.normal, planes.offsets_mm[k], atol=1e-9)
    assert planes.row_direction @ geometry.affine[:3, 0] == pytest.approx(1.0)
    assert planes.column_direction @ geometry.affine[:3, 1] == pytest.approx(2.0)
    assert planes.spacing_mm == pytest.approx(6.0)


def test_disc_has_the_area_of_a_disc():
    plane = CropPlane(np.zeros(3), np.array([1.0, 0, 0]), np.array([0, 1.0, 0]), 0.5, 52)
    assert plane.disc(20.0).sum() * 0.25 == pytest.approx(np.pi * 100, rel=0.02)
