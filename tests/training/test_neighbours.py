"""Votes of the nearest rows."""

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from mpmri_monai.training.neighbours import WeightedNeighbours


@pytest.fixture
def rows():
    rng = np.random.default_rng(0)
    return rng.normal(size=(60, 20)), rng.integers(0, 3, 60), rng.normal(size=(15, 20))


def test_of_equal_weight_they_are_scikit_learns(rows):
    seen, labels, new = rows
    wanted = KNeighborsClassifier(7).fit(seen, labels).predict_proba(new)
    model = WeightedNeighbours(7).fit(seen, labels)
    np.testing.assert_allclose(model.predict_proba(new), wanted, atol=1e-12)
    assert (model.predict(new) == wanted.argmax(axis=1)).all()


def test_a_weight_of_two_is_another_row_at_the_same_place():
    seen, labels = np.array([[0.0], [1.0], [2.0]]), np.array([4, 9, 9])
    model = WeightedNeighbours(3).fit(seen, labels, sample_weight=[2, 1, 1])
    assert model.predict_proba([[5.0]]).tolist() == [[0.5, 0.5]]
    assert model.predict([[5.0]]).tolist() == [4]


def test_all_rows_vote_where_there_are_fewer_than_neighbours():
    model = WeightedNeighbours(50).fit([[0.0], [1.0], [2.0], [3.0]], ["a", "b", "b", "b"])
    assert model.predict_proba([[0.0]]).tolist() == [[0.25, 0.75]]
