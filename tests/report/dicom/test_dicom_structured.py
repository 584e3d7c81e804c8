"""What the structured report says, as highdicom reads it back."""

import pydicom
import pytest
from highdicom import sr
from pydicom.sr.codedict import codes

from mpmri_monai.report.dicom_answer import write_dicom_answer
from mpmri_monai.report.dicom_codes import class_code
from mpmri_monai.report.dicom_structured import NO_LESION, OUTCOME, POSSIBLE, PREDICTED


def read(folder, answered, **more):
    paths = write_dicom_answer(folder, answered.result, answered.regions, answered.files, **more)
    return sr.srread(paths[1] if answered.regions else paths[0]), pydicom.dcmread(paths[0])


def numbers(group):
    return {item.name.meaning: float(item.value) for item in group.get_measurements()}


def texts(group):
    """Comments of a container, in order."""
    return [
        item.TextValue
        for item in group.ContentSequence
        if item.ValueType == "TEXT" and item.ConceptNameCodeSequence[0].CodeMeaning == "Comment"
    ]


def test_one_group_a_lesion_with_what_the_answer_says(answered, tmp_path):
    report, seg = read(tmp_path, answered)
    first, second = report.content.get_volumetric_roi_measurement_groups()
    assert (first.tracking_identifier, second.tracking_identifier) == ("L1", "L2")
    assert [group.tracking_uid for group in (first, second)] == [item.TrackingUID for item in seg.SegmentSequence]
    found = numbers(first)
    for name, probability in answered.result["lesions"][0]["probabilities"].items():
        assert found[f"Probability of {name} (research use only)"] == probability
    assert found["Diameter"] == 20.1
    assert found["Volume"] == pytest.approx(answered.regions["L1"].mask.volume_ml * 1000)
    assert numbers(second)["Share of test-time variants with the same class"] == 0.5
    for group, number in ((first, 1), (second, 2)):
        (image,) = (item for item in group[0].ContentSequence if item.ValueType == "IMAGE")
        assert image.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == seg.SOPInstanceUID
        assert image.ReferencedSOPSequence[0].ReferencedSegmentNumber == number


def test_the_class_or_that_there_is_none(answered, tmp_path):
    report, _ = read(tmp_path, answered)
    first, second = report.content.get_volumetric_roi_measurement_groups()
    (graded,) = first.get_qualitative_evaluations(PREDICTED)
    assert graded.value == codes.SCT.Grade3PoorlyDifferentiated
    (none,) = second.get_qualitative_evaluations(PREDICTED)
    possible = second.get_qualitative_evaluations(POSSIBLE)
    assert (none.value.scheme_designator, none.value.value) == ("99MPMRI", "ABSTAINED")
    assert [item.value for item in possible] == [
        codes.SCT.Grade2ModeratelyDifferentiated,
        codes.SCT.Grade3PoorlyDifferentiated,
    ]
    assert texts(second[0]) == [
        "No class because: the answer is uncertain.",
        "What cannot be excluded: At 90\u00a0%, moderately or poorly: which of these is open.",
        "What is missing: OUT is missing. Only T2 was seen.",
    ]
    assert texts(first[0])[0].startswith("Certainty: 0.65, not calibrated")
    assert texts(first[0])[-1] == f"Heed: {answered.result['lesions'][0]['warnings'][0]}"


def test_a_set_names_no_class_where_the_answer_names_none(answered, tmp_path):
    """One class that remains is a class, and outside the range of training no set is kept."""
    _, lesion = answered.result["lesions"]
    for changes in ({"conformal_set": ["poorly"]}, {"conformal_set": ["well", "poorly"], "range_warnings": ["small"]}):
        lesion |= changes
        report, _ = read(tmp_path, answered)
        _, group = report.content.get_volumetric_roi_measurement_groups()
        assert group.get_qualitative_evaluations(POSSIBLE) == []


