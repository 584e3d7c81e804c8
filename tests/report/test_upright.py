from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpmri_monai.report.upright import nearest_slice, side, upright
from mpmri_monai.volumes import Geometry, Stack

SHAPE = (9, 7, 5)  # columns, rows, slices
ORDERS = [(order, signs) for order in permutations(range(3)) for signs in product((-1, 1), repeat=3)]


def stack_of(affine, axis):
    """A stack whose signal is the position along one axis of the body (RAS+, mm)."""
    geometry = Geometry(affine, SHAPE)
    columns, rows, slices = SHAPE
    index = np.stack(np.meshgrid(np.arange(columns), np.arange(rows), np.arange(slices), indexing="ij"), axis=-1)
    stored = geometry.to_mm(index)[..., axis].transpose(2, 1, 0)
    return Stack(np.ascontiguousarray(stored), np.ones(slices), np.zeros(slices), geometry)


def affine_of(order, signs, tilt=0.0):
    affine = np.eye(4)
    for column, (axis, sign, spacing) in enumerate(zip(order, signs, (2.0, 3.0, 5.0), strict=True)):
        affine[:3, column] = 0
        affine[axis, column] = sign * spacing
    cosine, sine = np.cos(tilt), np.sin(tilt)
    turn = np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]]) @ np.array(
        [[1, 0, 0], [0, cosine, -sine], [0, sine, cosine]]
    )
    affine[:3, :3] = turn @ affine[:3, :3]
    affine[:3, 3] = (4.0, -7.0, 11.0)
    return affine


@given(st.sampled_from(ORDERS), st.floats(-0.5, 0.5), st.integers(0, 4))
def test_however_the_axes_run_the_slice_is_hung_the_same_way(order, tilt, index):
    affine = affine_of(*order, tilt)
    normal = int(np.abs(Geometry(affine, SHAPE).normal).argmax())
    across, down = {0: (1, 2), 1: (0, 2), 2: (0, 1)}[normal]
    right, below = (upright(stack_of(affine, axis), index).image for axis in (across, down))
    # Right on the left, or front on the left of a sagittal slice; front or head at the top.
    assert np.all(np.diff(right.mean(axis=0)) < 0)
    assert np.all(np.diff(below.mean(axis=1)) < 0)


@given(st.sampled_from(ORDERS), st.floats(-0.5, 0.5), st.integers(0, 2))
def test_no_pixel_changes_its_place_in_the_body(order, tilt, axis):
    shown = upright(stack_of(affine_of(*order, tilt), axis), 3)
    assert np.allclose(shown.image, shown.points_mm[..., axis], atol=1e-4)
    steps = (
        np.linalg.norm(shown.points_mm[1, 0] - shown.points_mm[0, 0]),
        np.linalg.norm(shown.points_mm[0, 1] - shown.points_mm[0, 0]),
    )
    assert np.allclose(steps, shown.pixel_mm)


@given(st.sampled_from(ORDERS), st.integers(0, 2), st.integers(0, 2))
def test_a_point_of_the_slice_is_found_again(order, row, column):
    shown = upright(stack_of(affine_of(*order, 0.2), 0), 2)
    assert np.allclose(shown.place(shown.points_mm[row, column]), (row, column))


def test_an_axial_slice_says_where_right_is():
    assert upright(stack_of(affine_of((0, 1, 2), (1, 1, 1)), 0), 0).left == "R"
    assert upright(stack_of(affine_of((1, 2, 0), (1, 1, 1)), 0), 0).left == "A"


@pytest.mark.parametrize(("direction", "letter"), [((1, 0, 0), "R"), ((0, -1, 0), "P"), ((0.1, 0.2, 0.9), "S")])
def test_sides(direction, letter):
    assert side(np.array(direction)) == letter


def test_the_nearest_slice_is_known_by_position_and_none_beyond_half_a_slice():
    geometry = Geometry(np.diag([2.0, 2.0, 5.0, 1.0]), SHAPE)
    assert nearest_slice(geometry, np.array([4.0, 4.0, 11.0])) == (2, pytest.approx(1.0))
    assert nearest_slice(geometry, np.array([4.0, 4.0, 22.4])) == (4, pytest.approx(2.4))
    assert nearest_slice(geometry, np.array([4.0, 4.0, 22.6])) is None
    assert nearest_slice(geometry, np.array([18.0, 4.0, 11.0])) is None
