"""The table of simulated coverage, and how it is quoted."""

import math

import pandas as pd
import pytest

from mpmri_monai.evaluation import coverage
from mpmri_monai.evaluation.coverage import TABLE
from mpmri_monai.evaluation.intervals import NO_INTERVAL

SIMULATED = pd.read_csv(TABLE)


def test_table_is_of_a_thousand_data_sets_each():
    assert (SIMULATED["data_sets"] >= 1000).all()
    assert set(SIMULATED["patients"]) == {6, 10, 15, 20, 30, 50}
    assert SIMULATED["scenario"].nunique() == 5
    assert not SIMULATED.duplicated(["scenario", "metric", "patients"]).any()


def test_intervals_cover_from_twenty_patients_a_class():
    """Within 93 to 97 %, give or take the noise of the simulation; shares of few lesions may be on the safe side."""
    many = SIMULATED[(SIMULATED["patients"] >= 20) & ~SIMULATED["metric"].isin(NO_INTERVAL)]
    noise = 3 * math.sqrt(0.95 * 0.05 / many["data_sets"].min())
    assert many["covered"].between(0.93 - noise, 0.97 + noise).all()
    assert many["covered"].between(0.93, 0.97).mean() > 0.9
    assert many["covered"].mean() == pytest.approx(0.95, abs=0.01)


def test_quotes_the_lowest_of_the_scenarios_for_no_more_patients_than_there_are():
    rows = SIMULATED[(SIMULATED["metric"] == "accuracy") & (SIMULATED["patients"] == 10)]
    assert len(rows) == 5
    assert coverage("accuracy", 10) == coverage("accuracy", 14) == rows["covered"].min()
    assert coverage("accuracy", 5000) == coverage("accuracy", 50)


def test_a_class_that_was_not_simulated_stands_for_its_kind():
    kind = SIMULATED["metric"].str.startswith("auc_") & (SIMULATED["patients"] == 15)
    assert coverage("auc_unhealthy", 15) == SIMULATED.loc[kind, "covered"].min()
    assert coverage("auc_poorly", 15) >= coverage("auc_unhealthy", 15)


@pytest.mark.parametrize(("metric", "patients"), [("accuracy", 5), ("ece", 30), ("dice", 30)])
def test_nothing_is_quoted_that_was_not_simulated(metric, patients):
    assert coverage(metric, patients) is None
