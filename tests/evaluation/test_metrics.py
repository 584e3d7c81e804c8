"""Every metric against scikit-learn, with weights as scikit-learn's sample weights."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    balanced_accuracy_score,
    cohen_kappa_score,
    confusion_matrix,
    precision_recall_fscore_support,
    roc_auc_score,
)

from mpmri_monai.evaluation.metrics import all_metrics, auc, brier, ece, ranked
from mpmri_monai.sequences import TASKS

TASK = TASKS["hcc_grade"]


def drawn(seed, n=40, decimals=1):
    rng = np.random.default_rng(seed)
    truth = np.r_[0, 1, 2, rng.integers(0, 3, n)]
    logits = np.round(rng.normal(size=(len(truth), 3)) + np.eye(3)[truth], decimals)
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    weights = rng.integers(0, 4, size=(5, len(truth))).astype(float)
    weights[:, :3] = 1
    return truth, probabilities, weights


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32), decimals=st.sampled_from([0, 1, 8]))
def test_agree_with_scikit_learn(seed, decimals):
    truth, probabilities, weights = drawn(seed, decimals=decimals)
    values = all_metrics(truth, probabilities, np.zeros(len(truth), int), weights, TASK)
    predicted = probabilities.argmax(axis=1)
    for index, weight in enumerate(weights):
        macro = precision_recall_fscore_support(
            truth, predicted, average="macro", sample_weight=weight, labels=[0, 1, 2], zero_division=0
        )
        expected = {
            "accuracy": accuracy_score(truth, predicted, sample_weight=weight),
            "balanced_accuracy": balanced_accuracy_score(truth, predicted, sample_weight=weight),
            "macro_precision": macro[0],
            "macro_recall": macro[1],
            "macro_f1": macro[2],
            "quadratic_kappa": cohen_kappa_score(truth, predicted, weights="quadratic", sample_weight=weight),
            "macro_auc": roc_auc_score(truth, probabilities, multi_class="ovr", sample_weight=weight),
            "macro_average_precision": average_precision_score(np.eye(3)[truth], probabilities, sample_weight=weight),
            "brier": np.average(((probabilities - np.eye(3)[truth]) ** 2).sum(axis=1), weights=weight),
        }
        for k, name in enumerate(TASK.classes):
            expected[f"auc_{name}"] = roc_auc_score(truth == k, probabilities[:, k], sample_weight=weight)
            expected[f"average_precision_{name}"] = average_precision_score(
                truth == k, probabilities[:, k], sample_weight=weight
            )
            (true_negative, false_positive), (false_negative, true_positive) = confusion_matrix(
                truth == k, predicted == k, sample_weight=weight
            )
            expected[f"sensitivity_{name}"] = true_positive / (true_positive + false_negative)
            expected[f"specificity_{name}"] = true_negative / (true_negative + false_positive)
        assert values.keys() == {*expected, "ece"}
        for name, value in expected.items():
            assert values[name][index] == pytest.approx(value, abs=1e-12), name


def test_integer_weights_equal_repeated_units():
    truth, probabilities, weights = drawn(0)
    fits = np.zeros(len(truth), int)
    weighted = all_metrics(truth, probabilities, fits, weights, TASK)
    for index, weight in enumerate(weights):
        copies = np.repeat(np.arange(len(truth)), weight.astype(int))
        plain = all_metrics(truth[copies], probabilities[copies], fits[copies], np.ones((1, len(copies))), TASK)
        for name, value in plain.items():
            assert weighted[name][index] == pytest.approx(value[0], abs=1e-12)


def test_absent_class_leaves_macro_metrics_undefined():
    truth, probabilities, _ = drawn(0)
    weights = np.where(truth == 2, 0.0, 1.0)[None]
    values = all_metrics(truth, probabilities, np.zeros(len(truth), int), weights, TASK)
    macro = {"balanced_accuracy", "macro_recall", "macro_precision", "macro_f1", "macro_auc", "macro_average_precision"}
    undefined = macro | {"sensitivity_poorly", "auc_poorly", "average_precision_poorly"}
    assert {name for name, value in values.items() if np.isnan(value[0])} == undefined


def test_class_never_predicted_has_precision_zero():
    truth = np.array([0, 1, 2])
    probabilities = np.array([[0.9, 0.1, 0.0], [0.2, 0.8, 0.0], [0.5, 0.4, 0.1]])
    values = all_metrics(truth, probabilities, np.zeros(3, int), np.ones((1, 3)), TASK)
    assert values["macro_precision"][0] == pytest.approx((1 / 2 + 1 + 0) / 3)


def test_unordered_task_has_no_kappa():
    truth, probabilities, weights = drawn(0)
    binary = TASKS["hcc_vs_bg"]
    two = np.column_stack([1 - probabilities[:, 1], probabilities[:, 1]]).round(8)
    values = all_metrics(truth.clip(max=1), two, np.zeros(len(truth), int), weights, binary)
    assert "quadratic_kappa" not in values
    np.testing.assert_array_equal(values["sensitivity"], values["sensitivity_hcc"])
    np.testing.assert_array_equal(values["specificity"], values["sensitivity_background"])
    np.testing.assert_allclose(values["auc_hcc"], values["auc_background"], atol=1e-12)


def test_auc_compares_only_scores_of_one_model():
    """Two models rank perfectly on scales that do not meet: pooled naively the area would be 0.75."""
    positive = np.array([False, True, False, True])
    scores = np.array([0.1, 0.2, 0.8, 0.9])
    ones = np.ones((1, 4))
    assert auc(positive, scores, np.array([0, 0, 1, 1]), ones)[0] == 1
    assert auc(positive, scores, np.array([0, 0, 0, 0]), ones)[0] == 0.75


def test_auc_pools_the_pairs_of_models():
    """A model with 1 × 3 pairs, all won, and one with 2 × 1 pairs, all lost: 3 of 5."""
    positive = np.array([True, False, False, False, True, True, False])
    scores = np.array([0.9, 0.1, 0.2, 0.3, 0.1, 0.2, 0.9])
    assert auc(positive, scores, np.array([0, 0, 0, 0, 1, 1, 1]), np.ones((1, 7)))[0] == pytest.approx(3 / 5)


def test_all_scores_tied_give_one_half():
    assert auc(np.array([True, False, False]), np.full(3, 0.3), np.zeros(3, int), np.ones((1, 3)))[0] == 0.5


def test_average_precision_pools_the_positives_of_models():
    """Precisions of the positives: 1 and 2/3 with the first model, 1/2 with the second."""
    positive = np.array([True, False, True, False, True])
    scores = np.array([0.9, 0.5, 0.4, 0.8, 0.7])
    found = ranked(positive, scores, np.array([0, 0, 0, 1, 1]), np.ones((1, 5)))[1]
    assert found[0] == pytest.approx((1 + 2 / 3 + 1 / 2) / 3)


def test_positives_alone_have_no_average_precision():
    """It would be 1 whatever the scores."""
    assert np.isnan(ranked(np.full(3, True), np.arange(3.0), np.zeros(3, int), np.ones((1, 3)))).all()


def test_brier_of_two_classes_is_twice_the_squared_error():
    probabilities = np.array([[0.8, 0.2], [0.4, 0.6]])
    assert brier(np.array([0, 0]), probabilities, np.array([[1.0, 3.0]]))[0] == pytest.approx((0.08 + 3 * 0.72) / 4)


def test_ece_by_hand():
    """Three bins with one case each, the edges 0.7 and 0.8 belong to the bins below them."""
    probabilities = np.array([[0.8, 0.2], [0.3, 0.7], [0.95, 0.05]])
    truth = np.array([0, 0, 0])
    found = ece(truth, probabilities, np.array([[1.0, 1, 1], [0, 0, 1]]))
    bins = {(0.6, 0.7): abs(0.7 - 0), (0.7, 0.8): abs(0.8 - 1), (0.9, 1.0): abs(0.95 - 1)}
    np.testing.assert_allclose(found, [sum(bins.values()) / 3, 0.05])
