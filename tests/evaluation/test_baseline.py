import warnings

import numpy as np
import pandas as pd
import pytest

from mpmri_monai.cohort import holdout, patient_table, roles_of
from mpmri_monai.errors import EvaluationError
from mpmri_monai.evaluation import evaluate, roi_baseline
from mpmri_monai.sequences import GRADES, TASKS

GRADE = TASKS["hcc_grade"]
SEQUENCES = ("T2", "OUT", "S4")


def store_rows(patients=60, slices=2, effect=0.15, seed=0):
    """Rows as the samples store has them: the grade shows in the mean of T2 and in the size."""
    rng = np.random.default_rng(seed)
    records = []
    for number in range(patients):
        grade = number % 3
        extent = float(np.exp(rng.normal(3 + 0.3 * grade, 0.3)))
        for index in range(slices):
            levels = {f"level_{name}": rng.normal(0.5, 0.1) for name in SEQUENCES}
            levels["level_T2"] += effect * grade
            names = {"patient": f"P{number:03d}", "study": f"P{number:03d}-1", "lesion": f"P{number:03d}-L1"}
            place = {"sample": f"P{number:03d}-L1-{index:02d}", "site": "A", "kind": "lesion"}
            records.append({**names, **place, "extent_mm": extent, "label_grade": GRADES[grade], **levels})
    return pd.DataFrame(records)


def roles_for(table, seed=0):
    lesions = table[table["label_grade"] != ""].rename(columns={"label_grade": "label"})
    return roles_of(holdout(patient_table(lesions, GRADES), seed=seed))


@pytest.fixture
def table():
    return store_rows()


def fit(table, roles=None, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # not converged is an error here
        return roi_baseline(table, roles or roles_for(table), GRADE, SEQUENCES, seed=0, **options)


def test_predicts_every_lesion_once_in_its_role(table):
    roles = roles_for(table)
    predictions = fit(table, roles, repeat=2, outer=1)
    assert sorted(predictions["lesion"]) == sorted(table["lesion"].unique())
    assert (predictions["role"] == predictions["patient"].map(roles)).all()
    assert set(predictions["sample"]) == {""}
    assert set(predictions["repeat"]) == {2}
    assert set(predictions["outer"]) == {1}
    np.testing.assert_allclose(predictions[[f"p_{name}" for name in GRADES]].sum(axis=1), 1)


def test_finds_signal_that_is_there(table):
    result = evaluate(fit(table), GRADE, bootstraps=20)
    assert result["levels"]["lesion"]["metrics"]["macro_auc"]["value"] > 0.8


def test_finds_none_where_there_is_none():
    areas = []
    for seed in range(8):
        table = store_rows(effect=0, seed=seed)
        rng = np.random.default_rng(seed)
        sizes = dict(zip(table["lesion"].unique(), rng.uniform(10, 40, table["lesion"].nunique()), strict=True))
        result = evaluate(fit(table.assign(extent_mm=table["lesion"].map(sizes))), GRADE, bootstraps=1)
        areas.append(result["levels"]["lesion"]["metrics"]["macro_auc"]["value"])
    assert np.mean(areas) == pytest.approx(0.5, abs=0.08)


def test_is_repeatable_in_any_order(table):
    shuffled = table.sample(frac=1, random_state=1)
    pd.testing.assert_frame_equal(fit(table), fit(shuffled, roles_for(table)), rtol=1e-6)
    pd.testing.assert_frame_equal(fit(table), fit(table), rtol=0)


def test_tested_patients_change_nothing_in_the_model(table):
    """Their labels, signals and sizes may be anything: predictions of the others stay as they were."""
    roles = roles_for(table)
    before = fit(table, roles)
    tested = table["patient"].map(roles) == "test"
    changed = table.copy()
    changed.loc[tested, ["level_T2", "level_OUT"]] = np.nan
    changed.loc[tested, "extent_mm"] = 900.0
    changed.loc[tested, "label_grade"] = "well"
    after = fit(changed, roles)
    others = before["role"] != "test"
    pd.testing.assert_frame_equal(before[others], after[others])


def test_absent_sequence_is_filled_and_flagged(table):
    site_b = table["patient"].str[1:].astype(int) % 4 == 0
    table.loc[site_b, "level_OUT"] = np.nan
    predictions = fit(table)
    assert predictions[[f"p_{name}" for name in GRADES]].notna().all(axis=None)
    expected = table[~site_b]["patient"].unique()
    assert set(predictions.loc[predictions["present_OUT"], "patient"]) == set(expected)


def test_sequence_that_nobody_has(table):
    predictions = fit(table.assign(level_OUT=np.nan))
    assert predictions["p_well"].notna().all()


def test_perfectly_separable_classes_converge(table):
    grade = table["label_grade"].map(GRADES.index)
    predictions = fit(table.assign(level_T2=grade / 2))
    assert evaluate(predictions, GRADE, bootstraps=1)["levels"]["lesion"]["metrics"]["accuracy"]["value"] == 1


def test_unlabelled_and_background_rows_and_strangers_are_left_out(table):
    roles = roles_for(table)
    extra = table.head(2).assign(lesion="BG-1", label_grade="", kind="background")
    stranger = table.head(2).assign(patient="X", study="X")
    pd.testing.assert_frame_equal(fit(table, roles), fit(pd.concat([table, extra, stranger]), roles))


def test_few_patients_use_the_default_penalty():
    table = store_rows(patients=9)
    assert len(fit(table)) == 9


def test_class_without_fitted_lesions_is_refused(table):
    roles = dict.fromkeys(table["patient"], "train")
    roles |= dict.fromkeys(table.loc[table["label_grade"] == "poorly", "patient"], "test")
    with pytest.raises(EvaluationError, match="poorly 0"):
        fit(table, roles)


def test_missing_column_is_refused(table):
    with pytest.raises(EvaluationError, match="level_S4"):
        fit(table.drop(columns="level_S4"))


def test_label_of_the_rows_counts_before_the_store_s(table):
    """Rows that carry the task's label in ``label`` give what ``label_<key>`` would."""
    roles = roles_for(table)
    renamed = table.assign(label=table["label_grade"], label_grade="")
    pd.testing.assert_frame_equal(fit(table, roles), fit(renamed, roles))
