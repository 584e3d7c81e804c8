import contourpy
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.path import Path
from scipy import ndimage

from mpmri_monai.volumes.contours import ON_CONTOUR, fill, nested


def centres(rows, columns):
    row, column = np.mgrid[:rows, :columns]
    return np.stack([column, row], axis=-1).reshape(-1, 2).astype(float)


def star(rng, centre, radius, points):
    """A polygon around a centre that does not cut itself."""
    angles = np.sort(rng.uniform(0, 2 * np.pi, points))
    return centre + (radius * rng.uniform(0.3, 1, points))[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)


def distance(points, polygon):
    """Distance of each point from the outline of a polygon."""
    start, step = polygon, np.roll(polygon, -1, axis=0) - polygon
    along = np.clip(((points[:, None] - start) * step).sum(-1) / (step**2).sum(-1), 0, 1)
    return np.linalg.norm(start + along[..., None] * step - points[:, None], axis=-1).min(axis=1)


@given(st.integers(0, 10**6))
def test_agrees_with_matplotlib_on_polygons(seed):
    rng = np.random.default_rng(seed)
    rows, columns = rng.integers(8, 30, 2)
    polygons = [star(rng, rng.uniform(0, [columns, rows]), 12, rng.integers(3, 20)) for _ in range(rng.integers(1, 4))]
    points = centres(rows, columns)
    expected = np.zeros(len(points), bool)
    for polygon in polygons:
        expected ^= Path([*polygon, polygon[0]], closed=True).contains_points(points)
    clear = np.min([distance(points, polygon) for polygon in polygons], axis=0) > 2 * ON_CONTOUR
    np.testing.assert_array_equal(fill(polygons, rows, columns).ravel()[clear], expected[clear])


@given(st.integers(0, 10**6))
def test_outlines_of_a_mask_give_the_mask_back_with_holes_and_islands(seed):
    rng = np.random.default_rng(seed)
    noise = ndimage.gaussian_filter(rng.normal(size=(30, 40)), 2)
    mask = np.pad(noise > 0, 1)
    outlines = contourpy.contour_generator(z=mask.astype(float)).lines(0.5)
    np.testing.assert_array_equal(fill(outlines, *mask.shape), mask)
    assert nested(outlines, *mask.shape)


@given(st.integers(0, 10**6))
def test_polygons_are_nested_unless_they_share_a_part_only(seed):
    rng = np.random.default_rng(seed)
    one, other = (star(rng, rng.uniform(10, 30, 2), 10, rng.integers(3, 12)) for _ in range(2))
    first, second = (Path([*line, line[0]], closed=True).contains_points(centres(40, 40)) for line in (one, other))
    shared, least = (first & second).sum(), min(first.sum(), second.sum())
    if 5 < shared < least - 5 and 0.15 * least < shared < 0.85 * least:
        assert not nested([one, other], 40, 40)
    if shared == 0:
        assert nested([one, other], 40, 40)
    assert not nested([one, one[::-1], other], 40, 40) or first.sum() < 2


def test_a_contour_through_pixel_centres_belongs_to_the_region():
    outline = np.array([[2, 1], [7, 1], [7, 5], [2, 5]], float)
    expected = np.zeros((8, 10), bool)
    expected[1:6, 2:8] = True
    np.testing.assert_array_equal(fill([outline], 8, 10), expected)
    hole = np.array([[3, 2], [6, 2], [6, 4], [3, 4]], float)  # drawn on the pixels around it
    expected[3, 4:6] = False
    np.testing.assert_array_equal(fill([outline, hole], 8, 10), expected)
    written = np.round(outline * 0.703, 2) / 0.703  # in mm with two decimals
    np.testing.assert_array_equal(fill([written, hole], 8, 10), expected)


def test_a_hole_may_be_joined_to_the_outline_by_a_keyhole():
    outer = [[0.5, 0.5], [8.5, 0.5], [8.5, 6.5], [0.5, 6.5]]
    hole = [[2.5, 2.5], [2.5, 4.5], [5.5, 4.5], [5.5, 2.5], [2.5, 2.5]]
    keyhole = np.array([*outer, outer[0], *hole, outer[0]])
    expected = fill([np.array(outer), np.array(hole)], 8, 10)
    np.testing.assert_array_equal(fill([keyhole], 8, 10), expected)
    assert expected.sum() == 8 * 6 - 3 * 2


@pytest.mark.parametrize("shift", [0, 0.2, 0.49])
def test_area_of_a_disc(shift):
    angles = np.linspace(0, 2 * np.pi, 200, endpoint=False)
    disc = 100 + shift + 80 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    assert fill([disc], 200, 200).sum() == pytest.approx(np.pi * 80**2, rel=2e-3)


def test_parts_outside_the_slice_and_contours_without_area():
    outline = np.array([[-5, -5], [3.5, -5], [3.5, 2.5], [-5, 2.5]], float)
    expected = np.zeros((6, 7), bool)
    expected[:3, :4] = True
    np.testing.assert_array_equal(fill([outline], 6, 7), expected)
    assert fill([np.full((3, 2), 2.0)], 6, 7).sum() == 1  # one pixel traced through its centre
    assert not fill([np.full((3, 2), 2.4)], 6, 7).any()
