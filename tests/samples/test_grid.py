"""Samples in 3D: where they lie, how they are turned, and what they hold."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mpmri_monai.cohort import Study
from mpmri_monai.errors import ConfigError, GeometryError, MaskError
from mpmri_monai.samples import Settings
from mpmri_monai.samples.grid import grid_planes, lesion_position, whole_position
from mpmri_monai.samples.intensity import Window
from mpmri_monai.samples.plane import CropPlane, ParallelPlanes
from mpmri_monai.samples.region import box_mask
from mpmri_monai.samples.resample import take_crop
from mpmri_monai.samples.sample import take_samples
from mpmri_monai.samples.settings import Grid
from mpmri_monai.volumes import Geometry, Mask

GRID = Grid(slices=4, pixels=9, depth_mm=6, plane_mm=2)
AXIAL = Geometry(np.diag([2.0, 2.0, 6.0, 1.0]), (40, 40, 12))
"""Columns grow to the right, rows to the front, slices to the head."""
BOX = box_mask((40, 38, 33), (10, 8, 20))


def planes_of(geometry):
    return ParallelPlanes.of(geometry).canonical()


def study_of(*lesions, **labels):
    entries = [{"id": name, "region": {"center_mm": [0, 0, 0], "size_mm": [1, 1, 1]}} for name in lesions]
    return Study(patient="P1", study="P1-1", site="A", labels=labels, images={}, lesions=entries)


def position_of(mask=BOX, geometry=AXIAL, grid=GRID, reach=1.0):
    return lesion_position("L1", mask, planes_of(geometry), grid, Settings(grid=grid, reach=reach).stored_shape)


def take(stack, position, grid=GRID, reach=1.0, study=None, **options):
    windows = {"T2": Window(0, 1e6)}
    options = Settings(grid=grid, reach=reach, **options)
    return take_samples(study or study_of("L1"), {"T2": stack}, windows, [position], ("T2", "OUT"), options)[0]


@pytest.fixture
def body(make_stack, make_grid):
    """geometry -> a stack whose signal tells the place in the body: different along every axis."""

    def build(geometry):
        return make_stack(make_grid(geometry) @ [1.0, 100.0, 5000.0], geometry)

    return build


def test_points_lie_around_the_centre_of_the_box_on_slices_of_the_reference():
    points = position_of().plane.points_mm()
    assert points.shape == (4, 9, 9, 3)
    np.testing.assert_allclose(points[..., 0].min(), 40 - 8)
    np.testing.assert_allclose(points[..., 0].max(), 40 + 8)
    np.testing.assert_allclose(points[0, :, 0, 1], 38 + np.arange(8, -9, -2.0))
    np.testing.assert_allclose(points[:, 0, 0, 2], [24, 30, 36, 42], err_msg="the box is centred between two slices")


@pytest.mark.parametrize(("height", "expected"), [(30.0, 27.0), (31.0, 33.0), (33.0, 33.0), (35.9, 33.0)])
def test_depth_moves_by_at_most_half_a_slice(height, expected):
    position = position_of(box_mask((40, 38, height), (10, 8, 20)))
    assert position.plane.centre_mm[2] == pytest.approx(expected)


def test_columns_grow_to_the_left_rows_to_the_back_planes_to_the_head():
    points = position_of().plane.points_mm()
    assert (np.diff(points[0, 0, :, 0]) < 0).all() and (np.diff(points[0, :, 0, 1]) < 0).all()
    assert (np.diff(points[:, 0, 0, 2]) > 0).all()


def stored_otherwise(stack, order, flips, make_stack):
    """The same volume with its columns, rows and slices in another order and sense."""
    geometry = stack.geometry
    turn = np.zeros((4, 4))
    turn[3, 3] = 1
    for new, old in enumerate(order):
        turn[old, new] = -1 if flips[new] else 1
        turn[old, 3] = geometry.shape[old] - 1 if flips[new] else 0
    values = stack.stored.transpose(2, 1, 0).transpose(order)
    values = np.flip(values, [axis for axis in range(3) if flips[axis]])
    other = Geometry(geometry.affine @ turn, tuple(geometry.shape[axis] for axis in order))
    return make_stack(np.ascontiguousarray(values.transpose(2, 1, 0)), other)


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2)])
@pytest.mark.parametrize("flips", [(1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 1), (0, 1, 1)])
@pytest.mark.parametrize("max_deg", [0, 20])
def test_storage_does_not_matter(make_geometry, make_stack, body, order, flips, max_deg):
    stack = body(make_geometry(np.random.default_rng(4), (40, 36, 12), (2.0, 2.0, 6.0), max_deg))
    other = stored_otherwise(stack, order, flips, make_stack)
    mask = box_mask((3, -2, 4), (10, 8, 14))
    one, two = (take(volume, position_of(mask, volume.geometry)) for volume in (stack, other))
    np.testing.assert_allclose(one.image, two.image, atol=1e-6)
    np.testing.assert_array_equal(one.mask, two.mask)
    np.testing.assert_allclose(one.position_mm, two.position_mm, atol=1e-6)


@pytest.mark.parametrize(
    ("order", "towards"),
    [((0, 2, 1), ((-1, 0, 0), (0, 0, 1), (0, -1, 0))), ((1, 2, 0), ((0, -1, 0), (0, 0, 1), (-1, 0, 0)))],
    ids=["coronal", "sagittal"],
)
def test_axes_of_other_orientations(order, towards):
    affine = np.eye(4)
    affine[:3, :3] = np.eye(3)[:, list(order)]
    planes = planes_of(Geometry(affine, (8, 8, 8)))
    np.testing.assert_array_equal([planes.row_direction, planes.column_direction, planes.normal], towards)


@pytest.mark.parametrize(
    ("order", "flags"), [((0, 1, 2), ()), ((0, 2, 1), ("coronal:T2",)), ((1, 2, 0), ("sagittal:T2",))]
)
def test_samples_that_are_not_axial_say_so(body, make_stack, order, flags):
    stack = stored_otherwise(body(AXIAL), order, (0, 0, 0), make_stack)
    assert take(stack, position_of(geometry=stack.geometry, grid=GRID)).flags == flags


@pytest.mark.parametrize(("size_mm", "flags"), [((17, 17, 23), ()), ((21, 8, 20), ("cut",)), ((10, 8, 30), ("cut",))])
def test_a_lesion_larger_than_the_crop_says_so(body, size_mm, flags):
    """Seen are 9 points 2 mm apart and 4 slices 6 mm apart; a crop without a margin cannot tell."""
    position = position_of(box_mask((40, 38, 33), size_mm), reach=1.6)
    assert take(body(AXIAL), position, reach=1.6).flags == flags


@given(angles=arrays(float, 3, elements=st.floats(-np.pi, np.pi)))
@settings(max_examples=50, deadline=None)
def test_canonical_axes_are_a_frame_along_the_volume(angles):
    from scipy.spatial.transform import Rotation

    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_rotvec(angles).as_matrix() @ np.diag([2, 2, 6])
    geometry = Geometry(affine, (10, 10, 5))
    planes = planes_of(geometry)
    frame = np.stack([planes.row_direction, planes.column_direction, planes.normal])
    np.testing.assert_allclose(frame @ frame.T, np.eye(3), atol=1e-9)
    assert abs(planes.normal @ geometry.normal) == pytest.approx(1)
    heights = geometry.to_mm([[0, 0, k] for k in range(5)]) @ planes.normal
    np.testing.assert_allclose(planes.offsets_mm, np.sort(heights), atol=1e-9)


def test_each_plane_is_what_a_single_crop_would_be(make_geometry, body):
    """On an oblique volume of thin slices, the nearest slice of each point, and nothing between slices."""
    stack = body(make_geometry(np.random.default_rng(2), (60, 60, 40), (1.5, 1.5, 2.2), 15))
    crop = position_of(box_mask((2, 3, 1), (10, 10, 10))).plane
    whole = take_crop(stack, crop, Window(0, 1e6), "slab_mean", 6.0)
    for height, image in zip((-9, -3, 3, 9), whole.image, strict=True):
        centre = crop.centre_mm + height * crop.normal
        plane = CropPlane(centre, crop.row_direction, crop.column_direction, crop.pitch_mm, 9)
        np.testing.assert_array_equal(image, take_crop(stack, plane, Window(0, 1e6), "slab_mean", 6.0).image)


def test_record_of_a_grid_sample(body):
    sample = take(body(AXIAL), position_of(reach=1.6), reach=1.6)
    assert sample.image.shape == (2, 8, 15, 15) and sample.mask.shape == (8, 15, 15)
    assert (sample.kind, sample.lesion, sample.sample) == ("lesion", "L1", "L1-00")
    assert sample.present.tolist() == [True, False] and not sample.image[1].any()
    assert sample.offset_mm[0] == pytest.approx(0, abs=1e-9)
    assert (sample.pitch_mm, sample.extent_mm) == (2, 10)
    inside = [2 * 3 * 1000, 1]  # the signal of the lesion is that of its place
    assert sample.signal[0] == pytest.approx(40 + 100 * 38 + 5000 * 33, abs=inside[0])
    assert sample.level[0] == pytest.approx(sample.signal[0] / 1e6)


def test_mask_holds_the_points_in_the_lesion():
    position = position_of(box_mask((40, 38, 33), (11, 7, 20)))
    points = position.plane.points_mm()
    expected = (np.abs(points - [40, 38, 33]) <= [5.5, 3.5, 10]).all(-1)
    np.testing.assert_array_equal(position.mask, expected)
    assert 0 < expected.sum() < expected.size


def test_lesion_between_the_planes_counts_in_the_nearest():
    position = position_of(box_mask((40.3, 38, 33), (1, 1, 1)))
    assert np.argwhere(position.mask).tolist() in ([[1, 4, 4]], [[2, 4, 4]])


def test_lesion_far_from_its_own_centre_is_refused(make_grid):
    geometry = Geometry(np.diag([2.0, 2.0, 6.0, 1.0]), (60, 60, 12))
    radius = np.linalg.norm((make_grid(geometry) - [60, 60, 30])[..., :2], axis=-1)
    with pytest.raises(MaskError, match="E_MASK_EMPTY"):
        position_of(Mask((radius > 40) & (radius < 44), geometry), geometry)


def test_study_is_taken_around_its_organ_or_its_volume(body):
    stacks = {"FLAIR": body(AXIAL)}
    planes = grid_planes(stacks)
    organ = whole_position(stacks, box_mask((30, 40, 27), (20, 20, 20)), planes, GRID, (4, 9, 9))
    np.testing.assert_allclose(organ.plane.centre_mm, [30, 40, 27])
    whole = whole_position(stacks, None, planes, GRID, (4, 9, 9))
    np.testing.assert_allclose(whole.plane.centre_mm, [39, 39, 33])
    assert whole.mask.all() and (whole.region, whole.kind) == ("whole", "study")
    sample = take_samples(
        study_of(adrenal="normal"), stacks, {"FLAIR": Window(0, 1e6)}, [whole], ("FLAIR",), Settings(grid=GRID, reach=1)
    )[0]
    assert (sample.sample, sample.labels) == ("whole-00", {"adrenal": "normal"})


def test_a_grid_as_large_as_the_volume_shows_every_voxel(make_stack):
    """28 x 28 x 28 voxels of 1 mm: nothing is interpolated, and nothing is lost."""
    values = np.random.default_rng(0).integers(0, 1000, (28, 28, 28)).astype(np.int16)
    stack = make_stack(values, Geometry(np.diag([-1.0, -1.0, 1.0, 1.0]), (28, 28, 28)))
    grid = Grid(slices=28, pixels=28, depth_mm=1, plane_mm=1)
    stacks = {"SHAPE": stack}
    position = whole_position(stacks, None, grid_planes(stacks), grid, (28, 28, 28))
    (sample,) = take_samples(
        study_of(x="y"), stacks, {"SHAPE": Window(0, 1000)}, [position], ("SHAPE",), Settings(grid=grid, reach=1)
    )
    np.testing.assert_allclose(sample.image[0], values / 1000, atol=1e-6)
    assert sample.flags == ()


@pytest.mark.parametrize(("slices", "outcome"), [(12, ()), (16, ("partial:T2",)), (26, "E_GRID")])
def test_a_grid_larger_than_the_volume(body, slices, outcome):
    """The volume has 12 slices: seen by 16 planes, 12 are covered; by 26, fewer than half are."""
    grid = Grid(slices=slices, pixels=9, depth_mm=6, plane_mm=2)
    position = position_of(grid=grid)
    if outcome == "E_GRID":
        with pytest.raises(GeometryError, match=r"E_GRID: study P1-1.*26 x 9 x 9 points.*L1"):
            take(body(AXIAL), position, grid)
    else:
        assert take(body(AXIAL), position, grid).flags == outcome


def test_lesion_outside_the_volume(body):
    with pytest.raises(MaskError, match="E_MASK_OUT"):
        take(body(AXIAL), position_of(box_mask((500, 0, 0), (10, 10, 20))))


def test_constant_volumes_are_refused(make_stack):
    stacks = {"T2": make_stack(np.full(AXIAL.shape[::-1], 7), AXIAL)}
    with pytest.raises(ConfigError, match=r"E_WINDOW: sequence T2.*7 to 7"):
        take_samples(study_of("L1"), stacks, {"T2": Window(7, 7)}, [position_of()], ("T2",), Settings(grid=GRID))


def test_slab_mean_averages_thin_slices_over_the_depth_of_a_plane(make_stack):
    thin = Geometry(np.diag([2.0, 2.0, 2.0, 1.0]), (40, 40, 36))
    values = np.broadcast_to(np.arange(36)[:, None, None] % 3 * 1000, (36, 40, 40)).astype(np.int16)
    position = replace(position_of(), slab_mm=6.0)
    sample = take(make_stack(values, thin), position, through_plane="slab_mean")
    np.testing.assert_allclose(sample.image[0], 1e-3, rtol=1e-5)
