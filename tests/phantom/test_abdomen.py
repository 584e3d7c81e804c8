from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mpmri_monai.phantom.abdomen import draw_abdomen
from mpmri_monai.phantom.anatomies import LIVER
from mpmri_monai.phantom.patients import Plan, draw_patient
from mpmri_monai.phantom.presets import PRESETS
from mpmri_monai.sequences import DCE, SEQUENCES


def columns(points):
    return tuple(np.asarray(points, np.float32).T.copy())


@pytest.fixture(scope="module")
def body():
    return draw_abdomen(np.random.default_rng(0))


def test_air_outside_and_tissue_inside(body):
    assert body.signal("T2", [[400, 0, 0], [0, -300, 10]]).tolist() == [0, 0]
    assert body.signal("T2", [[60, 0, 0]])[0] > 0


def test_signal_keeps_the_shape_of_the_points_and_is_float32(body):
    value = body.signal("OUT", np.zeros((2, 3, 4, 3)))
    assert value.shape == (2, 3, 4)
    assert value.dtype == np.float32


def test_a_point_has_one_value_whatever_points_are_asked_with_it(body):
    points = np.random.default_rng(1).uniform(-120, 120, (500, 3))
    together = body.signal("S3", points)
    alone = np.array([body.signal("S3", point) for point in points[:50]])
    assert np.array_equal(together[:50], alone)


def test_the_aorta_flashes_first_and_the_spleen_enhances_before_the_liver(body):
    aorta, spleen = body.after[2].shapes[0].center, body.before[3].shapes[0].center
    curve = {name: body.signal(name, [[*aorta, 0.0], list(spleen)]) for name in DCE}
    assert max(curve, key=lambda name: curve[name][0]) == "S1"
    liver = body.signals["liver"]
    relative = {name: curve[name][1] / liver[name] for name in DCE}
    assert max(relative, key=relative.get) == "S2"
    assert max(DCE, key=liver.get) == "S3"


def test_lesions_lie_inside_the_liver_and_apart():
    for number in range(12):
        patient = draw_patient(PRESETS["quick"], Plan(number, PRESETS["quick"].sites[0], ("well", "poorly")), seed=1)
        one, other = patient.body.lesions
        assert patient.body.lesion_at(columns([one.center, other.center])).tolist() == [1, 2]
        for lesion in (one, other):
            directions = np.random.default_rng(0).normal(size=(100, 3))
            surface = lesion.center + 0.9 * lesion.radius * directions / np.linalg.norm(
                directions, axis=1, keepdims=True
            )
            assert patient.body.in_organ(columns(surface)).mean() > 0.9
        gap = np.linalg.norm(np.subtract(one.center, other.center))
        assert gap > one.radius + other.radius + LIVER.clearance_mm


def test_time_curves_of_the_grades_are_in_order_and_well_is_nearest_to_liver():
    preset = PRESETS["quick"]
    u = np.random.default_rng(0).uniform(-1, 1, (3, 1500))
    radius = np.sqrt((u * u).sum(axis=0))
    u, radius = u[:, radius < 1], radius[radius < 1]
    curves = {}
    for grade in ("well", "moderately", "poorly"):
        ratios = []
        for number in range(60):
            patient = draw_patient(preset, Plan(number, preset.sites[0], (grade,)), seed=2)
            lesion = patient.body.lesions[0]
            ratios.append([lesion.contrast(name, u, radius).mean() for name in SEQUENCES])
        curves[grade] = dict(zip(SEQUENCES, np.mean(ratios, axis=0), strict=True))
    for name in ("S1", "S2"):
        assert 0 < curves["well"][name] < curves["moderately"][name] < curves["poorly"][name]
    for name in ("S4", "S5"):
        assert 0 > curves["well"][name] > curves["moderately"][name] > curves["poorly"][name]


def test_a_body_without_lesions_has_none(body):
    assert not replace(body, lesions=()).lesion_at(columns(np.zeros((4, 3)))).any()
