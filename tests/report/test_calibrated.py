"""Calibration and abstention as a report shows them, from what `evaluation.calibrate` really returns."""

import numpy as np
import pandas as pd
import pytest

from mpmri_monai.evaluation import calibrate
from mpmri_monai.report.calibrated import calibrated, share
from mpmri_monai.report.wording import in_percent
from mpmri_monai.sequences import GRADES, TASKS

TASK = TASKS["hcc_grade"]


def predictions(validation, tested, seed=4):
    """Return predictions of one slice a lesion, one lesion a patient, surer than they should be."""
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(validation + tested):
        truth = number % 3
        scores = 2.5 * (rng.normal(0, 1.0, 3) + 1.2 * np.eye(3)[truth])
        shares = np.exp(scores) / np.exp(scores).sum()
        row = {"task": TASK.name, "patient": f"P{number:03d}", "study": f"P{number:03d}-1", "lesion": "L1"}
        row |= {"sample": "L1-00", "site": "A", "repeat": 0, "outer": 0, "inner": ""}
        row |= {"role": "val" if number < validation else "test", "label": GRADES[truth]}
        rows.append(row | {f"p_{name}": value for name, value in zip(GRADES, shares, strict=True)})
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def content():
    return calibrate(predictions(120, 90), TASK, bootstraps=50)


def plain(text):
    return text.replace("\u00a0", " ")


def test_sentences_say_the_numbers(content):
    shown = calibrated(content)
    text = plain(" ".join(shown.sentences))
    assert "scored on 90 test lesions of 90 patients" in text
    assert f"Temperature: {content['temperature']['values'][0]:.2f}" in text
    assert plain(share(content["conformal"]["marginal"]["coverage"])) in text
    rest = next(row["right"] for row in content["abstention"]["table"] if row["asked"] == 0.2)
    assert f"Leave the 20 % least certain to you: the rest is right in {plain(in_percent(rest))} of cases" in text


def test_tables_have_whole_rows_of_every_part(content):
    shown = calibrated(content)
    for table in shown.tables:
        assert {len(row) for row in table["rows"]} == {len(table["header"])}, table["caption"]
    measures, sets, referral = shown.tables
    assert measures["header"] == ["lower is better", "before", "after", "change"] and len(measures["rows"]) == 3
    assert [row[0] for row in sets["rows"]] == ["all", *GRADES]
    assert [row[0] for row in referral["rows"]] == ["0 %", "10 %", "20 %", "30 %", "50 %"]


def test_figures_are_told_in_words_and_have_their_own_names(content):
    keys = [picture.key for picture in calibrated(content).pictures]
    assert keys == ["calibration_before", "calibration_after", "calibration_risk_coverage"]
    assert all("right" in picture.alt or "errors" in picture.alt.lower() for picture in calibrated(content).pictures)


def test_too_few_patients_say_what_is_needed():
    content = calibrate(predictions(6, 30), TASK, bootstraps=20)
    shown = calibrated(content)
    text = " ".join(shown.sentences) + " ".join(table["caption"] for table in shown.tables)
    assert "no temperature was fitted (too few calibration patients, well 2, moderately 2, poorly 2; needed:" in text
    assert "Not available with a threshold for each class" in text
    assert shown.tables[0]["header"] == ["lower is better", "before"]
    assert [picture.key for picture in shown.pictures] == ["calibration_before", "calibration_risk_coverage"]


def test_nothing_computed_shows_nothing():
    assert calibrated(None) is None and calibrated({}) is None


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [(0.734, 0.9, "82 % (73 to 90 %)"), (None, None, "82 % (interval not defined)")],
)
def test_a_share_is_told_in_percent(low, high, text):
    assert plain(share({"value": 0.82, "low": low, "high": high})) == text
    assert share({"value": None, "low": None, "high": None}) == "not defined"
