"""Nearest neighbours whose votes may weigh differently, which scikit-learn's own cannot."""

from __future__ import annotations

from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.neighbors import NearestNeighbors


class WeightedNeighbours(ClassifierMixin, BaseEstimator):
    """Classifier by the nearest training rows (Euclidean), each of which votes for its class with its weight.

    Args:
        neighbours: rows that vote; all where there are fewer.
    """

    def __init__(self, neighbours: int = 5) -> None:
        self.neighbours = neighbours

    def fit(self, features: ArrayLike, labels: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Keep the rows; features (row, feature), labels and weights (row,), every weight 1 where none is given."""
        labels = np.asarray(labels)
        weights = np.ones(len(labels)) if sample_weight is None else np.asarray(sample_weight, dtype=float)
        self.classes_ = np.unique(labels)
        self.votes_ = (labels[:, None] == self.classes_) * weights[:, None]
        self.search_ = NearestNeighbors(n_neighbors=min(self.neighbours, len(labels))).fit(features)
        return self

    def predict_proba(self, features: ArrayLike) -> NDArray[np.float64]:
        """Return each class's share of the votes, (row, class)."""
        votes = self.votes_[self.search_.kneighbors(features, return_distance=False)].sum(axis=1)
        return votes / votes.sum(axis=1, keepdims=True)

    def predict(self, features: ArrayLike) -> NDArray:
        """Return the class with most votes, the first of several."""
        return self.classes_[self.predict_proba(features).argmax(axis=1)]
