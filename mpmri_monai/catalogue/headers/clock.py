"""Clock times of DICOM headers, in seconds."""

from __future__ import annotations

from collections.abc import Sequence

SECONDS_A_DAY = 86400.0
HALF_DAY_S = SECONDS_A_DAY / 2
"""No examination lasts longer: a wider span means that midnight was passed and the date did not tell (s)."""


def unwrapped(seconds: Sequence[float]) -> list[float]:
    """Return clock times that increase over midnight, also where the headers have no date or the same one."""
    latest = max(seconds)
    return [value + SECONDS_A_DAY if latest - value > HALF_DAY_S else value for value in seconds]
