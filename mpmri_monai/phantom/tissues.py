"""Noise-free signal of the normal tissues in each sequence, in arbitrary units."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from mpmri_monai.sequences import SEQUENCES


@dataclass(frozen=True)
class Signals:
    """Typical signals.

    Attributes:
        sequences: columns of the table.
        table: {tissue: signal per sequence}.
        reference: tissue of the organ that is studied; noise and contrast are relative to it.
    """

    sequences: tuple[str, ...]
    table: Mapping[str, tuple[float, ...]]
    reference: str


# Fat-suppressed fast spin echo T2, in- and opposed-phase gradient echo, fat-suppressed 3D gradient echo around a bolus:
# arteries peak at 16-26 s, spleen and renal cortex in the late arterial phase, portal vein and liver at 60 s.
_ABDOMEN: dict[str, tuple[float, ...]] = {
    #            T2   IN  OUT   S0   S1   S2   S3   S4   S5
    "air":      (  0,   0,   0,   0,   0,   0,   0,   0,   0),
    "fat":      (150, 640, 560,  75,  75,  76,  80,  80,  80),
    "muscle":   (115, 300, 295, 190, 195, 205, 230, 240, 240),
    "bowel":    (240, 330, 290, 150, 160, 190, 230, 235, 230),
    "lung":     ( 25,  40,  35,  20,  25,  30,  30,  28,  28),
    "liver":    (180, 400, 385, 260, 270, 305, 440, 405, 380),
    "vein":     (110, 250, 245, 165, 175, 360, 640, 520, 465),
    "spleen":   (390, 270, 265, 180, 330, 560, 520, 450, 420),
    "kidney":   (410, 280, 275, 190, 430, 690, 680, 640, 610),
    "artery":   ( 60, 210, 205, 150, 900, 830, 640, 520, 470),
    "bone":     (170, 360, 320, 130, 140, 170, 200, 205, 205),
    "disc":     (130, 250, 245, 140, 140, 145, 160, 170, 175),
    "fluid":    (820, 140, 138,  80,  80,  80,  85,  90,  95),
}  # fmt: skip

ABDOMEN = Signals(SEQUENCES, _ABDOMEN, "liver")

# Fast spin echo T2 without fat suppression.
HEAD = Signals(
    ("T2",),
    {
        "air": (0,),
        "fat": (430,),
        "muscle": (120,),
        "bone": (35,),
        "marrow": (240,),
        "csf": (900,),
        "gray": (420,),
        "white": (300,),
    },
    "white",
)

# Weighted towards T1: white matter is brighter than gray, fluid is dark.
HEAD_SOURCE = Signals(
    ("T2",),
    {
        "air": (0,),
        "fat": (620,),
        "muscle": (210,),
        "bone": (40,),
        "marrow": (330,),
        "csf": (95,),
        "gray": (290,),
        "white": (400,),
    },
    "white",
)

TISSUE_SPREAD = 0.05
"""Standard deviation between patients of a tissue's log signal, each tissue and sequence by itself."""


def draw_signals(rng: Generator, typical: Signals, contrast: float = 1.0) -> dict[str, dict[str, float]]:
    """Return {tissue: {sequence: signal}} of one patient.

    Args:
        rng: draws how this patient's tissues differ from the typical ones.
        typical: the tissues.
        contrast: exponent on each signal relative to that of the reference.
    """
    reference = np.array(typical.table[typical.reference])
    drawn = {}
    for tissue, values in typical.table.items():
        level = reference * (np.array(values) / reference) ** contrast
        drawn[tissue] = level * np.exp(rng.normal(0, TISSUE_SPREAD, len(typical.sequences)))
    return {tissue: dict(zip(typical.sequences, values.tolist(), strict=True)) for tissue, values in drawn.items()}
