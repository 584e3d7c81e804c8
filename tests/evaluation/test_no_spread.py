"""A network that gives all cases of a class one answer: redrawing patients shows nothing, and nothing is claimed."""

import numpy as np
import pytest

from mpmri_monai.evaluation import compare, evaluate, optimism
from mpmri_monai.evaluation.intervals import EFFECTIVE, METHOD
from mpmri_monai.evaluation.no_spread import ONE_ANSWER
from mpmri_monai.evaluation.proportion import clustered_proportion
from mpmri_monai.sequences import GRADES, TASKS

GRADE = TASKS["hcc_grade"]
COLUMNS = [f"p_{name}" for name in GRADES]
DECIDED = ("balanced_accuracy", "macro_precision", "macro_f1", "quadratic_kappa")


@pytest.fixture
def table(drawn):
    return drawn(np.random.default_rng(0), 19, skill=0.5)


def answering(table, answer):
    """The predictions of a network that answers each class with one class, with some order among the cases."""
    sure = np.eye(3)[[GRADES.index(answer[name]) for name in table["label"]]]
    noise = np.random.default_rng(1).dirichlet(np.ones(3), len(table))
    return table.assign(**dict(zip(COLUMNS, (0.6 * sure + 0.4 * noise).T, strict=True)))


def one_class_alone(table):
    return answering(table, dict.fromkeys(GRADES, "moderately"))


def blind_to_one(table):
    return answering(table, {"well": "well", "moderately": "moderately", "poorly": "moderately"})


@pytest.mark.parametrize("made", [one_class_alone, blind_to_one])
@pytest.mark.parametrize("level", ["slice", "lesion"])
def test_an_accuracy_is_no_surer_than_as_many_cases_are(table, made, level):
    metrics = evaluate(made(table), GRADE, bootstraps=300)["levels"][level]["metrics"]
    accuracy = metrics["accuracy"]
    assert accuracy["method"] == EFFECTIVE
    assert accuracy["high"] - accuracy["low"] > 0.25  # 19 patients: a binomial share of 0.8 has 0.36
    for name in DECIDED:
        assert metrics[name]["value"] is not None and metrics[name]["low"] is None, name
        assert metrics[name]["why"]
    assert metrics["macro_auc"]["method"] == METHOD  # the order within the classes has its spread


def test_it_is_the_share_of_clustered_cases(table):
    table = blind_to_one(table).query("sample != ''")
    slices = evaluate(table, GRADE, bootstraps=50)["levels"]["slice"]["metrics"]["accuracy"]
    right = table[COLUMNS].to_numpy().argmax(axis=1) == table["label"].map(GRADES.index)
    share = clustered_proportion(right.to_numpy(), table["patient"].to_numpy())
    assert (slices["value"], slices["low"], slices["high"]) == pytest.approx(
        (share["value"], share["low"], share["high"])
    )


def test_one_case_that_is_answered_otherwise_brings_the_usual_interval(table):
    made = blind_to_one(table)
    one = made["lesion"] == made.loc[made["label"] == "moderately", "lesion"].iloc[0]
    one &= made["patient"] == made.loc[made["label"] == "moderately", "patient"].iloc[0]
    made.loc[one, COLUMNS] = [0.9, 0.05, 0.05]
    metrics = evaluate(made, GRADE, bootstraps=300)["levels"]["lesion"]["metrics"]
    assert metrics["accuracy"]["method"] == metrics["macro_f1"]["method"] == METHOD


def test_a_difference_of_two_such_networks_has_no_interval(table):
    pair = one_class_alone(table), blind_to_one(table)
    for found in (
        compare(*pair, GRADE, bootstraps=100)["metrics"],
        {name: one["optimism"] for name, one in optimism(*pair, GRADE, bootstraps=100)["metrics"].items()},
    ):
        assert found["accuracy"]["low"] is found["accuracy"]["high"] is None
        assert found["macro_auc"]["low"] is not None
    assert compare(table, pair[0], GRADE, bootstraps=100)["metrics"]["accuracy"]["low"] is not None


def test_the_reason_is_said(table):
    metrics = evaluate(blind_to_one(table), GRADE, bootstraps=300)["levels"]["lesion"]["metrics"]
    assert ONE_ANSWER in {metrics[name]["why"] for name in DECIDED}
