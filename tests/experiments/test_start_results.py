"""What is said of a difference: only what its interval and its corrected p-value both show."""

import pytest

from mpmri_monai.experiments.start_results import against, names_of, verdict
from mpmri_monai.sequences import TASKS


@pytest.mark.parametrize(
    ("low", "high", "p", "said"),
    [
        (0.1, 0.3, 0.01, "better"),
        (-0.3, -0.1, 0.01, "worse"),
        (0.01, 0.3, 0.2, "not shown to differ"),
        (-0.1, 0.3, 0.01, "not shown to differ"),
        (None, None, 0.01, "not shown to differ"),
        (0.1, 0.3, None, "not shown to differ"),
    ],
)
def test_a_difference_is_shown_by_interval_and_p(low, high, p, said):
    assert verdict({"low": low, "high": high, "p_holm": p}) == said


def test_a_difference_that_is_not_defined_shows_nothing():
    assert against(dict.fromkeys(("difference", "low", "high", "p_holm"))) == "not defined"


def test_more_than_two_classes_have_means_over_them():
    assert names_of(TASKS["hcc_vs_bg"])["macro_auc"] == "AUC"
    assert names_of(TASKS["hcc_grade"])["sensitivity_10 %"] == "macro sensitivity at 10 % FPR"
