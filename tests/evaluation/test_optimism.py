import json

import numpy as np
import pandas as pd
import pytest

from mpmri_monai.errors import EvaluationError, LeakageError
from mpmri_monai.evaluation import optimism
from mpmri_monai.sequences import GRADES, TASKS

GRADE = TASKS["hcc_grade"]


@pytest.fixture
def protocols(drawn):
    """An honest table, and one of better predictions in which samples of one patient have several roles."""
    honest = drawn(np.random.default_rng(0), 40, skill=0.5)
    leaky = drawn(np.random.default_rng(1), 40, skill=3)
    return leaky.assign(role=np.where(np.arange(len(leaky)) % 2, "test", "train")), honest


def accuracy(table):
    given = table[[f"p_{name}" for name in GRADES]].to_numpy().argmax(axis=1)
    return (np.array(GRADES)[given] == table["label"]).mean()


def test_difference_with_interval(protocols):
    leaky, honest = protocols
    result = optimism(leaky, honest, GRADE, bootstraps=200)
    found = result["metrics"]["accuracy"]
    values = accuracy(leaky[leaky["role"] == "test"]), accuracy(honest)
    assert (found["leaky"]["value"], found["honest"]["value"]) == pytest.approx(values)
    assert found["optimism"]["value"] == pytest.approx(values[0] - values[1])
    assert 0 < found["optimism"]["low"] < found["optimism"]["value"] < found["optimism"]["high"]
    assert result["n"] == {"leaky": int((leaky["role"] == "test").sum()), "honest": len(honest)}
    assert "training" in result["limits"]
    json.dumps(result, allow_nan=False)


def test_a_protocol_against_itself(protocols):
    _, honest = protocols
    for metric in optimism(honest, honest, GRADE, bootstraps=50)["metrics"].values():
        assert metric["optimism"] == {"value": 0, "low": None, "high": None}


def test_stored_copies_count_in_the_leaky_protocol_alone(protocols):
    leaky, honest = protocols
    copies = pd.concat([leaky, leaky.assign(sample=leaky["sample"] + "+flipped")])
    result = optimism(copies, honest, GRADE, bootstraps=20)
    assert result["n"]["leaky"] == 2 * (leaky["role"] == "test").sum()


def test_same_draws_for_both_make_the_interval_narrow(protocols):
    _, honest = protocols
    flipped = honest.copy()
    columns = [f"p_{name}" for name in GRADES]
    one = flipped["patient"] == "P000"
    flipped.loc[one, columns] = np.eye(3)[[GRADES.index(label) for label in flipped.loc[one, "label"]]]
    found = optimism(flipped, honest, GRADE, bootstraps=300)["metrics"]["accuracy"]
    widths = {name: part["high"] - part["low"] for name, part in found.items()}
    assert widths["optimism"] < widths["honest"] / 2


def test_patients_of_one_protocol_alone_are_counted(protocols):
    leaky, honest = protocols
    result = optimism(leaky[leaky["patient"] != "P001"], honest[honest["patient"] > "P004"], GRADE, bootstraps=20)
    assert result["patients"] == {"both": 35, "only_leaky": 4, "only_honest": 0}


def test_what_is_refused(protocols):
    leaky, honest = protocols
    with pytest.raises(LeakageError):
        optimism(leaky, leaky, GRADE)
    with pytest.raises(EvaluationError, match="no patient in common"):
        optimism(leaky, honest.assign(patient="Q" + honest["patient"]), GRADE)
    with pytest.raises(EvaluationError, match="1 labelled differently"):
        optimism(leaky, honest.assign(label=honest["label"].where(honest["patient"] != "P001", "poorly")), GRADE)
