"""Roles of other protocols, and Dixon images in the liver examination."""

from __future__ import annotations

import functools

from faults.builder import (
    CONTRAST_S,
    DELAYS_S,
    SAGITTAL,
    SPIN_ECHO,
    START_S,
    THICK,
    THIN,
    Grid,
    Study,
    Volume,
    clock,
    each,
    echoes,
    phases,
    t2,
    volume,
    volumes,
)
from faults.case import case
from faults.enhanced import multi_frame

dixon = functools.partial(case, "Dixon", protocol="liver")
brain = functools.partial(case, "Brain and prostate", protocol="brain")
prostate = functools.partial(case, "Brain and prostate", protocol="prostate")
KINDS = ("WATER", "FAT", "IN_PHASE", "OPP_PHASE")
MPRAGE = {"ScanningSequence": ["GR", "IR"], "EchoTime": 2.5, "RepetitionTime": 1900.0, "InversionTime": 900.0}
HEAD = Grid(slices=10, step_mm=1.0, axes=SAGITTAL)
DIFFUSION = {"ScanningSequence": "EP", "MRAcquisitionType": "2D", "EchoTime": 70.0, "RepetitionTime": 5000.0}


# -- Dixon --------------------------------------------------------------------


def _kinds(first: str, kinds: tuple[str, ...]) -> list[list[str]]:
    return [[first, "PRIMARY", "M", kind] for kind in kinds]


@dixon()
def water_of_each_phase_as_derived_images(study: Study) -> None:
    """GE Flex: the dynamic is water only, written as DERIVED; a dual echo is there too."""
    study.add(t2(), *echoes(), *phases(ImageType=["DERIVED", "PRIMARY", "DIXON", "WATER"]))


@dixon()
def four_kinds_for_each_phase(study: Study) -> None:
    """Siemens: water, fat, in phase and out of phase for every phase, a series for each kind and phase."""
    study.add(t2())
    number = 20
    for index, delay in enumerate(DELAYS_S):
        for kind, image_type in zip(KINDS, _kinds("DERIVED", KINDS), strict=True):
            times = {name: clock(CONTRAST_S + delay) for name in ("AcquisitionTime", "ContentTime")}
            name = {"WATER": f"S{index}", "IN_PHASE": "IN" * (index == 0), "OPP_PHASE": "OUT" * (index == 0)}.get(
                kind, ""
            )
            made = volume(name, number, THIN, index, ImageType=image_type, EchoTime=1.3, **times)
            study.add(made, expected=kind != "FAT")
            number += 1


@dixon()
def four_kinds_in_one_enhanced_file(study: Study) -> None:
    """Philips: a pair of in and out of phase images by FrameType, echo time 0, beside a plain dynamic."""
    kinds = each(*(["ORIGINAL", "PRIMARY", "DIXON", kind] for kind in KINDS))
    found = volumes(4, ("water", "fat", "IN", "OUT"), series=4, grid=THICK, ImageType=kinds, EchoTime=2.0)
    study.add(t2(), *phases())
    study.truths.extend(member.truth for member in found)
    study.images.append(multi_frame([image for member in found for image in member.images]))


# -- brain --------------------------------------------------------------------


def _brain(study: Study, *t1: Volume) -> None:
    flair = {**SPIN_ECHO, "ScanningSequence": ["SE", "IR"], "EchoTime": 120.0, "RepetitionTime": 9000.0}
    study.add(t2(grid=HEAD), *t1)
    study.add(volume("FLAIR", 5, HEAD, InversionTime=2500.0, AcquisitionTime=clock(START_S + 200), **flair))


@brain()
def T1_before_and_after_contrast_by_agent(study: Study) -> None:
    """The header of the later T1 names an agent."""
    before = volume("T1", 6, HEAD, AcquisitionTime=clock(START_S + 400), **MPRAGE)
    after = volume("T1CE", 7, HEAD, 1, AcquisitionTime=clock(START_S + 900), ContrastBolusAgent="Gd", **MPRAGE)
    _brain(study, before, after)


@brain(warned="W_CONTRAST")
def T1_before_and_after_contrast_by_signal(study: Study) -> None:
    """No header names an agent; the later T1 is brighter in places."""
    before = volume("T1", 6, HEAD, AcquisitionTime=clock(START_S + 400), **MPRAGE)
    after = volume("T1CE", 7, HEAD, 1, AcquisitionTime=clock(START_S + 900), **MPRAGE)
    _brain(study, before, after)


@brain(refused="E_ROLE")
def two_T1_without_agent_or_time(study: Study) -> None:
    """No agent, no time: which T1 is before contrast cannot be known."""
    _brain(study, volume("one", 6, HEAD, **MPRAGE), volume("other", 7, HEAD, 1, **MPRAGE))


# -- prostate -----------------------------------------------------------------


def _prostate(study: Study, *diffusion: Volume) -> None:
    """Time points at 0, 20, 40, ... s whose signal grows evenly: it arrives half-way between the first two."""
    study.add(t2(EchoTime=100.0), *diffusion)
    study.add(*phases((0.0, 20.0, 40.0, 70.0, 130.0, 200.0), ("DCE0", "rise", "DCE1", "DCE2", "DCE3", "late")))


@prostate()
def b_values_and_their_map(study: Study) -> None:
    """Three b-values in one series and a derived ADC map."""
    weighted = volumes(
        3, ("b50", "b400", "HBV"), series=8, grid=THICK, DiffusionBValue=each(50.0, 400.0, 1400.0), **DIFFUSION
    )
    adc = volume("ADC", 9, THICK, ImageType=["DERIVED", "PRIMARY", "DIFFUSION", "ADC"], **DIFFUSION)
    _prostate(study, *weighted, adc)


@prostate(refused="E_ROLE")
def two_maps(study: Study) -> None:
    """Two ADC maps: neither is chosen in silence."""
    weighted = volume("HBV", 8, THICK, DiffusionBValue=1400.0, **DIFFUSION)
    kind = ["DERIVED", "PRIMARY", "DIFFUSION", "ADC"]
    maps = [volume(name, number, THICK, ImageType=kind, **DIFFUSION) for name, number in (("one", 9), ("other", 12))]
    _prostate(study, weighted, *maps)
