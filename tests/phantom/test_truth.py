from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from mpmri_monai.errors import EvaluationError
from mpmri_monai.phantom.classes import BRAIN, NAMES
from mpmri_monai.phantom.patients import draw_patient, plan
from mpmri_monai.phantom.presets import PRESETS
from mpmri_monai.phantom.truth import _macro_auc, ceiling, read_truth, truth_table
from mpmri_monai.sequences import GRADES, SEQUENCES

PRIOR = (1 / 3, 1 / 3, 1 / 3)
T2_OUT_S4 = ("T2", "OUT", "S4")


@pytest.fixture(scope="module")
def truth():
    chosen = PRESETS["sites"]
    return truth_table([draw_patient(chosen, one, 4) for one in plan(chosen, 60, 4)], PRIOR)


def test_the_table_survives_the_file(truth, tmp_path):
    truth.to_csv(tmp_path / "truth.csv", index=False)
    again = read_truth(tmp_path / "truth.csv")
    assert list(again.columns) == list(truth.columns)
    assert ceiling(again, T2_OUT_S4)["macro_auc"] == pytest.approx(ceiling(truth, T2_OUT_S4)["macro_auc"])


def test_posteriors_sum_to_one_and_a_site_without_out_gains_nothing_from_it(truth):
    for name in ("all", "T2-OUT-S4"):
        assert truth[[f"p_{name}_{grade}" for grade in GRADES]].sum(axis=1).to_numpy() == pytest.approx(1)
    poor = set(zip(*truth.loc[truth["site"] == "C", ["patient", "lesion"]].to_numpy().T, strict=True))
    assert ceiling(truth, T2_OUT_S4, poor) == ceiling(truth, ("T2", "S4"), poor)


def test_the_mean_of_the_ceiling_is_the_mean_of_the_largest_posterior(truth):
    expected = truth[[f"p_all_{grade}" for grade in GRADES]].max(axis=1).mean()
    found = ceiling(truth, SEQUENCES)["accuracy"]
    assert found["mean"] == pytest.approx(expected, abs=0.01)
    assert found["low"] < found["mean"] < found["high"]


def test_no_fusion_has_a_higher_ceiling_than_all_sequences(truth):
    few = set(zip(truth["patient"][:9], truth["lesion"][:9], strict=True))
    best = ceiling(truth, SEQUENCES, few)["accuracy"]["mean"]
    for sequences in (["T2"], ["T2", "S4"], T2_OUT_S4, ["IN"]):
        assert ceiling(truth, sequences, few)["accuracy"]["mean"] <= best
    values = [ceiling(truth, sequences)["macro_auc"]["mean"] for sequences in (["IN"], ["T2"], T2_OUT_S4)]
    assert values == sorted(values)


def test_the_ceiling_is_what_the_bayes_classifier_reaches_on_many_lesions():
    chosen = PRESETS["quick"]
    table = truth_table([draw_patient(chosen, one, 9) for one in plan(chosen, 200, 9)], PRIOR)
    names = np.array(GRADES)[table[[f"p_T2-OUT-S4_{grade}" for grade in GRADES]].to_numpy().argmax(axis=1)]
    found = ceiling(table, T2_OUT_S4)["accuracy"]
    assert found["low"] <= (names == table["label"]).mean() <= found["high"]


def test_auc_agrees_with_scikit_learn():
    rng = np.random.default_rng(0)
    scores = rng.dirichlet([1, 1, 1], 40).round(1)  # with ties
    labels = rng.integers(0, 3, (3, 40))
    expected = [np.mean([roc_auc_score(row == k, scores[:, k]) for k in range(3)]) for row in labels]
    assert _macro_auc(labels, scores) == pytest.approx(expected)


def test_auc_is_undefined_with_one_class():
    assert np.isnan(_macro_auc(np.zeros((1, 5), int), np.full((5, 3), 1 / 3))[0])


def test_the_ceiling_depends_on_the_seed_alone(truth):
    assert ceiling(truth, T2_OUT_S4, seed=1) == ceiling(truth, T2_OUT_S4, seed=1)
    assert ceiling(truth, T2_OUT_S4, seed=1) != ceiling(truth, T2_OUT_S4, seed=2)


def test_wrong_questions_are_refused(truth, tmp_path):
    with pytest.raises(EvaluationError):
        ceiling(truth, T2_OUT_S4, lesions={("nobody", "L1")})
    with pytest.raises(EvaluationError):
        ceiling(truth, T2_OUT_S4, classes=("good", "bad"))
    with pytest.raises(EvaluationError):
        read_truth(tmp_path / "truth.csv")
    truth.drop(columns=NAMES[3]).to_csv(tmp_path / "old.csv", index=False)
    with pytest.raises(EvaluationError, match=NAMES[3]):
        read_truth(tmp_path / "old.csv")


def test_the_ceiling_of_the_brain_is_what_its_bayes_classifier_reaches(tmp_path):
    chosen = PRESETS["brain"]
    table = truth_table([draw_patient(chosen, one, 5) for one in plan(chosen, 200, 5)], (0.5, 0.5))
    table.to_csv(tmp_path / "truth.csv", index=False)
    table = read_truth(tmp_path / "truth.csv")
    found = ceiling(table, ("T2",), classes=BRAIN.classes)["accuracy"]
    named = np.array(BRAIN.classes)[table[["p_all_healthy", "p_all_unhealthy"]].to_numpy().argmax(axis=1)]
    assert 0.92 < found["mean"] < 0.97
    assert found["low"] <= (named == table["label"]).mean() <= found["high"]
    with pytest.raises(EvaluationError, match="healthy"):
        ceiling(table, ("T2",), classes=GRADES)
