import numpy as np
import pandas as pd
import pytest

from mpmri_monai.errors import EvaluationError
from mpmri_monai.evaluation import evaluate, inner_fits, ranking
from mpmri_monai.sequences import TASKS

GRADE = TASKS["hcc_grade"]


@pytest.fixture
def tables(drawn):
    return {f"skill {skill}": drawn(np.random.default_rng(skill), 40, skill=skill, slices=1) for skill in (0, 3, 1)}


def test_best_first_with_its_value(tables):
    table = ranking(tables, GRADE, bootstraps=200)
    assert table["name"].tolist() == ["skill 3", "skill 1", "skill 0"]
    assert table["rank"].tolist() == [1, 2, 3]
    for _, row in table.iterrows():
        metric = evaluate(tables[row["name"]], GRADE, bootstraps=200)["levels"]["lesion"]["metrics"]["macro_auc"]
        assert row["value"] == pytest.approx(metric["value"])
        assert (row["low"], row["high"]) == pytest.approx((metric["low"], metric["high"]), abs=0.02)
    assert table["p_win"].sum() == pytest.approx(1)
    assert table["p_win"][0] > 0.95
    assert ((table["rank_low"] <= table["rank_high"]) & (table["rank_low"] >= 1) & (table["rank_high"] <= 3)).all()


def test_equal_models_share_the_first_place(tables):
    table = ranking({"a": tables["skill 3"], "b": tables["skill 3"], "c": tables["skill 0"]}, GRADE, bootstraps=100)
    assert table["p_win"].tolist() == pytest.approx([0.5, 0.5, 0])
    assert table["rank"].tolist() == [1.5, 1.5, 3]


@pytest.mark.parametrize("skills", [("perfect", "perfect too"), ("perfect", "skill 1")])
def test_a_perfect_model_has_a_number_for_no_interval(tables, skills):
    """What has no interval says so with NaN, in a column of numbers, also where it is so of all models."""
    perfect = tables["skill 1"].copy()
    for name in GRADE.classes:
        perfect[f"p_{name}"] = (perfect["label"] == name).astype(float)
    models = tables | {"perfect": perfect, "perfect too": perfect}
    table = ranking({name: models[name] for name in skills}, GRADE, bootstraps=50)
    assert table["low"].dtype == table["high"].dtype == float
    assert np.isnan(table["low"][0]) and np.isnan(table["high"][0])


def test_small_brier_scores_win(tables):
    assert ranking(tables, GRADE, metric="brier", bootstraps=50)["name"][0] == "skill 3"


def test_other_patients_are_refused(tables):
    short = tables | {"short": tables["skill 1"].query("patient != 'P007'")}
    with pytest.raises(EvaluationError, match="1 models lack some, such as short: 1 missing"):
        ranking(short, GRADE)
    with pytest.raises(EvaluationError, match="at least one"):
        ranking({}, GRADE)


def test_inner_folds_become_fits(drawn):
    folds = [drawn(np.random.default_rng(k), 12, fits=((0, k),)) for k in range(2)]
    inner = pd.concat(
        [one.assign(inner=str(number), role="val") for one in folds for number in (0, 1)], ignore_index=True
    )
    outer = pd.concat(folds)
    relabelled = inner_fits(pd.concat([inner, outer]))
    assert len(relabelled) == len(inner)
    assert set(relabelled["inner"]) == {""}
    assert set(relabelled["outer"]) == {0, 1, 2, 3}
    value = evaluate(relabelled, GRADE, role="val", bootstraps=10)["levels"]["lesion"]["metrics"]["accuracy"]["value"]
    assert ranking({"a": relabelled}, GRADE, metric="accuracy", role="val", bootstraps=10)["value"][0] == value
    with pytest.raises(EvaluationError, match="inner folds"):
        inner_fits(outer)
