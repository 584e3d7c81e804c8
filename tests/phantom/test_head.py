from __future__ import annotations

import numpy as np
import pytest

from mpmri_monai.phantom.head import draw_head
from mpmri_monai.phantom.patients import draw_patient, plan
from mpmri_monai.phantom.presets import PRESETS
from mpmri_monai.phantom.tissues import HEAD_SOURCE


def columns(points):
    return tuple(np.asarray(points, np.float32).T.copy())


@pytest.fixture(scope="module")
def head():
    return draw_head(np.random.default_rng(0))


@pytest.fixture(scope="module")
def line(head):
    """Signal from the air over the crown down to the white matter, in steps of 0.25 mm."""
    height = np.arange(140.0, 0.0, -0.25)
    return head.signal("T2", np.stack([np.full_like(height, 30.0), np.full_like(height, -5.0), height], axis=1))


def test_layers_follow_from_the_outside_in(head, line):
    level = {tissue: signals["T2"] for tissue, signals in head.signals.items()}
    steps = ("air", "fat", "bone", "marrow", "bone", "csf", "white")
    at = 0
    for tissue in steps:
        found = np.flatnonzero(np.abs(line[at:] - level[tissue]) < 0.12 * level[tissue] + 1)
        assert found.size, tissue
        at += found[0]


def test_a_point_has_one_value_whatever_points_are_asked_with_it(head):
    points = np.random.default_rng(1).uniform(-90, 90, (500, 3))
    together = head.signal("T2", points)
    assert np.array_equal(together[:50], np.array([head.signal("T2", point) for point in points[:50]]))


def test_fluid_is_bright_in_the_target_and_dark_in_the_source(head):
    other = draw_head(np.random.default_rng(0), typical=HEAD_SOURCE)
    ventricle = [organ for organ in head.deep if organ.tissue == "csf"][1].shapes[0].center
    for body, brighter in ((head, True), (other, False)):
        assert (body.signal("T2", ventricle) > 1.5 * body.signals["white"]["T2"]) == brighter
    assert other.cerebrum == head.cerebrum


def test_both_hemispheres_hold_room_for_regions(head):
    points = columns(np.random.default_rng(2).uniform([-52, -68, -20], [52, 68, 60], (20000, 3)))
    room = head.in_room(points)
    assert room[points[0] > 5].mean() > 0.1
    assert room[points[0] < -5].mean() > 0.1
    assert head.in_organ(points)[room].all()


@pytest.mark.parametrize("name", ["brain", "brain-source"])
def test_regions_lie_in_white_matter_and_apart(name):
    chosen = PRESETS[name]
    shares = []
    for one in plan(chosen, 8, 3):
        body = draw_patient(chosen, one, 3).body
        assert len(body.lesions) == chosen.lesions
        for k, lesion in enumerate(body.lesions):
            assert 7 <= 2 * lesion.radius <= 14
            ball = np.random.default_rng(k).normal(size=(200, 3))
            ball *= 0.9 * lesion.radius / np.linalg.norm(ball, axis=1, keepdims=True)
            shares.append(body.in_room(columns(lesion.center + ball)).mean())
            for other in body.lesions[:k]:
                gap = np.linalg.norm(np.subtract(lesion.center, other.center))
                assert gap > lesion.radius + other.radius
    assert np.mean(shares) > 0.95
