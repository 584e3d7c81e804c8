import numpy as np
import pytest

from mpmri_monai.evaluation import metrics
from mpmri_monai.evaluation.reliability import reliability
from mpmri_monai.evaluation.scored import scored
from mpmri_monai.sequences import TASKS


def test_bins_add_up_to_the_calibration_error(drawn):
    lesions = scored(drawn(np.random.default_rng(0), patients=90), TASKS["hcc_grade"], "lesion")
    bins = reliability(lesions)["bins"]
    n = np.array([part["n"] for part in bins])
    gaps = np.array([abs(part["confidence"] - part["accuracy"]) for part in bins])
    (ece,) = metrics.ece(lesions.truth, lesions.probabilities, np.ones((1, len(lesions.truth))))
    assert n.sum() == len(lesions.truth)
    assert (n * gaps).sum() / n.sum() == pytest.approx(ece)
    assert all(part["low"] is None or part["low"] <= part["accuracy"] <= part["high"] for part in bins)


def test_full_confidence_is_in_the_last_bin(drawn):
    table = drawn(np.random.default_rng(1), patients=12, slices=1)
    table[["p_well", "p_moderately", "p_poorly"]] = [1.0, 0.0, 0.0]
    (only,) = reliability(scored(table, TASKS["hcc_grade"], "lesion"))["bins"]
    assert only["confidence"] == 1
    assert only["accuracy"] == pytest.approx((table["label"] == "well").mean())
