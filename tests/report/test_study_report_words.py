"""What a radiologist is told in words, and what must not be told."""

import pytest

from mpmri_monai.report import study_report_words as words

CALIBRATED = {"temperature": 0.6, "conformal_sets": {"kind": "conformal_by_class", "coverage": 0.9}}
NOTHING_FITTED = {"temperature": None, "conformal_sets": None}


def lesion(**changes):
    return {
        "id": "L1",
        "probabilities": {"well": 0.2, "moderately": 0.7, "poorly": 0.1},
        "predicted": "moderately",
        "conformal_set": ["moderately"],
        "present": {"T2": True, "OUT": True},
        "extent_mm": 23.6,
        "warnings": [],
    } | changes


def test_only_a_calibrated_number_is_called_a_chance():
    assert words.certainty(lesion(), CALIBRATED).startswith("0.70: about 70 of 100")
    assert "not calibrated" in words.certainty(lesion(), NOTHING_FITTED)
    assert "of 100" not in words.certainty(lesion(), NOTHING_FITTED)


def test_nobody_is_told_that_all_of_100_answers_are_right():
    sure = {"well": 0.001, "moderately": 0.999, "poorly": 0.0}
    text = words.certainty(lesion(probabilities=sure), CALIBRATED)
    assert text == "more than 0.99: more than 99 of 100 such answers are expected to be right."


def test_outside_the_range_of_training_no_number_is_called_a_chance():
    text = words.certainty(lesion(range_warnings=["too large: …"]), CALIBRATED)
    assert text.startswith("0.70") and "of 100" not in text


@pytest.mark.parametrize(
    ("classes", "told"),
    [
        ([], "No class fits at 90\u00a0%"),
        (["poorly"], "At 90\u00a0%, only poorly remains."),
        (["well", "moderately"], "At 90\u00a0%, well or moderately: which of these is open."),
        (["well", "moderately", "poorly"], "nothing is excluded: well, moderately or poorly."),
    ],
)
def test_sets_of_every_size_in_words(classes, told):
    assert told in words.not_excluded(lesion(conformal_set=classes), CALIBRATED)


def test_outside_the_range_of_training_a_set_is_not_promised():
    text = words.not_excluded(lesion(range_warnings=["too large: …"]), CALIBRATED)
    assert text.endswith("This holds only inside the range of training: see “Heed”.")


def test_where_no_class_is_named_the_set_names_none_either():
    assert words.not_excluded(lesion(predicted=None), CALIBRATED) == ""
    both = lesion(predicted=None, conformal_set=["well", "moderately"])
    assert "well or moderately" in words.not_excluded(both, CALIBRATED)
    assert words.not_excluded(both | {"range_warnings": ["too small: …"]}, CALIBRATED) == ""


def test_without_sets_nothing_is_said_of_them():
    assert words.not_excluded(lesion(), NOTHING_FITTED) == "" and words.promises(NOTHING_FITTED) == []
    assert len(words.promises(CALIBRATED)) == 2


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, ""),
        ({"agreement": 0.5, "variants": 90}, "The same class in 45 of 90"),
        ({"agreement": 0.4, "variants": 90}, "Unsteady: the same class in 36 of 90"),
        ({"agreement": 0.876}, "in 88\u00a0% of"),
        ({"agreement": 1.0, "variants": 1}, "not known how steady"),
    ],
)
def test_steadiness(given, told):
    text = words.steadiness(lesion(**given))
    assert told in text and bool(text) == bool(told)


def test_what_is_missing():
    assert words.missing(lesion()) == "Nothing: T2 and OUT were seen."
    text = words.missing(lesion(present={"T2": True, "OUT": False, "S4": False}))
    assert text == "OUT and S4 are missing. Only T2 was seen."
    assert words.missing(lesion(slices_without={"OUT": 1})) == "OUT on some slices; T2 and OUT were seen on the others."


def test_warnings_are_told_once_in_words_and_without_folders():
    found = words.cautions(
        lesion(
            range_warnings=["too small"],
            warnings=["too small", "partial:T2", "cut", "mask /home/somebody/secret/mask.nii.gz"],
        )
    )
    assert found == ["too small", "T2 covers only a part of what the network looks at", "cut", "mask …/mask.nii.gz"]


def test_what_software_found_is_to_be_checked():
    assert words.how_found(lesion()) == ""
    assert "score 0.71" in words.how_found(lesion(score=0.712)) and "check" in words.how_found(lesion(score=0.7))


def test_the_record_has_its_interval():
    reference = {
        "results": {"lesion": {"accuracy": {"value": 0.87, "low": 0.79, "high": 0.92}}},
        "trained_on": {"patients": 272},
    }
    text = words.record(reference)
    assert "(272 patients trained it)" in text and "87\u00a0%" in text and "79 to 92\u00a0%" in text
    assert words.record({}) == ""


def test_a_gap_that_training_never_met_is_named():
    answer = lesion(importance={"T2": -0.1, "OUT": 0.02})
    text = words.importance_caption(answer, {"present": {"T2": 1.0, "OUT": 0.8}})
    assert "Training never left T2 out" in text
    assert "Training" not in words.importance_caption(answer, {"present": {"T2": 0.9, "OUT": 0.8}})
    dropped = {"present": {"T2": 1.0, "OUT": 1.0}, "sequence_dropout": 0.3}
    assert "Training" not in words.importance_caption(answer, dropped)


@pytest.mark.parametrize("source", ["box", "found"])
def test_what_nobody_outlined_is_promised_nothing(source):
    text = words.certainty(lesion(), CALIBRATED, source)
    assert text.startswith("0.70, if it is such a lesion") and "of 100" not in text
    assert "outlined" in words.not_excluded(lesion(), CALIBRATED, source)
    assert "check" in words.how_found(lesion(score=0.7), source)


def test_what_a_page_says_of_an_answer_is_said_without_a_page_too():
    result = {"calibration": CALIBRATED, "study": {"lesions_from": "found"}}
    told = " ".join(words.remarks(lesion(score=0.7, warnings=["oblique:T2"]), result))
    assert "Certainty: 0.70, if it is such a lesion at all" in told
    assert "Where it comes from: Found by software (score 0.70)" in told
    assert "Heed: T2 was acquired at an angle" in told
    unnamed = words.remarks(lesion(predicted=None, abstained_because="too small", range_warnings=["too small"]), result)
    assert unnamed == ["No class because: too small.", "What is missing: Nothing: T2 and OUT were seen."]
