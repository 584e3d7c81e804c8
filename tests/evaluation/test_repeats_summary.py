import json

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_curve

from mpmri_monai.errors import EvaluationError
from mpmri_monai.evaluation import compare, over_epochs, retraining, roc_band
from mpmri_monai.sequences import GRADES, TASKS

GRADE = TASKS["hcc_grade"]


def test_band_is_mean_and_sd_over_repeats(drawn):
    table = drawn(np.random.default_rng(0), 30, fits=((0, 0), (1, 0), (2, 0)), slices=1)
    band = roc_band(table, GRADE, "poorly", "slice")
    grid = np.array(band["fpr"][1:])
    curves = []
    for _, one in table.groupby("repeat"):
        fpr, tpr, _ = roc_curve(one["label"] == "poorly", one["p_poorly"], drop_intermediate=False)
        curves.append(np.interp(grid + 1e-9, fpr, tpr))
    mean, sd = np.mean(curves, axis=0), np.std(curves, axis=0, ddof=1)
    assert band["mean"][1:] == pytest.approx(mean, abs=1e-6)
    assert band["low"][1:] == pytest.approx(np.clip(mean - sd, 0, 1), abs=1e-6)
    assert band["high"][1:] == pytest.approx(np.clip(mean + sd, 0, 1), abs=1e-6)
    assert (band["n"], band["fpr"][0], band["mean"][0], band["mean"][-1]) == (3, 0, 0, 1)
    assert "not an interval" in band["label"] and "3 repeats" in band["label"]
    json.dumps(band, allow_nan=False)


def test_one_repeat_has_no_band(predictions):
    band = roc_band(predictions, GRADE, "well")
    assert band["low"] == band["high"] == [None] * len(band["fpr"])
    assert band["n"] == 1


def test_band_needs_a_curve(drawn, predictions):
    table = drawn(np.random.default_rng(0), 9, slices=1)
    table["outer"] = table["patient"].str[1:].astype(int)
    with pytest.raises(EvaluationError, match="leave-one-out"):
        roc_band(table, GRADE, "well")
    with pytest.raises(EvaluationError, match="'wel'"):
        roc_band(predictions, GRADE, "wel")


def test_over_epochs():
    histories = [pd.DataFrame({"epoch": [1, 2], "val_accuracy": values}) for values in ([0.5, 0.7], [0.7, 0.8])]
    found = over_epochs(histories, "val_accuracy")
    assert found["epoch"] == [1, 2]
    assert found["mean"] == pytest.approx([0.6, 0.75])
    assert found["sd"] == pytest.approx([0.1 * np.sqrt(2), 0.05 * np.sqrt(2)])
    assert over_epochs(histories[:1], "val_accuracy")["sd"] == [None, None]


def test_histories_that_do_not_fit_together_are_refused():
    history = pd.DataFrame({"epoch": [1, 2], "val_accuracy": [0.5, 0.7]})
    with pytest.raises(EvaluationError, match="1, 2 epochs"):
        over_epochs([history, history[:1]], "val_accuracy")
    with pytest.raises(EvaluationError, match="val_auc"):
        over_epochs([history], "val_auc")
    with pytest.raises(EvaluationError):
        over_epochs([], "val_accuracy")


def seeds(drawn, noise, n=5):
    """One truth, predicted by ``n`` trainings that differ by noise on the logits."""
    table = drawn(np.random.default_rng(0), 60, skill=2, slices=1)
    columns = [f"p_{name}" for name in GRADES]
    tables = {}
    for seed in range(n):
        odds = table[columns].to_numpy() * np.exp(noise * np.random.default_rng(seed).normal(size=(len(table), 3)))
        tables[seed] = table.assign(**dict(zip(columns, (odds / odds.sum(axis=1, keepdims=True)).T, strict=True)))
    return tables


def test_retraining_adds_its_variance(drawn):
    tables = seeds(drawn, 2)
    result = retraining(tables, GRADE, bootstraps=300)
    found = result["metrics"]["accuracy"]
    values = [compare(table, table, GRADE, bootstraps=1)["metrics"]["accuracy"]["a"] for table in tables.values()]
    assert found["value"] == pytest.approx(np.mean(values))
    assert found["sd_retraining"] == pytest.approx(np.std(values, ddof=1))
    (low, high), (lower, higher) = found["interval_fixed"], found["interval_both"]
    assert lower < low < found["value"] < high < higher
    assert result["seeds"] == 5
    json.dumps(result, allow_nan=False)


def test_same_training_again_adds_nothing(drawn):
    found = retraining(seeds(drawn, 0), GRADE, bootstraps=100)["metrics"]["accuracy"]
    assert found["sd_retraining"] == pytest.approx(0)
    assert found["interval_both"] == pytest.approx(found["interval_fixed"])


def test_retraining_needs_two_seeds_on_the_same_splits(drawn):
    tables = seeds(drawn, 1, 2)
    with pytest.raises(EvaluationError, match="two seeds"):
        retraining({0: tables[0]}, GRADE)
    with pytest.raises(EvaluationError, match=r"splits\.csv"):
        retraining({0: tables[0], 1: tables[1].assign(outer=1)}, GRADE)
