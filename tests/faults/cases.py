"""All cases of the fault matrix, in the order of its table."""

from __future__ import annotations

from faults import (  # noqa: F401  (each module adds its cases)
    attack_cases,
    file_cases,
    frame_cases,
    liver_cases,
    pixel_cases,
    protocol_cases,
    split_cases,
    stack_cases,
)
from faults.case import REGISTERED, Case

GROUPS = (
    "One stack",
    "Geometry",
    "Pixels",
    "Compression",
    "Several volumes in one series",
    "Echoes, components, diffusion",
    "Multi-frame files",
    "Liver phases and their clocks",
    "Liver roles",
    "Dixon",
    "Brain and prostate",
    "Files and folders",
    "Damaged files",
    "Archives and NIfTI",
    "Attacks",
)
"""Headings of the table."""
CASES: tuple[Case, ...] = tuple(sorted(REGISTERED, key=lambda case: GROUPS.index(case.group)))