def test_what_is_to_be_said_before_any_answer_is_said(answered, tmp_path):
    """The PACS does not hold the page that says it too."""
    answered.result["study"]["notes"] = ["there is no liver mask: the whole body was searched."]
    report, _ = read(tmp_path, answered, reference={"trained_on": {"synthetic": True}})
    said = texts(report)
    assert any(text.startswith("Trained on synthetic data.") for text in said)
    assert "There is no liver mask: the whole body was searched." in said


def test_nobody_has_verified_it_and_it_says_so(answered, tmp_path):
    report, _ = read(tmp_path, answered)
    assert (report.VerificationFlag, report.PreliminaryFlag) == ("UNVERIFIED", "PRELIMINARY")
    assert any("Research use only" in text and "not verified" in text for text in texts(report))
    (group, _) = report.content.get_volumetric_roi_measurement_groups()
    named = {item.ConceptNameCodeSequence[0].CodeMeaning: item for item in group[0].ContentSequence}
    assert named["Algorithm Name"].TextValue == "hcc_grade"
    assert named["Algorithm Version"].TextValue == "0.2.0"
    assert answered.result["bundle"]["weights_sha256"] in named["Algorithm Parameters"].TextValue


def test_evidence_is_what_was_looked_at_and_the_regions(answered, tmp_path):
    report, seg = read(tmp_path, answered)
    listed = {
        item.ReferencedSOPInstanceUID
        for sequence in ("CurrentRequestedProcedureEvidenceSequence", "PertinentOtherEvidenceSequence")
        for study in report.get(sequence, ())
        for series in study.ReferencedSeriesSequence
        for item in series.ReferencedSOPSequence
    }
    images = {pydicom.dcmread(path).SOPInstanceUID for path in answered.files}
    assert listed == images | {seg.SOPInstanceUID}


def test_a_lesion_without_a_region_is_reported_too(make, answered, tmp_path):
    answered.regions.clear()
    report, _ = read(tmp_path, answered)
    groups = report.content.get_image_measurement_groups()
    assert [group.tracking_identifier for group in groups] == ["L1", "L2"]
    assert numbers(groups[0])["Probability of poorly (research use only)"] == 0.65
    assert "Volume" not in numbers(groups[0])


def test_a_study_without_lesions_says_so(make, answered, tmp_path):
    answered.result, answered.regions = make.result(), {}
    report, _ = read(tmp_path, answered)
    (group,) = report.content.get_image_measurement_groups()
    (outcome,) = group.get_qualitative_evaluations(OUTCOME)
    assert outcome.value == NO_LESION


def test_grades_are_coded_as_grades_only_where_they_are_the_classes():
    grades = ("well", "moderately", "poorly")
    assert class_code("well", grades) == codes.SCT.Grade1WellDifferentiated
    own = class_code("well", ("well", "unwell"))
    assert (own.scheme_designator, own.meaning) == ("99MPMRI", "well")
    assert class_code("hcc", ("background", "hcc")).scheme_designator == "SCT"
    assert class_code("background", ("background", "hcc")).scheme_designator == "99MPMRI"
    assert class_code("a", ("a", "A")).value != class_code("A", ("a", "A")).value


def test_class_names_of_any_length_and_numbers_of_many_digits(make, answered, tmp_path):
    name = "a class whose name is longer than any code value or meaning in DICOM may be"
    probabilities = {name: 1 / 3, "other": 1e-7}
    lesion = make.lesion("L1", probabilities=probabilities, predicted=name, extent_mm=100 / 3)
    answered.result, answered.regions = make.result(lesion), {"L1": answered.regions["L1"]}
    report, _ = read(tmp_path, answered)
    (group,) = report.content.get_volumetric_roi_measurement_groups()
    first, second, *_ = (float(item.value) for item in group.get_measurements())
    assert (first, second) == (pytest.approx(1 / 3, abs=1e-6), pytest.approx(0, abs=1e-6))
