"""The answer as a structured report: TID 1500 in a Comprehensive 3D SR, preliminary and unverified."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import highdicom as hd
from highdicom import sr
from pydicom import Dataset
from pydicom.sr.codedict import codes

from mpmri_monai.report import study_report_words as words
from mpmri_monai.report.dicom_codes import (
    ABNORMAL_STRUCTURE,
    MAGNETIC_RESONANCE_IMAGING,
    MANUFACTURER,
    NOT_FOR_DIAGNOSIS,
    class_code,
    private_code,
    series_description,
    stable_uid,
)
from mpmri_monai.report.dicom_source import RegionOnSeries

SERIES_NUMBER = 9102
PREDICTED = private_code("PREDICTED_CLASS", "Predicted class (research use only)")
POSSIBLE = private_code("POSSIBLE_CLASS", "Class in the conformal set (research use only)")
OUTCOME = private_code("OUTCOME", "Outcome (research use only)")
NO_LESION = private_code("NO_LESION", "No lesion was given or found")
NO_CLASS = private_code("ABSTAINED", "No class: the classifier abstains")
AGREEMENT = private_code("AGREEMENT", "Share of test-time variants with the same class")
SCORE = private_code("CANDIDATE_SCORE", "Score of the detector for this candidate")
DECIMALS = 6
"""Of numbers in the report: a decimal string holds 16 characters."""


def structured_report(
    result: Mapping[str, Any],
    regions: Mapping[str, RegionOnSeries],
    segments: Mapping[str, tuple[Dataset, int]],
    images: Sequence[Dataset],
    first: Sequence[str],
) -> sr.Comprehensive3DSR:
    """Return the answer as one measurement group per lesion.

    Args:
        result: content of ``result.json``.
        regions: by the lesion's id; a lesion or study without one has a group without a region.
        segments: by the lesion's id, the SEG that holds its region and the number of its segment.
        images: that the answer refers to; they and the SEGs are its evidence.
        first: what is to be said before any answer.
    """
    groups = [_group(lesion, result, regions, segments, images) for lesion in result["lesions"]]
    groups = groups or [_no_lesion(result, images)]
    report = sr.MeasurementReport(
        observation_context=_observer(result),
        procedure_reported=MAGNETIC_RESONANCE_IMAGING,
        imaging_measurements=groups,
        title=codes.DCM.ImagingMeasurementReport,
    )
    report[0].ContentSequence.extend(_comment(text) for text in (NOT_FOR_DIAGNOSIS, *first))
    objects = {str(segmentation.SOPInstanceUID): segmentation for segmentation, _ in segments.values()}
    content = sr.Comprehensive3DSR(
        evidence=[*images, *objects.values()],
        content=report[0],
        series_instance_uid=hd.UID(),
        series_number=SERIES_NUMBER,
        sop_instance_uid=hd.UID(),
        instance_number=1,
        manufacturer=MANUFACTURER,
        is_complete=False,
        is_final=False,
        is_verified=False,
    )
    content.SeriesDescription = series_description("answer")
    return content


def _observer(result: Mapping[str, Any]) -> sr.ObservationContext:
    bundle = result["bundle"]
    device = sr.DeviceObserverIdentifyingAttributes(
        uid=stable_uid(MANUFACTURER, bundle["weights_sha256"]),
        name=f"{MANUFACTURER}: {NOT_FOR_DIAGNOSIS}",
        manufacturer_name=MANUFACTURER,
        model_name=f"{bundle['name']} {bundle['version']}",
    )
    return sr.ObservationContext(
        observer_device_context=sr.ObserverContext(
            observer_type=codes.DCM.Device, observer_identifying_attributes=device
        )
    )


def _group(
    lesion: Mapping[str, Any],
    result: Mapping[str, Any],
    regions: Mapping[str, RegionOnSeries],
    segments: Mapping[str, tuple[Dataset, int]],
    images: Sequence[Dataset],
) -> Any:
    name = str(lesion["id"])
    described = {
        "algorithm_id": _algorithm(result),
        "measurements": _measurements(lesion, regions.get(name)),
        "qualitative_evaluations": _evaluations(lesion),
    }
    if name in segments:
        segmentation, number = segments[name]
        segment = segmentation.SegmentSequence[number - 1]
        group = sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
            tracking_identifier=sr.TrackingIdentifier(uid=segment.TrackingUID, identifier=name),
            referenced_segment=_referenced(segmentation, number),
            finding_category=ABNORMAL_STRUCTURE,
            finding_type=codes.SCT.Lesion,
            **described,
        )
    else:
        group = sr.MeasurementsAndQualitativeEvaluations(tracking_identifier=_tracked_in(images[0], name), **described)
    group[0].ContentSequence.extend(_comment(text) for text in words.remarks(lesion, result))
    return group


def _no_lesion(result: Mapping[str, Any], images: Sequence[Dataset]) -> sr.MeasurementsAndQualitativeEvaluations:
    """Return the group of a study without lesions, as a report of TID 1500 has to hold one."""
    return sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=_tracked_in(images[0], "study"),
        algorithm_id=_algorithm(result),
        qualitative_evaluations=[sr.QualitativeEvaluation(name=OUTCOME, value=NO_LESION)],
    )


def _algorithm(result: Mapping[str, Any]) -> sr.AlgorithmIdentification:
    bundle = result["bundle"]
    return sr.AlgorithmIdentification(
        name=bundle["name"],
        version=bundle["version"],
        parameters=[f"weights sha256 {bundle['weights_sha256']}"],
        manufacturer=MANUFACTURER,
    )


def _tracked_in(image: Dataset, name: str) -> sr.TrackingIdentifier:
    """Name a finding without a region, always the same in one study."""
    return sr.TrackingIdentifier(uid=stable_uid(str(image.StudyInstanceUID), name), identifier=name)


def _referenced(segmentation: Dataset, number: int) -> sr.ReferencedSegment:
    """Name a segment and the series that it was drawn on."""
    series = segmentation.ReferencedSeriesSequence[0].SeriesInstanceUID
    return sr.ReferencedSegment(
        sop_class_uid=segmentation.SOPClassUID,
        sop_instance_uid=segmentation.SOPInstanceUID,
        segment_number=number,
        source_series=sr.SourceSeriesForSegmentation(series),
    )


def _measurements(lesion: Mapping[str, Any], region: RegionOnSeries | None) -> list[sr.Measurement]:
    """Probabilities first, then what is known of the lesion's size and of how sure the answer is."""
    unit, millimetre, cubic = codes.UCUM.NoUnits, codes.UCUM.Millimeter, codes.UCUM.CubicMillimeter
    values: list[tuple[Any, Any, Any]] = [
        (private_code(f"P_{name}", f"Probability of {name} (research use only)"), probability, unit)
        for name, probability in lesion["probabilities"].items()
    ]
    values += [
        (AGREEMENT, lesion.get("agreement"), unit),
        (SCORE, lesion.get("score"), unit),
        (codes.SCT.Diameter, lesion.get("extent_mm"), millimetre),
        (codes.SCT.Volume, region and region.mask.volume_ml * 1000, cubic),
    ]
    return [
        sr.Measurement(name=name, value=round(float(value), DECIMALS), unit=measured)
        for name, value, measured in values
        if value is not None
    ]


def _evaluations(lesion: Mapping[str, Any]) -> list[sr.QualitativeEvaluation]:
    classes = lesion["probabilities"]
    predicted = lesion["predicted"]
    answer = NO_CLASS if predicted is None else class_code(predicted, classes)
    possible = [class_code(name, classes) for name in words.possible(lesion) or ()]
    return [
        sr.QualitativeEvaluation(name=PREDICTED, value=answer),
        *(sr.QualitativeEvaluation(name=POSSIBLE, value=code) for code in possible),
    ]


def _comment(text: str) -> sr.TextContentItem:
    return sr.TextContentItem(name=codes.DCM.Comment, value=text, relationship_type=sr.RelationshipTypeValues.CONTAINS)
