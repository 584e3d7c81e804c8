import numpy as np
import pytest

from mpmri_monai.samples import Settings
from mpmri_monai.samples.locate import lesion_positions, reference_planes
from mpmri_monai.samples.plane import ParallelPlanes
from mpmri_monai.samples.region import box_mask
from mpmri_monai.volumes import Geometry, Mask


@pytest.fixture
def reference(make_geometry):
    return make_geometry(np.random.default_rng(5), (40, 40, 12), (2.5, 2.5, 6.0), 20)


def test_positions_are_the_reference_slices_that_cut_the_lesion(make_geometry, make_ball, reference):
    """Oblique mask, oblique reference: a slice cuts the lesion where a fine sampling of its plane meets a voxel."""
    mask = make_ball(make_geometry(np.random.default_rng(6), (60, 60, 36), (1.5, 1.5, 2.2), 25))
    planes = ParallelPlanes.of(reference)
    positions = lesion_positions("L1", mask, [planes], Settings())
    found = [position.plane.centre_mm @ planes.normal for position in positions]
    steps = np.arange(-30, 30, 0.25)
    middle = mask.points_mm().mean(axis=0)
    expected = []
    for offset in planes.offsets_mm:
        foot = middle + (offset - middle @ planes.normal) * planes.normal
        patch = foot + steps[:, None, None] * planes.column_direction + steps[None, :, None] * planes.row_direction
        if mask.contains(patch).any():
            expected.append(offset)
    np.testing.assert_allclose(found, expected)
    assert 3 <= len(found) <= 5  # a ball of 24 mm in slices of 6 mm
    assert [position.number for position in positions] == list(range(len(found)))


def test_box_of_the_lesion_maps_to_the_pixels_of_the_network(make_geometry, make_ball, reference):
    mask = make_ball(reference, radius=20.0)
    position = lesion_positions("L1", mask, [ParallelPlanes.of(reference)], Settings())[2]
    assert position.extent_mm == pytest.approx(40, abs=2.5)
    assert position.plane.pitch_mm == pytest.approx(position.extent_mm / 32)
    assert position.plane.pixels == 52
    rows, columns = np.nonzero(position.mask)
    assert rows.min() >= 10 and columns.min() >= 10 and rows.max() < 42 and columns.max() < 42


def test_small_lesion_is_not_magnified(reference):
    position = lesion_positions("L1", box_mask((0, 0, 0), (4, 4, 9)), [ParallelPlanes.of(reference)], Settings())[0]
    assert position.plane.pitch_mm == pytest.approx(10 / 32)
    assert position.extent_mm < 10


@pytest.mark.parametrize(("thickness", "count"), [(2.0, 1), (11.9, 1), (12.1, 3), (24.1, 5)])
def test_a_slice_that_only_touches_does_not_cut(thickness, count):
    planes = ParallelPlanes.of(Geometry(np.diag([2.0, 2.0, 6.0, 1.0]), (40, 40, 11)))
    positions = lesion_positions("L1", box_mask((40, 40, 30), (20, 20, thickness)), [planes], Settings())
    assert len(positions) == count


def test_next_reference_serves_where_the_first_misses():
    mask = box_mask((40, 40, 33), (12, 12, 4))  # between slices at 30 and 36 mm
    t2 = ParallelPlanes.of(Geometry(np.diag([2.0, 2.0, 6.0, 1.0]), (40, 40, 11)))
    shifted = np.diag([2.0, 2.0, 6.0, 1.0])
    shifted[2, 3] = 3.0
    out = ParallelPlanes.of(Geometry(shifted, (40, 40, 11)))
    (position,) = lesion_positions("L1", mask, [t2, out], Settings())
    assert position.plane.centre_mm[2] == pytest.approx(33)


def test_without_reference_every_six_millimetres(make_geometry, make_ball):
    geometry = make_geometry(np.random.default_rng(6), (60, 60, 36), (1.5, 1.5, 2.2), 25)
    mask = make_ball(geometry)
    positions = lesion_positions("L1", mask, [], Settings())
    heights = np.array([position.plane.centre_mm @ geometry.normal for position in positions])
    np.testing.assert_allclose(np.diff(heights), 6.0)
    assert len(positions) in (4, 5)
    assert all(position.mask.any() and position.slab_mm == 6.0 for position in positions)


def test_lesion_of_one_voxel_has_one_position(make_geometry):
    geometry = make_geometry(np.random.default_rng(7), (20, 20, 20), (0.7, 0.7, 2.2))
    voxels = np.zeros((20, 20, 20), bool)
    voxels[9, 8, 7] = True
    (position,) = lesion_positions("L1", Mask(voxels, geometry), [], Settings())
    np.testing.assert_allclose(position.plane.centre_mm, geometry.to_mm(np.array([7.0, 8, 9])))


def test_references_in_order_of_preference(make_geometry, make_stack, make_grid):
    rng = np.random.default_rng(8)
    stacks = {}
    for sequence, spacing in {"S0": 2.2, "OUT": 5.0, "T2": 6.0}.items():
        geometry = make_geometry(rng, (4, 4, 4), (1, 1, spacing))
        stacks[sequence] = make_stack(make_grid(geometry)[..., 0], geometry)
    assert [planes.spacing_mm for planes in reference_planes(stacks)] == pytest.approx([6.0, 5.0])
