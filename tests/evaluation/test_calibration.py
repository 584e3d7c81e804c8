import json

import numpy as np
import pandas as pd
import pytest

from mpmri_monai.errors import EvaluationError, LeakageError
from mpmri_monai.evaluation import calibrate, read_fitted
from mpmri_monai.evaluation.fitted import salted
from mpmri_monai.sequences import TASKS

GRADE, BACKGROUND = TASKS["hcc_grade"], TASKS["hcc_vs_bg"]
KINDS = ["temperature", "conformal_marginal", "conformal_by_class", "certainty_threshold"]


def with_roles(table):
    """Every second triple of patients validates, the others test; classes go round in threes."""
    number = table["patient"].str[1:].astype(int)
    return table.assign(role=np.where(number // 3 % 2, "val", "test"))


@pytest.fixture
def table(drawn):
    return with_roles(drawn(np.random.default_rng(0), patients=132))


def test_content_is_json_and_what_was_fitted_is_read_back(table):
    found = calibrate(table, GRADE, bootstraps=50)
    content = json.loads(json.dumps(found, allow_nan=False))
    fitted = read_fitted(content["fitted"])
    assert [part.kind for part in fitted] == KINDS
    assert [part.as_json() for part in fitted] == found["fitted"]
    assert found["from"] == "val"
    assert found["temperature"] == {"available": True, "values": [fitted[0].value]}
    assert found["nll"]["change"]["value"] == pytest.approx(
        found["nll"]["after"]["value"] - found["nll"]["before"]["value"]
    )


def test_fitted_things_know_their_patients_without_naming_them(table):
    found = calibrate(table, GRADE, bootstraps=50)
    seen, tested = (sorted(set(table.loc[table["role"] == role, "patient"])) for role in ("val", "test"))
    text = json.dumps(found["fitted"])
    assert not any(patient in text for patient in seen)
    for entry, part in zip(found["fitted"], read_fitted(found["fitted"]), strict=True):
        assert set(entry["patients"]) == {salted(entry["salt"], patient) for patient in seen}
        part.refuse(tested)
        with pytest.raises(LeakageError, match=r"E_LEAK_FITTED.*1 that it was, such as"):
            part.refuse([*tested, seen[0]])


def test_test_lesions_have_no_part_in_what_is_fitted(table):
    tested = table["role"] == "test"
    other = table.copy()
    other.loc[tested, "label"] = "poorly"
    other.loc[tested, ["p_well", "p_moderately", "p_poorly"]] = [0.2, 0.3, 0.5]
    assert calibrate(other, GRADE, bootstraps=10)["fitted"] == calibrate(table, GRADE, bootstraps=10)["fitted"]


def test_order_of_rows_changes_nothing_and_the_seed_changes_the_salt(table):
    found = calibrate(table, GRADE, seed=1, bootstraps=50)
    shuffled = table.sample(frac=1, random_state=0)
    assert calibrate(shuffled, GRADE, seed=1, bootstraps=50) == found
    other = calibrate(table, GRADE, seed=2, bootstraps=50)
    assert other["fitted"][0]["salt"] != found["fitted"][0]["salt"]
    assert other["fitted"][0]["value"] == found["fitted"][0]["value"]


def test_calibration_helps_a_network_that_is_too_sure(drawn):
    table = with_roles(drawn(np.random.default_rng(3), patients=132, slices=1))
    columns = [f"p_{name}" for name in GRADE.classes]
    sure = table[columns].to_numpy() ** 4
    found = calibrate(
        table.assign(**dict(zip(columns, (sure / sure.sum(axis=1, keepdims=True)).T, strict=True))), GRADE
    )
    for name in ("nll", "brier", "ece"):
        assert found[name]["after"]["value"] < found[name]["before"]["value"]
    assert found["nll"]["change"]["high"] < 0


def test_inner_folds_are_taken_before_validation_patients(table):
    number = table["patient"].str[1:].astype(int)
    inner = table[table["role"] == "val"].assign(inner=(number % 2).astype(str))
    found = calibrate(pd.concat([table[table["role"] == "test"], inner], ignore_index=True), GRADE, bootstraps=50)
    assert found["from"] == "inner folds"
    assert found["fitted"][0]["from"] == "inner folds"
    assert found["fitted"][0]["value"] == calibrate(table, GRADE, bootstraps=50)["fitted"][0]["value"]


def test_inner_folds_that_hold_a_test_patient_are_refused(table):
    leaked = table[table["patient"] == "P000"].assign(inner="0", role="val")
    inner = table[table["role"] == "val"].assign(inner="0")
    rows = pd.concat([table[table["role"] == "test"], inner, leaked], ignore_index=True)
    with pytest.raises(LeakageError, match="P000"):
        calibrate(rows, GRADE)


def test_each_fit_has_its_own(drawn):
    table = with_roles(drawn(np.random.default_rng(1), patients=132, fits=((0, 0), (1, 0))))
    exchanged = {"val": "test", "test": "val"}
    table.loc[table["repeat"] == 1, "role"] = table.loc[table["repeat"] == 1, "role"].map(exchanged)
    found = calibrate(table, GRADE, bootstraps=50)
    assert [entry["kind"] for entry in found["fitted"]] == KINDS * 2
    assert len(found["temperature"]["values"]) == len(set(found["temperature"]["values"])) == 2
    assert found["patients"] == 132
    alone = calibrate(table[table["repeat"] == 1], GRADE, bootstraps=50)
    assert alone["temperature"]["values"] == found["temperature"]["values"][1:]


def test_without_enough_validation_patients_the_rest_is_still_there(table):
    number = table["patient"].str[1:].astype(int)
    few = table[(table["role"] == "test") | (number < 6)]
    for rows, why in ((few, "too few"), (table[table["role"] == "test"], "no validation patients")):
        found = calibrate(rows, GRADE, bootstraps=50)
        assert found["fitted"] == []
        for part in (found["temperature"], found["conformal"]["marginal"], found["conformal"]["by_class"]):
            assert part["available"] is False
            assert why in part["why"]
            assert part["needed"]
        assert set(found["reliability"]) == {"before"}
        assert found["abstention"]["aurc"]["value"] > 0
        json.dumps(found, allow_nan=False)


def test_conformal_sets_are_scored_by_class(table):
    sets = calibrate(table, GRADE, bootstraps=50)["conformal"]["marginal"]
    assert sets["calibration_patients"] == [66]
    assert 0.75 < sets["coverage"]["value"] <= 1
    by_class = sets["classes"]
    assert sum(part["coverage"]["n"] for part in by_class.values()) == sets["coverage"]["n"]
    assert 1 <= sets["size"]["low"] <= sets["size"]["value"] <= sets["size"]["high"] <= 3


def test_lesions_against_background(drawn):
    table = with_roles(
        drawn(np.random.default_rng(2), patients=132, classes=BACKGROUND.classes, task="hcc_vs_bg", slices=2)
    )
    found = calibrate(table, BACKGROUND, bootstraps=50)
    assert [entry["kind"] for entry in found["fitted"]] == KINDS


def test_an_entry_that_is_none_is_refused(table):
    entry = calibrate(table, GRADE, bootstraps=10)["fitted"][1]
    for broken in (
        {**entry, "kind": "magic"},
        {**entry, "value": {"alpha": 0.1, "quantiles": {"well": 0.5}}},
        {**entry, "value": {"alpha": 0.1, "quantiles": dict.fromkeys(GRADE.classes, 2)}},
        {**entry, "value": 0.5},
        {name: value for name, value in entry.items() if name != "salt"},
        "text",
    ):
        with pytest.raises(EvaluationError):
            read_fitted([broken])


def test_lesions_of_several_repeats_are_counted_once(table):
    again = calibrate(pd.concat([table, table.assign(repeat=1)]), GRADE, bootstraps=10)
    assert again["lesions"] == calibrate(table, GRADE, bootstraps=10)["lesions"]


def test_inner_folds_that_trained_on_test_patients_are_refused(table):
    inner = table.assign(inner="0", role=table["role"].replace("test", "train"))
    with pytest.raises(LeakageError, match="inner folds without the test patients"):
        calibrate(pd.concat([table[table["role"] == "test"], inner]), GRADE, bootstraps=10)
