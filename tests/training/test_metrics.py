import math

import pytest
import torch
from sklearn.metrics import roc_auc_score

from mpmri_monai.training import larger_unless_nan
from mpmri_monai.training.metrics import _macro_auc


def test_macro_auc_equals_scikit_learn():
    generator = torch.Generator().manual_seed(0)
    logits, labels = torch.randn(60, 3, generator=generator), torch.randint(0, 3, (60,), generator=generator)
    expected = roc_auc_score(labels, torch.softmax(logits.double(), 1), multi_class="ovr", average="macro")
    assert _macro_auc(logits, labels) == pytest.approx(expected, abs=1e-12)


def test_an_absent_class_is_not_a_partial_mean():
    assert math.isnan(_macro_auc(torch.randn(10, 3), torch.arange(10) % 2))


def test_a_network_that_diverged_has_no_auc():
    assert math.isnan(_macro_auc(torch.full((9, 3), math.nan), torch.arange(9) % 3))


@pytest.mark.parametrize(
    ("current", "best", "expected"),
    [(0.6, 0.5, True), (0.5, 0.5, False), (math.nan, 0.1, False), (0.1, math.nan, True), (math.nan, math.nan, False)],
)
def test_nan_beats_nothing(current, best, expected):
    assert larger_unless_nan(current, best) is expected
