import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from mpmri_monai.samples.coverage import coverage_table, lesion_coverage
from mpmri_monai.samples.intensity import Window
from mpmri_monai.samples.plane import CropPlane
from mpmri_monai.samples.region import box_mask
from mpmri_monai.samples.resample import take_crop
from mpmri_monai.volumes import Geometry, Mask, Stack

CUBE = Geometry(np.diag([2.0, 2.0, 6.0, 1.0]), (20, 20, 10))
"""Reaches from -1 to 39 mm across and down, and from -3 to 57 mm up."""


@pytest.mark.parametrize(
    ("centre", "expected"),
    [
        ((19.0, 19.0, 27.0), 1.0),
        ((39.0, 19.0, 27.0), 0.5),
        ((19.0, -1.0, 27.0), 0.5),
        ((19.0, 19.0, 57.0), 0.5),
        ((19.0, 19.0, 63.0), 0.0),
        ((-1.0, -1.0, -3.0), 0.125),
        ((19.0, 19.0, 53.0), 10 / 12),
    ],
)
def test_box_that_sticks_out(centre, expected):
    assert lesion_coverage(box_mask(centre, (12.0, 12.0, 12.0)), CUBE) == pytest.approx(expected, abs=0.02)


def test_thick_slice_of_a_mask_counts_in_part():
    """A mask with slices of 6 mm, the last of which lies half beyond thin slices that end at 30 mm."""
    thick = Geometry(np.diag([1.0, 1.0, 6.0, 1.0]), (10, 10, 6))
    thin = Geometry(np.diag([1.0, 1.0, 2.0, 1.0]) + np.outer([0, 0, -2.0, 0], [0, 0, 0, 1]), (10, 10, 16))
    voxels = np.zeros((6, 10, 10), bool)
    voxels[4:, 2:8, 2:8] = True  # from 21 to 33 mm; the thin slices reach 29 mm
    assert lesion_coverage(Mask(voxels, thick), thin) == pytest.approx(8 / 12, abs=1e-9)


def test_empty_mask_is_not_covered():
    assert lesion_coverage(Mask(np.zeros((10, 20, 20), bool), CUBE), CUBE) == 0


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_agrees_with_what_sampling_calls_covered(seed):
    """A flat lesion in the plane of a crop: the crop's own coverage is the oracle."""
    rng = np.random.default_rng(seed)
    frame = Rotation.from_rotvec(rng.uniform(-0.4, 0.4, 3)).as_matrix()
    affine = np.eye(4)
    affine[:3, :3] = frame @ np.diag([1.5, 1.5, 4.0])
    affine[:3, 3] = rng.uniform(-30, 0, 3)
    geometry = Geometry(affine, (24, 24, 10))
    plane = CropPlane(rng.uniform(-20, 20, 3), np.array([1.0, 0, 0]), np.array([0, 1.0, 0]), 0.5, 40)
    stack = Stack(np.ones((10, 24, 24)), np.ones(10), np.zeros(10), geometry)
    covered = take_crop(stack, plane, Window(0, 1)).covered
    flat = np.diag([0.5, 0.5, 0.01, 1.0])
    flat[:3, 3] = plane.points_mm()[0, 0]
    mask = Mask(np.ones((1, 40, 40), bool), Geometry(flat, (40, 40, 1)))
    assert lesion_coverage(mask, geometry) == pytest.approx(covered.mean(), abs=0.01)


def test_table_names_lesions_and_sequences(make_geometry):
    far = Geometry(CUBE.affine + np.outer([500.0, 0, 0, 0], [0, 0, 0, 1]), CUBE.shape)
    table = coverage_table({"L1": box_mask((19.0, 19.0, 27.0), (8.0, 8.0, 8.0))}, {"T2": CUBE, "S3": far})
    assert table == {"L1": {"T2": 1.0, "S3": 0.0}}
