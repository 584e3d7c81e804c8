"""Stacks whose slices are turned against the reference's: every pixel of a crop is taken at its own place."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mpmri_monai.cohort import Study
from mpmri_monai.samples import Settings
from mpmri_monai.samples.intensity import Window
from mpmri_monai.samples.locate import lesion_positions, reference_planes
from mpmri_monai.samples.region import box_mask
from mpmri_monai.samples.sample import take_samples
from mpmri_monai.volumes import Geometry

CENTRE_MM = np.array([5.0, -3.0, 4.0])
TURNS_DEG = (0.0, 1.9, 3.0, 10.0, 90.0)
BALL_MM = 14.0


def grid(shape, spacing, turn_deg=0.0, axis=(1.0, 0.0, 0.0)):
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_rotvec(np.radians(turn_deg) * np.array(axis)).as_matrix() @ np.diag(spacing)
    affine[:3, 3] = CENTRE_MM - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return Geometry(affine, shape)


def linear(points):
    return 100 + points @ np.array([0.7, -0.4, 0.9])


def ball(points):
    """A soft ball; its edge is as wide as a voxel."""
    return 100 / (1 + np.exp(np.linalg.norm(points - CENTRE_MM, axis=-1) - BALL_MM))


@pytest.fixture
def crops(make_stack, make_grid):
    """(body, grid of S0) -> samples of a lesion in the ball, T2 axial, both sequences showing the same body."""

    def take(body, other):
        grids = {"T2": grid((80, 80, 15), (2.0, 2.0, 6.0)), "S0": other}
        stacks = {name: make_stack(body(make_grid(where)), where) for name, where in grids.items()}
        mask = box_mask(tuple(CENTRE_MM), (24, 24, 16))
        positions = lesion_positions("L1", mask, reference_planes(stacks), Settings())
        lesion = {"id": "L1", "region": {"center_mm": list(CENTRE_MM), "size_mm": [24, 24, 16]}}
        study = Study(patient="P1", study="P1-1", site="A", images={}, lesions=[lesion])
        windows = dict.fromkeys(stacks, Window(0.0, 200.0))
        return positions, take_samples(study, stacks, windows, positions, ("T2", "S0"), Settings())

    return take


@pytest.mark.parametrize("axis", [(1.0, 0, 0), (0, 1.0, 0), (0.6, 0.64, 0.48)])
@pytest.mark.parametrize("turn", TURNS_DEG)
def test_every_pixel_is_taken_on_its_own_nearest_slice(crops, turn, axis):
    """A linear field shows any error of geometry; the truth is the field at each pixel's projection on its slice."""
    geometry = grid((90, 90, 40), (1.8, 1.7, 4.0), turn, axis)
    positions, samples = crops(linear, geometry)
    for position, sample in zip(positions, samples, strict=True):
        points = position.plane.points_mm()
        height = geometry.to_index(points)[..., 2]
        away = (np.rint(height) - height) * 4.0
        truth = linear(points + away[..., None] * geometry.normal) / 200
        tie = np.abs(np.abs(away) - 2.0) < 1e-6
        np.testing.assert_allclose(sample.image[1][~tie], truth[~tie], atol=1e-5)
        assert sample.present.all()
        assert sample.offset_mm[1] == pytest.approx(np.abs(away).max())
        tilt = np.degrees(np.arccos(np.clip(abs(geometry.normal[2]), -1, 1)))
        assert ("oblique:S0" in sample.flags) == (tilt > 2)


@pytest.mark.parametrize("turn", TURNS_DEG)
def test_a_ball_is_round_in_slices_of_any_angle(crops, turn):
    """Thin slices of 1 mm: what is seen differs from the body by no more than half a slice does."""
    positions, samples = crops(ball, grid((90, 90, 90), (1.0, 1.0, 1.0), turn))
    for position, sample in zip(positions, samples, strict=True):
        points = position.plane.points_mm()
        near = np.linalg.norm(points - CENTRE_MM, axis=-1)
        inside, outside = near < BALL_MM - 4, near > BALL_MM + 4
        assert inside.any() and outside.any()
        assert (sample.image[1][inside] > 0.45).all()
        assert (sample.image[1][outside] < 0.05).all()
        np.testing.assert_allclose(sample.image[1], ball(points) / 200, atol=0.08)


def test_slices_across_the_reference_cover_as_far_as_they_reach(crops):
    """A sagittal stack that is only 20 mm thick: the crop is covered there and not present when that is too little."""
    for slices, present in ((5, True), (2, False)):
        sagittal = grid((60, 60, slices), (2.0, 2.0, 4.0), 90.0, (0, 1.0, 0))
        positions, samples = crops(linear, sagittal)
        for position, sample in zip(positions, samples, strict=True):
            assert sample.present[1] == present
            if present:
                away = np.abs(position.plane.points_mm()[..., 0] - CENTRE_MM[0])
                assert (sample.image[1][away > 10.1] == 0).all()
                assert (sample.image[1][away < 9.9] > 0).all()
                assert {"oblique:S0", "partial:S0"} <= set(sample.flags)
