from itertools import permutations

import numpy as np
import pytest

from mpmri_monai.evaluation.abstention import REFERRED, abstention, aurc, fit_thresholds
from mpmri_monai.evaluation.fitted import VAL, NotFitted
from mpmri_monai.evaluation.scored import resampling, scored
from mpmri_monai.sequences import TASKS

GRADE = TASKS["hcc_grade"]


@pytest.fixture
def lesions(drawn):
    return scored(drawn(np.random.default_rng(0), patients=60), GRADE, "lesion")


def drawn_again(lesions):
    return resampling([lesions], 200, np.random.default_rng(0))


def test_area_in_closed_form():
    certainty, wrong = np.array([0.6, 0.9, 0.8, 0.7]), np.array([True, False, True, False])
    (area,) = aurc(certainty, wrong, np.ones((1, 4)))
    assert area == pytest.approx((0 + 1 / 2 + 1 / 3 + 2 / 4) / 4)


def test_weights_are_as_good_as_copies_and_ties_have_no_order():
    rng = np.random.default_rng(1)
    certainty, wrong = rng.random(12).round(1), rng.random(12) < 0.4
    counts = rng.integers(0, 4, 12)
    copies = np.repeat(np.arange(12), counts)
    (weighted,) = aurc(certainty, wrong, counts[None].astype(float))
    for order in (copies, copies[::-1]):
        (copied,) = aurc(certainty[order], wrong[order], np.ones((1, len(order))))
        assert copied == pytest.approx(weighted)


def test_best_is_the_least_area_over_all_orders(drawn):
    units = scored(drawn(np.random.default_rng(5), patients=5, slices=1, skill=0.0), GRADE, "lesion")
    wrong = units.probabilities.argmax(axis=1) != units.truth
    found = abstention(units, drawn_again(units))["aurc"]
    least = min(
        aurc(np.array(order, float), wrong, np.ones((1, len(wrong))))[0] for order in permutations(range(len(wrong)))
    )
    assert 0 < wrong.sum() < len(wrong)
    assert found["best"] == pytest.approx(least)
    assert found["best"] <= found["value"]


def test_a_certainty_that_says_nothing_costs_what_always_answering_does():
    wrong = np.random.default_rng(2).random(500) < 0.3
    areas = [aurc(np.random.default_rng(seed).random(500), wrong, np.ones((1, 500)))[0] for seed in range(50)]
    assert np.mean(areas) == pytest.approx(wrong.mean(), abs=0.01)


def test_table_counts_what_is_left_when_the_least_certain_go(lesions):
    found = abstention(lesions, drawn_again(lesions))
    certainty = lesions.probabilities.max(axis=1)
    right = lesions.probabilities.argmax(axis=1) == lesions.truth
    for share, row in zip(REFERRED, found["table"], strict=True):
        kept = np.argsort(-certainty)[: int(np.ceil((1 - share) * len(certainty)))]
        assert row["right"]["value"] == pytest.approx(right[kept].mean())
        assert row["right"]["low"] <= row["right"]["value"] <= row["right"]["high"]
        assert row["referred"] == pytest.approx(share, abs=1 / len(certainty))
        assert row["by_threshold"] is None
    (curve,) = found["curves"]
    assert curve["coverage"][-1] == 1
    assert curve["risk"][-1] == pytest.approx(1 - right.mean()) == found["aurc"]["always_answering"]
    assert all(
        low <= risk <= high for low, risk, high in zip(*(curve[k] for k in ("low", "risk", "high")), strict=True)
    )


def test_lesions_of_one_certainty_stay_together(drawn):
    table = drawn(np.random.default_rng(3), patients=30, slices=1)
    table[["p_well", "p_moderately", "p_poorly"]] = [0.5, 0.3, 0.2]
    units = scored(table, GRADE, "lesion")
    assert [row["referred"] for row in abstention(units, drawn_again(units))["table"]] == [0.0] * len(REFERRED)


def test_thresholds_refer_at_most_the_share_asked_for(lesions):
    fitted = fit_thresholds(lesions, VAL, "s")
    certainty = lesions.probabilities.max(axis=1)
    _, owner, count = np.unique(lesions.patients, return_inverse=True, return_counts=True)
    each = 1 / count[owner] / len(count)
    for share in REFERRED[1:]:
        referred = each[~fitted.answered(certainty, share)].sum()
        assert share - 1 / len(count) <= referred <= share + 1e-9


def test_too_few_patients_have_no_threshold(drawn):
    found = fit_thresholds(scored(drawn(np.random.default_rng(4), patients=9), GRADE, "lesion"), VAL, "s")
    assert isinstance(found, NotFitted)
    assert found.needed == "10 calibration patients"


def test_of_two_classes_the_gap_between_the_outputs_says_the_same():
    p = np.random.default_rng(4).random(200)
    wrong = np.random.default_rng(5).random(200) < 0.3
    certainties = np.maximum(p, 1 - p), np.abs(p - (1 - p))
    first, second = (aurc(certainty, wrong, np.ones((1, 200)))[0] for certainty in certainties)
    assert first == pytest.approx(second)
