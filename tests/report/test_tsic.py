import numpy as np
import pytest

from mpmri_monai.report.tables import sample_classes
from mpmri_monai.report.tsic import LIVER, OWN, curve_rows, tsic, tsic_curves
from mpmri_monai.sequences import GRADES, TASKS


def curves(table):
    return tsic_curves(table, sample_classes(table, TASKS["hcc_grade"]), GRADES)


def test_gain_of_the_patient_cancels_and_the_curve_is_the_known_one(store):
    found = curves(store.table)
    assert found.scale == LIVER and found.left_out == 0
    means = found.points.pivot(index="group", columns="phase", values="mean")
    for grade, name in enumerate(GRADES):  # the store's rule: 1 + 0.1 grade + 0.05 phase
        np.testing.assert_allclose(means.loc[name], 1 + 0.1 * grade + 0.05 * np.arange(6))
    np.testing.assert_allclose(means.loc["liver"], 1 + 0.05 * np.arange(6))


def test_the_unit_is_the_lesion_not_the_slice(store):
    table = store.table.copy()
    lesions = table[(table["label_grade"] == "well") & (table["sample"].str.endswith("-00"))]
    noise = np.random.default_rng(0).normal(1, 0.1, len(lesions))
    for (_, row), factor in zip(lesions.iterrows(), noise, strict=True):
        table.loc[table["lesion"] == row["lesion"], "signal_S3"] *= factor
    found = curves(table).points.set_index(["group", "phase"]).loc[("well", "S3")]
    expected = 1.15 * noise
    assert found["n"] == len(lesions)
    assert found["mean"] == pytest.approx(expected.mean())
    assert found["se"] == pytest.approx(expected.std(ddof=1) / np.sqrt(len(expected)))


def test_a_study_without_background_is_left_out_and_counted(store):
    table = store.table[~((store.table["study"] == "P000-1") & (store.table["kind"] == "background"))]
    found = curves(table)
    assert found.left_out == 1
    assert found.points.set_index(["group", "phase"]).loc[("well", "S0"), "n"] == 7


def test_without_any_background_lesions_are_divided_by_their_own_plain_phase(store):
    found = curves(store.table[store.table["kind"] == "lesion"])
    assert found.scale == OWN
    assert "liver" not in set(found.points["group"])
    assert found.points.query("phase == 'S0'")["mean"].tolist() == pytest.approx([1, 1, 1])


def test_a_cohort_without_contrast_phases_has_no_curves(store):
    bare = store.table.drop(columns=[f"signal_S{k}" for k in range(6)])
    assert curves(bare) is None
    assert "no contrast phase" in tsic(None, GRADES).texts[0].get_text()


def test_an_absent_phase_leaves_a_gap_in_the_numbers(store):
    table = store.table.copy()
    table.loc[table["label_grade"] == "poorly", "signal_S5"] = np.nan
    rows = {row[0]: row for row in curve_rows(curves(table))}
    assert rows["poorly"][-1] == "–" and rows["well"][-1] == "1.25 ± 0.00"


def test_the_figure_draws_every_class_and_the_liver(store):
    axes = tsic(curves(store.table), GRADES).axes[0]
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels == ["well (8 lesions)", "moderately (8 lesions)", "poorly (8 lesions)", "liver (24 studies)"]
