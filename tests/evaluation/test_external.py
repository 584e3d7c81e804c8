"""The verdict of an external validation: each decision for its reason."""

import pytest

from mpmri_monai.evaluation.external import differences, verdict

GOOD = {
    "intercept": {"value": 0.1, "low": -0.3, "high": 0.5, "p_holm": 0.9},
    "slope": {"value": 0.9, "low": 0.6, "high": 1.2, "p_holm": 0.8},
}
NO_SHIFT = {"ranges": [], "sequences": [], "case_mix": {"shifted": False}}


def level(value=0.9, low=0.85, high=0.94, patients=60):
    return {
        "patients_per_class": {"no": patients, "yes": patients},
        "metrics": {"macro_auc": {"value": value, "low": low, "high": high}},
    }


def decided(of=None, there=(0.9, 0.88, 0.92), slopes=GOOD, shift=NO_SHIFT):
    of = of or level()
    known = {"macro_auc": dict(zip(("value", "low", "high"), there, strict=True))} if there else {}
    return verdict(of, differences(of["metrics"], known), {"yes": slopes}, shift)


def test_the_interval_of_a_difference_holds_both_uncertainties():
    a, b = {"value": 0.8, "low": 0.7, "high": 0.9}, {"value": 0.9, "low": 0.86, "high": 0.93}
    found = differences({"macro_auc": a}, {"macro_auc": b})["macro_auc"]
    assert found["value"] == pytest.approx(-0.1)
    assert found["low"] == pytest.approx(-0.1 - (0.1**2 + 0.03**2) ** 0.5)
    assert found["high"] == pytest.approx(-0.1 + (0.1**2 + 0.04**2) ** 0.5)
    swapped = differences({"macro_auc": b}, {"macro_auc": a})["macro_auc"]
    assert (swapped["low"], swapped["high"]) == pytest.approx((-found["high"], -found["low"]))


def test_what_is_not_defined_gives_no_difference():
    found = differences({"macro_auc": {"value": None, "low": None, "high": None}}, {})
    assert set(found["accuracy"].values()) == {None}


def test_the_same_discrimination_and_calibration_hold():
    assert decided()["decision"] == "holds"


def test_a_loss_asks_for_tuning():
    found = decided(level(0.7, 0.62, 0.77))
    assert found["decision"] == "fine-tune"
    assert "less well" in found["sentences"][0]


def test_wide_intervals_tell_nothing():
    assert decided(level(0.85, 0.65, 0.95))["decision"] == "cannot tell"
    assert decided(level(patients=4))["decision"] == "cannot tell"
    assert decided(level(0.6, 0.4, 0.8), there=None)["decision"] == "cannot tell"
    assert decided(level(None, None, None))["decision"] == "cannot tell"


def test_bad_probabilities_ask_for_recalibration_and_say_in_which_way():
    extreme = GOOD | {"slope": {"value": 0.4, "low": 0.3, "high": 0.6, "p_holm": 0.001}}
    found = decided(slopes=extreme)
    assert found["decision"] == "recalibrate"
    assert "yes is predicted too extremely" in found["sentences"][1]


def test_a_temperature_is_not_advised_where_only_the_balance_of_the_classes_is_off():
    often = GOOD | {"intercept": {"value": -1.0, "low": -1.5, "high": -0.5, "p_holm": 0.001}}
    found = decided(slopes=often)
    assert found["decision"] == "rebalance"
    assert "--recalibrate" not in found["advice"]
    assert "yes is predicted too often" in found["sentences"][1]


def test_one_interval_that_misses_by_chance_is_no_verdict():
    missed = GOOD | {"slope": {"value": 0.8, "low": 0.61, "high": 0.99, "p_holm": 0.2}}
    assert decided(slopes=missed)["decision"] == "holds"


def test_other_data_without_a_loss_are_to_be_looked_at():
    shift = {
        "ranges": [{"words": "signal", "sequence": "T2", "outside": 5, "patients": 9, "shifted": True}],
        "sequences": [{"sequence": "S4", "here": 0.5, "shifted": True}],
        "case_mix": {"shifted": True},
    }
    found = decided(shift=shift)
    assert found["decision"] == "look"
    for words in ("signal of T2 beyond the training range in 5 of 9", "S4 is missing in 50%", "mixed otherwise"):
        assert words in found["sentences"][2]
