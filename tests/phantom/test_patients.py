from __future__ import annotations

from collections import Counter

import pytest

from mpmri_monai.errors import ConfigError
from mpmri_monai.phantom.patients import COHORT, HELD_OUT, draw_patient, plan
from mpmri_monai.phantom.presets import PRESETS, preset


def test_paper_has_its_patients_lesions_and_grades():
    plans = plan(PRESETS["paper"], 48, 0)
    grades = Counter(grade for one in plans for grade in one.labels)
    assert len(plans) == 48
    assert grades == {"well": 12, "moderately": 34, "poorly": 5}


def test_quick_is_balanced():
    grades = Counter(grade for one in plan(PRESETS["quick"], 27, 0) for grade in one.labels)
    assert max(grades.values()) == min(grades.values())


def test_sites_take_equal_shares_and_one_has_no_out():
    plans = plan(PRESETS["sites"], 30, 0)
    assert Counter(one.site.name for one in plans) == {"A": 10, "B": 10, "C": 10}
    assert [site.name for site in PRESETS["sites"].sites if "OUT" not in site.sequences] == ["C"]


@pytest.mark.parametrize("name", PRESETS)
def test_lesions_stay_in_range(name):
    chosen = PRESETS[name]
    for one in plan(chosen, 12, 1):
        for lesion in draw_patient(chosen, one, 1).body.lesions:
            assert chosen.diameter_range_mm[0] <= 2 * lesion.radius <= chosen.diameter_range_mm[1]


def test_a_patient_is_the_same_whenever_it_is_drawn_and_unlike_any_other():
    chosen = PRESETS["quick"]
    plans = plan(chosen, 4, 5)
    first = draw_patient(chosen, plans[1], 5)
    draw_patient(chosen, plans[0], 5)
    assert draw_patient(chosen, plans[1], 5).body.lesions == first.body.lesions
    others = [
        draw_patient(chosen, plans[1], 6),
        draw_patient(chosen, plans[2], 5),
        draw_patient(chosen, plans[1], 5, HELD_OUT),
    ]
    assert first.stream == COHORT
    assert all(other.body.lesions[0].latents != first.body.lesions[0].latents for other in others)


def test_an_unknown_preset_is_refused():
    with pytest.raises(ConfigError, match="quick"):
        preset("papper")
