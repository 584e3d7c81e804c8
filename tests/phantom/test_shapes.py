from __future__ import annotations

import numpy as np
import pytest

from mpmri_monai.phantom.shapes import Blob, Column, Tube


def as_points(*rows):
    return tuple(np.array(rows, np.float32).T.copy())


def test_a_ball_knows_its_distance():
    ball = Blob((10, 20, 30), (5, 5, 5))
    points = as_points((10, 20, 30), (15, 20, 30), (10, 30, 30))
    assert ball.distance(points) == pytest.approx([-5, 0, 5], abs=1e-5)


def test_a_column_bends_with_height():
    column = Column((0, 0), 10, (0, 8))
    assert column.distance(as_points((0, 8, 100), (0, 18, 100))) == pytest.approx([-10, 0], abs=1e-4)


def test_a_tube_gets_thinner_along_its_axis():
    tube = Tube(2, 0.0, 60.0, (0, 0), (0, 0), (0, 0), 6.0)
    assert tube.distance(as_points((6, 0, 0), (2, 0, 60))) == pytest.approx([0, 0], abs=0.01)


@pytest.mark.parametrize(
    "shape",
    [
        Blob((3, -4, 5), (10, 20, 30), (0.1, -0.08, 0.06, 0.1)),
        Tube(0, -10.0, 50.0, (2, 3), (10, -12), (8, 6), 4.0),
        Tube(1, 20.0, -45.0, (2, 3), (-10, 12), (8, -6), 4.0),
    ],
)
def test_the_inside_lies_in_the_box(shape):
    center, half = shape.box()
    points = np.random.default_rng(0).uniform(-60, 60, (20000, 3)).astype(np.float32)
    inside = shape.distance(tuple(points.T.copy())) < 0
    beyond = (np.abs(points - center) > half).any(axis=1)
    if isinstance(shape, Tube):  # it is cut off where its box ends along the running axis
        beyond &= np.abs(points - center)[:, shape.axis] <= half[shape.axis]
    assert inside.any()
    assert not (inside & beyond).any()
