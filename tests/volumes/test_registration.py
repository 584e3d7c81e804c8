from functools import cache

import numpy as np
import pytest
import SimpleITK as sitk
from scipy.ndimage import gaussian_filter
from scipy.spatial.transform import Rotation

from mpmri_monai.volumes import Geometry, Mask, Stack
from mpmri_monai.volumes.registration import Motion, find_motion

BLOBS_MM = np.random.default_rng(4).uniform((-60, -45, -50), (60, 45, 50), (40, 3))
WEIGHTS = np.random.default_rng(5).uniform(-0.5, 0.5, (40, 2))
FOUND_MM = 1.0
"""A motion counts as found when tissue is put this close to where it belongs: a third of a voxel."""
ORGAN_MM = np.array([62.0, 48.0, 52.0])


def body(points, kind):
    """Tissue at patient positions (..., 3): an organ with 40 round vessels, in one of two contrasts."""
    organ = 1 / (1 + np.exp((np.linalg.norm(points / ORGAN_MM, axis=-1) - 1) * 20))
    vessels = sum(
        weight[kind] * np.exp(-((points - centre) ** 2).sum(-1) / (2 * 7.0**2))
        for centre, weight in zip(BLOBS_MM, WEIGHTS, strict=True)
    )
    outside = (0.3, 0.9)[kind]
    return outside + (1 - 2 * outside) * organ + organ * vessels


def grid(shape, spacing):
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = -(np.array(shape) - 1) / 2 * spacing
    return Geometry(affine, shape)


THIN, THICK = grid((64, 52, 50), (3.0, 3.0, 3.0)), grid((80, 64, 24), (2.4, 2.4, 6.0))


def centres(geometry):
    columns, rows, slices = geometry.shape
    k, r, c = np.meshgrid(np.arange(slices), np.arange(rows), np.arange(columns), indexing="ij")
    return geometry.to_mm(np.stack([c, r, k], axis=-1).astype(float))


def acquired(geometry, kind, motion=None, noise=0.03, seed=0):
    """What a scanner sees of a body that has moved by ``motion`` (4, 4)."""
    motion = np.eye(4) if motion is None else motion
    back = np.linalg.inv(motion)
    values = body(centres(geometry) @ back[:3, :3].T + back[:3, 3], kind)
    values += np.random.default_rng(seed).normal(0, noise, values.shape)
    slices = geometry.shape[2]
    return Stack((1000 * values).astype(np.int16), np.ones(slices), np.zeros(slices), geometry)


@cache
def still(kind):
    return acquired(THIN, kind)


def moved_by(shift, turn_deg=(0.0, 0.0, 0.0)):
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("xyz", turn_deg, degrees=True).as_matrix()
    matrix[:3, 3] = shift
    return matrix


def organ_mask(geometry=THIN):
    return Mask(np.linalg.norm(centres(geometry) / ORGAN_MM, axis=-1) <= 1, geometry)


def error_mm(motion: Motion, true):
    """Mean distance over the organ between where tissue is put and where it belongs."""
    points = organ_mask().points_mm()[::50]
    seen = points @ true[:3, :3].T + true[:3, 3]
    put = seen @ motion.matrix[:3, :3].T + motion.matrix[:3, 3]
    return float(np.linalg.norm(put - points, axis=1).mean())


@pytest.mark.parametrize("region", [organ_mask(), None])
@pytest.mark.parametrize(
    "true", [moved_by((1, -2, 6)), moved_by((3, 2, -18)), moved_by((-4, 3, 10), (3, -2, 4))], ids=["6", "18", "turned"]
)
def test_motion_between_contrasts_is_found(true, region):
    motion = find_motion(still(0), acquired(THIN, 1, true, seed=1), region)
    assert motion.refused is None
    assert error_mm(motion, true) < FOUND_MM
    np.testing.assert_allclose(motion.matrix[:3, :3] @ motion.matrix[:3, :3].T, np.eye(3), atol=1e-9)


def test_thick_slices_find_their_place():
    true = moved_by((2, -3, 9))
    motion = find_motion(still(0), acquired(THICK, 1, true, seed=1), organ_mask())
    assert motion.refused is None
    assert error_mm(motion, true) < 1.5 * FOUND_MM


