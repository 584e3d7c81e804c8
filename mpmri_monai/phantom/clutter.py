"""What else lies in a study's folder: a three-plane localizer, a subtraction series and a structured report."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as DicomSequence

from mpmri_monai.phantom.files import Clock, study_header, uid, write_object, write_volume
from mpmri_monai.phantom.habits import MANUFACTURERS, describe, series_of
from mpmri_monai.phantom.scanner import Grid, Scan

BASIC_TEXT_SR = "1.2.840.10008.5.1.4.1.1.88.11"

LOCALIZER_PIXELS, LOCALIZER_MM, LOCALIZER_GAP_MM = 96, 4.0, 30.0


def write_localizer(folder: Path, scan: Scan, clock: Clock, rng: Generator) -> None:
    """Write series 1: three slices each axial, coronal and sagittal, all in one series."""
    header = study_header(scan.patient, clock)
    header.Modality, header.SeriesNumber = "MR", 1
    header.SeriesInstanceUID = uid(scan.patient, "localizer")
    describe(header, scan, "T2", series_of(scan.patient, one_dynamic=True)[0])
    header.SeriesDescription = header.ProtocolName = "3-Plane Loc"
    header.SeriesTime = header.AcquisitionTime = header.ContentTime = clock.time(20)
    if scan.patient.site.vendor == "GE":
        header.private_block(0x0019, "GEMS_ACQU_01", create=True).add_new(0x17, "SS", 256)
    left, back, up = np.diag([-1.0, -1.0, 1.0])
    for k, axes in enumerate(((left, back, up), (left, -up, -back), (back, -up, -left))):
        step = np.stack(axes, axis=1) * (LOCALIZER_MM, LOCALIZER_MM, LOCALIZER_GAP_MM)
        affine = np.eye(4)
        affine[:3, :3] = step
        affine[:3, 3] = -step @ [(LOCALIZER_PIXELS - 1) / 2, (LOCALIZER_PIXELS - 1) / 2, 1]
        grid = Grid(affine, (LOCALIZER_PIXELS, LOCALIZER_PIXELS, 3), 8.0)
        write_volume(folder, header, scan.acquire("T2", grid), grid, np.arange(3) + 3 * k + 1, rng)


def write_subtraction(
    folder: Path, scan: Scan, volumes: dict[str, NDArray[np.uint16]], number: int, clock: Clock, rng: Generator
) -> None:
    """Write the late arterial minus the plain phase, as a derived series on the grid of the DCE."""
    header = study_header(scan.patient, clock)
    header.Modality, header.SeriesNumber = "MR", number
    header.SeriesInstanceUID = uid(scan.patient, "subtraction")
    describe(header, scan, "S2", series_of(scan.patient, one_dynamic=False)[-1])
    header.ImageType = ["DERIVED", "SECONDARY", "SUBTRACT"]
    header.SeriesDescription = "SUB arterial - plain"
    header.SeriesTime = header.AcquisitionTime = header.ContentTime = clock.time(1500)
    difference = np.maximum(volumes["S2"].astype(np.int32) - volumes["S0"], 0).astype(np.uint16)
    write_volume(folder, header, difference, scan.grids["S2"], np.arange(len(difference)) + 1, rng)


def write_report(folder: Path, scan: Scan, number: int, clock: Clock, rng: Generator) -> None:
    """Write a short text report as Basic Text SR."""
    header = study_header(scan.patient, clock)
    header.SOPClassUID, header.SOPInstanceUID = BASIC_TEXT_SR, uid(scan.patient, "report")
    header.Modality, header.SeriesNumber, header.InstanceNumber = "SR", number, 1
    header.SeriesInstanceUID = uid(scan.patient, "report", "series")
    header.SeriesTime = header.ContentTime = clock.time(2400)
    header.Manufacturer = MANUFACTURERS[scan.patient.site.vendor]
    header.CompletionFlag, header.VerificationFlag = "COMPLETE", "UNVERIFIED"
    header.ReferencedPerformedProcedureStepSequence = DicomSequence()
    header.PerformedProcedureCodeSequence = DicomSequence()
    header.ValueType, header.ContinuityOfContent = "CONTAINER", "SEPARATE"
    header.ConceptNameCodeSequence = _code("18748-4", "LN", "Diagnostic imaging report")
    text = Dataset()
    text.RelationshipType, text.ValueType = "CONTAINS", "TEXT"
    text.ConceptNameCodeSequence = _code("121071", "DCM", "Finding")
    text.TextValue = f"{scan.patient.anatomy.wording.finding} Invented report of a digital phantom."
    header.ContentSequence = DicomSequence([text])
    write_object(folder, header, rng)


def _code(value: str, scheme: str, meaning: str) -> DicomSequence:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return DicomSequence([item])
