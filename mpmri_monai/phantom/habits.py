"""Tag habits of three vendors' classic MR images: how a volume of each sequence is described in its headers.

Sources: the public DICOM conformance behaviour that converters such as dcm2niix document. Values are invented but
typical; nothing identifies a real device.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydicom.dataset import Dataset

from mpmri_monai.phantom.patients import Patient
from mpmri_monai.phantom.presets import Site
from mpmri_monai.phantom.scanner import Scan, group
from mpmri_monai.sequences import DCE

MODELS = {"GE": "DISCOVERY MR750", "SIEMENS": "Avanto", "PHILIPS": "Ingenia"}
MANUFACTURERS = {"GE": "GE MEDICAL SYSTEMS", "SIEMENS": "SIEMENS", "PHILIPS": "Philips Medical Systems"}

PROTON_MHZ_PER_T = 42.577

IMAGE_TYPES = {
    "GE": ["ORIGINAL", "PRIMARY", "OTHER"],
    "SIEMENS": ["ORIGINAL", "PRIMARY", "M", "NORM", "DIS2D"],
    "PHILIPS": ["ORIGINAL", "PRIMARY", "M_FFE", "M", "FFE"],
}


@dataclass(frozen=True)
class Series:
    """One series: its description and the sequences whose volumes it holds, in acquisition order."""

    description: str
    sequences: tuple[str, ...]


def series_of(patient: Patient, one_dynamic: bool) -> list[Series]:
    """Return the series of an examination in the order in which they are acquired.

    Args:
        patient: whose site's habits to follow.
        one_dynamic: whether the six DCE phases lie in one series.
    """
    site = patient.site
    names = patient.anatomy.wording.series[site.vendor]
    echoes = tuple(name for name in ("OUT", "IN") if name in site.sequences)
    series = [Series(names["T2"], ("T2",))]
    if site.dual is not None:
        together = [Series(names["dual"], echoes)] if "dual" in names else []
        series += together or [Series(names[echo], (echo,)) for echo in echoes]
    if site.dce is not None:
        series += [Series(names["dce"], phases) for phases in ([DCE] if one_dynamic else [(one,) for one in DCE])]
    return series


def describe(header: Dataset, scan: Scan, sequence: str, series: Series) -> None:
    """Fill in the acquisition tags of a volume of ``sequence`` in ``series``."""
    site, protocol, kind = scan.patient.site, scan.protocol(sequence), group(sequence)
    wording = scan.patient.anatomy.wording
    part = wording.part.get(site.vendor, wording.part_else)
    _set(
        header,
        Manufacturer=MANUFACTURERS[site.vendor],
        ManufacturerModelName=MODELS[site.vendor],
        MagneticFieldStrength=site.field_t,
        ImagingFrequency=round(site.field_t * PROTON_MHZ_PER_T, 4),
        ImagedNucleus="1H",
        ImageType=_image_type(site.vendor, kind),
        MRAcquisitionType="3D" if kind == "dce" else "2D",
        ScanningSequence="SE" if kind == "T2" else "GR",
        SequenceVariant={"T2": "SK", "dual": ["SS", "SP"], "dce": ["SS", "SP", "SK"]}[kind],
        ScanOptions="" if kind == "dual" else wording.scan_options,
        RepetitionTime=protocol.tr_ms,
        FlipAngle=protocol.flip_deg,
        EchoTime=_echo_time(protocol.te_ms, sequence),
        EchoNumbers=series.sequences.index(sequence) + 1 if kind == "dual" else 1,
        EchoTrainLength=16 if kind == "T2" else 1,
        NumberOfAverages=1,
        SliceThickness=protocol.thickness_mm,
        SpacingBetweenSlices=protocol.spacing_mm,
        SeriesDescription=series.description,
        ProtocolName=series.description if site.vendor != "GE" else part,
        BodyPartExamined=part,
    )
    if kind == "dce":
        _describe_phase(header, site, sequence, series)
    {"GE": _ge_private, "SIEMENS": _no_private, "PHILIPS": _philips_private}[site.vendor](header, scan, sequence)


def _image_type(vendor: str, kind: str) -> list[str]:
    if vendor == "PHILIPS" and kind == "T2":
        return ["ORIGINAL", "PRIMARY", "M_SE", "M", "SE"]
    return IMAGE_TYPES[vendor]


def _echo_time(echoes: tuple[float, ...], sequence: str) -> float:
    """OUT comes first: it has the shorter of two echo times."""
    return echoes[0] if sequence == "OUT" else echoes[-1]


def _describe_phase(header: Dataset, site: Site, sequence: str, series: Series) -> None:
    if sequence != "S0":
        header.ContrastBolusAgent = "GADOLINIUM CHELATE"
    if len(series.sequences) == 1:
        header.AcquisitionNumber = 1
        return
    index = series.sequences.index(sequence)
    header.AcquisitionNumber = 1 if site.vendor == "PHILIPS" else index + 1
    header.TemporalPositionIdentifier = index + 1
    header.NumberOfTemporalPositions = len(series.sequences)


def _ge_private(header: Dataset, scan: Scan, sequence: str) -> None:
    """Raw data run, locations per phase, and "this is a magnitude image"."""
    header.private_block(0x0019, "GEMS_ACQU_01", create=True).add_new(
        0xA2, "SL", DCE.index(sequence) if sequence in DCE else 0
    )
    header.private_block(0x0021, "GEMS_RELA_01", create=True).add_new(0x4F, "SS", scan.grids[sequence].shape[2])
    header.private_block(0x0043, "GEMS_PARM_01", create=True).add_new(0x2F, "SS", 0)


def _philips_private(header: Dataset, scan: Scan, sequence: str) -> None:
    """Number of slices and the scale slope; the public rescale slope is not 1 either."""
    header.private_block(0x2001, "Philips Imaging DD 001", create=True).add_new(
        0x18, "SL", scan.grids[sequence].shape[2]
    )
    header.private_block(0x2005, "Philips MR Imaging DD 001", create=True).add_new(0x0E, "FL", 0.0125)
    _set(header, RescaleSlope=1.75 if group(sequence) == "dce" else 0.5, RescaleIntercept=0, RescaleType="normalized")


def _no_private(header: Dataset, scan: Scan, sequence: str) -> None:
    """Siemens' private tags say nothing that this project reads."""


def _set(header: Dataset, **values: Any) -> None:
    for keyword, value in values.items():
        setattr(header, keyword, value)