def test_moved_grid_shows_the_tissue_at_its_place():
    """The sense of the motion: after it, the moving grid's own geometry holds the reference's tissue."""
    true = moved_by((0, 0, 12))
    moving = acquired(THIN, 0, true, noise=0)
    motion = find_motion(still(1), moving, organ_mask())
    geometry = motion.moved(moving.geometry)
    vessel = BLOBS_MM[np.argmin(np.linalg.norm(BLOBS_MM, axis=1))]
    column, row, k = np.round(geometry.to_index(vessel)).astype(int)
    assert moving.stored[k, row, column] == pytest.approx(1000 * body(vessel, 0), abs=60)
    assert geometry.shape == moving.geometry.shape
    assert motion.shift_at(vessel) == pytest.approx(12, abs=FOUND_MM)


def test_shift_at_a_point_counts_the_turn():
    turn = Motion(moved_by((0, 0, 0), (0, 0, 90)))
    assert turn.shift_at((10.0, 0.0, 5.0)) == pytest.approx(10 * np.sqrt(2))
    assert turn.shift_at((0.0, 0.0, 5.0)) == pytest.approx(0)


def test_motions_follow_one_another():
    up, turn = Motion(moved_by((0, 0, 5))), Motion(moved_by((0, 0, 0), (90, 0, 0)), "too far")
    both = up.then(turn)
    np.testing.assert_allclose(both.matrix @ [0, 0, 0, 1], [0, -5, 0, 1], atol=1e-12)
    assert both.refused == "too far" and up.then(up).refused is None


def test_sequence_in_its_place_stays():
    motion = find_motion(still(0), still(0), organ_mask())
    assert motion.refused is None
    np.testing.assert_array_equal(motion.matrix, np.eye(4))


@pytest.mark.parametrize("true", [moved_by((0, 0, 36)), moved_by((0, 0, 0), (0, 0, 14))], ids=["36 mm", "14 degrees"])
def test_implausible_motion_is_refused(true):
    motion = find_motion(still(0), acquired(THIN, 1, true, seed=1), organ_mask())
    assert motion.refused and ("more than" in motion.refused or "better" in motion.refused)
    np.testing.assert_array_equal(motion.matrix, np.eye(4))


@pytest.mark.parametrize("seed", range(2))
def test_unrelated_images_do_not_move_one_another(seed):
    rng = np.random.default_rng(seed)
    slices = THIN.shape[2]
    stacks = [
        Stack(gaussian_filter(rng.normal(size=THIN.shape[::-1]), 2), np.ones(slices), np.zeros(slices), THIN)
        for _ in range(2)
    ]
    motion = find_motion(*stacks)
    np.testing.assert_array_equal(motion.matrix, np.eye(4))


def test_too_little_in_common_is_refused():
    far = Geometry(moved_by((500.0, 0, 0)) @ THIN.affine, THIN.shape)
    elsewhere = still(0)
    elsewhere = Stack(elsewhere.stored, elsewhere.slope, elsewhere.intercept, far)
    assert find_motion(still(0), elsewhere).refused == "no region in common"
    assert find_motion(still(0), still(1), Mask(organ_mask().voxels, far)).refused
    flat = Stack(np.zeros(THIN.shape[::-1]), np.ones(50), np.zeros(50), THIN)
    assert find_motion(still(0), flat).refused


def test_same_images_give_the_same_motion_whatever_the_threads():
    fixed, moving = still(0), acquired(THIN, 1, moved_by((1, 2, 7)), seed=1)
    threads = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    found = []
    try:
        for count in (1, 4, 1):
            sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(count)
            found.append(find_motion(fixed, moving, organ_mask()).matrix.tobytes())
    finally:
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(threads)
    assert len(set(found)) == 1


def test_orientation_of_storage_does_not_matter():
    """The moving sequence stored with columns and slices the other way round, and with a scale."""
    true = moved_by((1, 2, 7))
    moving = acquired(THIN, 1, true, seed=1)
    flip = np.diag([-1.0, 1.0, -1.0, 1.0])
    flip[[0, 2], 3] = np.array(THIN.shape)[[0, 2]] - 1
    turned = Stack(
        np.ascontiguousarray(moving.stored[::-1, :, ::-1]),
        np.full(50, 0.5),
        np.full(50, 3.0),
        Geometry(THIN.affine @ flip, THIN.shape),
    )
    assert error_mm(find_motion(still(0), turned, organ_mask()), true) < FOUND_MM
