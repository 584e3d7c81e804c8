"""Naive Bayes on many features: the classes of scikit-learn's, in probabilities that still rank."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from sklearn.naive_bayes import GaussianNB

from mpmri_monai.training.naive_bayes import MeanNaiveBayes

DECIMALS = 8
"""Of a probability in predictions.csv."""


@pytest.fixture
def rows():
    """Two classes on one feature, which 2000 voxels repeat with little noise; features and labels of 60 rows."""
    generator = np.random.default_rng(0)
    labels = np.arange(60) % 2
    told = generator.normal(labels, 1.0)
    return told[:, None] + generator.normal(0, 0.3, (60, 2000)), labels


def test_probabilities_rank_as_the_log_odds_do_and_name_the_same_classes(rows):
    features, labels = rows
    ours, plain = (kind().fit(features[:30], labels[:30]) for kind in (MeanNaiveBayes, GaussianNB))
    new, truth = features[30:], labels[30:]
    probabilities = ours.predict_proba(new)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    np.testing.assert_array_equal(ours.predict(new), plain.predict(new))
    np.testing.assert_array_equal(ours.classes_[probabilities.argmax(axis=1)], plain.predict(new))
    log_odds = plain.predict_joint_log_proba(new) @ [-1, 1]
    written = np.round(probabilities[:, 1], DECIMALS)
    assert roc_auc_score(truth, written) == roc_auc_score(truth, log_odds)
    assert len(np.unique(written)) == 30
    assert len(np.unique(np.round(plain.predict_proba(new)[:, 1], DECIMALS))) < 30


def test_of_one_feature_they_are_scikit_learns(rows):
    features, labels = rows
    one = features[:, :1]
    np.testing.assert_allclose(
        MeanNaiveBayes().fit(one, labels).predict_proba(one), GaussianNB().fit(one, labels).predict_proba(one)
    )
