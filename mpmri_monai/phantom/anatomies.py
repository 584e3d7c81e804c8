"""What a cohort is of: body, tissues, findings and the words that its files use. Data, not code."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

from numpy.random import Generator

from mpmri_monai.phantom.abdomen import draw_abdomen
from mpmri_monai.phantom.body import Body
from mpmri_monai.phantom.classes import BRAIN, BRAIN_SOURCE, HCC, ClassModel
from mpmri_monai.phantom.head import draw_head
from mpmri_monai.phantom.tissues import ABDOMEN, HEAD, HEAD_SOURCE, Signals


@dataclass(frozen=True)
class Wording:
    """What headers and reports say.

    Attributes:
        study: description of the study.
        series: {vendor: {acquisition or sequence: description}}.
        part: body part by vendor; ``part_else`` for the others.
        finding: of the report.
        scan_options: of a T2 series.
    """

    study: str
    series: Mapping[str, Mapping[str, str]]
    part: Mapping[str, str]
    part_else: str
    finding: str
    scan_options: str


@dataclass(frozen=True)
class Anatomy:
    """The anatomy of a cohort.

    Attributes:
        protocol: of the catalogue, which reads the files.
        cohort: what the names of its cohorts begin with.
        organ: its name.
        draw: draws a body without lesions from a generator and the site's contrast.
        signals: the typical tissues; its reference is what noise is relative to.
        findings: the model of the lesions.
        drawn_on: sequence on whose grid masks are drawn.
        room_mm: lower and upper corner, RAS+, of the box in which lesion centres are tried; its height is the preset's.
        clearance_mm: least distance of a lesion to what is no room for it, and to other lesions.
    """

    protocol: str
    cohort: str
    organ: str
    draw: Callable[[Generator, float], Body] = field(repr=False)
    signals: Signals = field(repr=False)
    findings: ClassModel
    drawn_on: str
    room_mm: tuple[tuple[float, float], tuple[float, float]]
    clearance_mm: float
    wording: Wording = field(repr=False)

    @property
    def sequences(self) -> tuple[str, ...]:
        """What can be acquired, in order."""
        return self.findings.sequences


LIVER = Anatomy(
    protocol="liver",
    cohort="hcc_phantom",
    organ="liver",
    draw=draw_abdomen,
    signals=ABDOMEN,
    findings=HCC,
    drawn_on="S3",
    room_mm=((-40, -60), (125, 65)),
    clearance_mm=4.0,
    wording=Wording(
        study="MR LIVER WITH CONTRAST",
        series={
            "GE": {"T2": "Ax T2 FRFSE fs RTr", "dual": "Ax Dual Echo FSPGR", "dce": "Ax LAVA Multiphase"},
            "SIEMENS": {
                "T2": "t2_tse_fs_tra_rt",
                "IN": "t1_fl2d_tra_in",
                "OUT": "t1_fl2d_tra_opp",
                "dce": "t1_vibe_fs_tra_dyn",
            },
            "PHILIPS": {"T2": "T2W_TSE_SPAIR_RT", "dual": "T1W_FFE_IP_BH", "dce": "dyn_eTHRIVE"},
        },
        part={"GE": "LIVER"},
        part_else="ABDOMEN",
        finding="Focal liver lesion.",
        scan_options="FS",
    ),
)

_HEAD_WORDS = Wording(
    study="MR BRAIN",
    series={"GE": {"T2": "Ax T2 FSE"}, "SIEMENS": {"T2": "t2_tse_tra"}, "PHILIPS": {"T2": "T2W_TSE"}},
    part={"SIEMENS": "HEAD"},
    part_else="BRAIN",
    finding="Brain with a small region that is drawn in.",
    scan_options="",
)


def _brain(signals: Signals, findings: ClassModel) -> Anatomy:
    return Anatomy(
        protocol="brain",
        cohort="phantom",
        organ="brain",
        draw=partial(draw_head, typical=signals),
        signals=signals,
        findings=findings,
        drawn_on="T2",
        room_mm=((-52, -68), (52, 68)),
        clearance_mm=0.5,
        wording=_HEAD_WORDS,
    )


BRAIN_TARGET = _brain(HEAD, BRAIN)

BRAIN_OTHER_SCANNER = _brain(HEAD_SOURCE, BRAIN_SOURCE)
