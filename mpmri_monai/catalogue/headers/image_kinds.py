"""What the values of an image are, from the third and later values of ImageType or FrameType."""

from __future__ import annotations

from collections.abc import Sequence

KINDS = ("water", "fat", "in phase", "out of phase", "trace", "adc", "map")
"""Kinds of images besides plain signal, which is ""."""

DIXON = {
    "WATER": "water",
    "W": "water",
    "FAT": "fat",
    "F": "fat",
    "IN_PHASE": "in phase",
    "INPHASE": "in phase",
    "IP": "in phase",
    "OUT_PHASE": "out of phase",
    "OUT_OF_PHASE": "out of phase",
    "OUTPHASE": "out of phase",
    "OPP_PHASE": "out of phase",
    "OP": "out of phase",
}
"""Siemens, GE and UIH write whole words, Philips letters, the standard's FrameType IN_PHASE and OUT_PHASE."""
TRACES = frozenset(["TRACEW", "TRACE", "CTRACE", "ISOTROPIC", "ISO"])
"""Diffusion-weighted signal combined over the directions. Only the header's word for it tells it from other images
computed from diffusion, such as an ADC map that its scanner calls PROCESSED and nothing else."""
MAPS = frozenset(
    [
        "B0",
        "B1",
        "FIELD_MAP",
        "B0_MAP",
        "B1_MAP",
        "T1_MAP",
        "T2_MAP",
        "T2_STAR_MAP",
        "R1_MAP",
        "R2_MAP",
        "R2_STAR",
        "R2_STAR_MAP",
        "FF",
        "FAT_FRACTION",
        "WF",
        "WATER_FRACTION",
        "FA",
        "EADC",
        "EXP_ADC",
        "TTP",
        "MTT",
        "CBF",
        "CBV",
        "RELCBF",
        "RELCBV",
        "RELMTT",
        "WASH_IN",
        "WASHIN",
        "WASH_OUT",
        "WASHOUT",
        "KTRANS",
        "KEP",
        "VE",
        "IAUC",
        "TENSOR",
        "STIFFNESS",
        "PROCESSED",
    ]
)
"""Values that stand for a quantity computed from signals, with blanks as underscores. T1, T2 and T2_STAR alone are not
among them: as third values of enhanced images they say how the signal is weighted. PROCESSED is all that GE's FuncTool
says of what it computed, such as an ADC map that keeps the b-value of its source: no signal, of unknown kind."""


def image_kind(image_type: Sequence[str]) -> str:
    """Return one of ``KINDS``, or "" for plain signal.

    Args:
        image_type: all values of ImageType, or of the FrameType of a frame; the first two say where the image is from.
    """
    values = [value.upper().replace(" ", "_") for value in image_type[2:]]
    for value in values:
        if value in DIXON:
            return DIXON[value]
        if value == "ADC":
            return "adc"
        if value in TRACES:
            return "trace"
        if value in MAPS:
            return "map"
    return ""
