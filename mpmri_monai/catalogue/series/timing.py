"""When contrast was given, and which volumes of a dynamic acquisition are which phases by their times."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

from mpmri_monai.catalogue.headers.clock import HALF_DAY_S, SECONDS_A_DAY
from mpmri_monai.catalogue.record import VolumeRecord
from mpmri_monai.catalogue.roles.protocol import Phase
from mpmri_monai.catalogue.series.phases import CLOCK_STEP_S, LONGEST_DYNAMIC_S, acquired_s

LONGEST_WAIT_S = 15 * 60.0
"""A header's start of contrast that is farther than this from the first phase is wrong (s)."""


@dataclass(frozen=True)
class Match:
    """Volumes as phases, the start of contrast (s on the volumes' time axis), and the misfit of all delays (s)."""

    phases: tuple[Phase, ...]
    volumes: tuple[int, ...]
    start_s: float
    misfit_s: float


def contrast_start(family: Sequence[VolumeRecord]) -> float | None:
    """Start of contrast by the header, on the time axis of the volumes (s).

    Only the clock of the acquisition can be compared with it, and only a start between the first phase and the one
    after it, at most a quarter of an hour later, is believed: de-identification moves some times and forgets others.

    Args:
        family: volumes of one acquisition in time order, with their times.
    """
    # It is a time of the day; the day that goes with it is guessed from that of the images.
    starts = [header.contrast_start_s for volume in family for header in volume.files]
    stated = {start % SECONDS_A_DAY for start in starts if start is not None}
    clock = [acquired_s(volume) for volume in family]
    if len(stated) != 1 or None in clock or len(family) < 2:
        return None
    zero = clock[0]
    passed = [value - zero if value >= zero else value - zero + SECONDS_A_DAY for value in clock]
    if any(abs(own - volume.time_s) > CLOCK_STEP_S for own, volume in zip(passed, family, strict=True)):
        return None  # another clock gave the times
    start = (stated.pop() - zero + HALF_DAY_S) % SECONDS_A_DAY - HALF_DAY_S
    return start if 0 < start <= min(passed[1], LONGEST_WAIT_S) else None


def match(
    times_s: Sequence[float],
    phases: Sequence[Phase],
    required: Container[str] = (),
    start_s: float | None = None,
    arrival: int | None = None,
) -> Match:
    """Assign volumes to phases by their delays from the start of contrast.

    A start puts every time into the window of one phase, and the volume nearest to the delay has the phase. Where the
    start is not known it is inferred: the best one leaves the fewest required phases without a volume, then fills the
    most phases, and then fits their delays best (least sum of absolute differences).

    Args:
        times_s: of the volumes, rising (s); at least one.
        phases: in order; the one before contrast may have been found already.
        required: sequences of the phases that may not be missing.
        start_s: of contrast, on the same axis (s); None infers it.
        arrival: index of the first volume with contrast, where it is known.
    """
    starts = _starts(times_s, phases) if start_s is None else [start_s]
    return min((_assigned(times_s, phases, start, arrival) for start in starts), key=partial(_rank, required, phases))


def _starts(times_s: Sequence[float], phases: Sequence[Phase]) -> list[float]:
    """Starts to try: between two of them no time changes its phase, and the misfit is linear."""
    marks = {mark for phase in phases for mark in (phase.delay_s, *phase.window_s) if abs(mark) < LONGEST_DYNAMIC_S}
    starts = sorted({time - mark for time in times_s for mark in marks})
    return sorted([*starts, *((one + other) / 2 for one, other in pairwise(starts))])


def _assigned(times_s: Sequence[float], phases: Sequence[Phase], start_s: float, arrival: int | None) -> Match:
    chosen = nearest(times_s, phases, start_s)
    if arrival is not None:
        before = {phase.sequence for phase in phases if phase.before_contrast}
        chosen = {name: volume for name, volume in chosen.items() if (name in before) == (volume < arrival)}
    kept = tuple(phase for phase in phases if phase.sequence in chosen)
    volumes = tuple(chosen[phase.sequence] for phase in kept)
    # Before contrast, and in the last phase, any time is as good as another.
    misfits = [
        abs(times_s[volume] - start_s - phase.delay_s)
        for phase, volume in zip(kept, volumes, strict=True)
        if max(map(abs, phase.window_s)) < LONGEST_DYNAMIC_S
    ]
    return Match(kept, volumes, start_s, sum(misfits))


def _rank(required: Container[str], phases: Sequence[Phase], found: Match) -> tuple[int, int, float]:
    missing = sum(phase.sequence in required for phase in phases if phase not in found.phases)
    return missing, -len(found.phases), found.misfit_s


def nearest(times_s: Sequence[float], phases: Sequence[Phase], arrival_s: float) -> dict[str, int]:
    """Choose for each of ``phases`` the volume of a time series whose delay after ``arrival_s`` is nearest to its own.

    The phase before contrast is the last volume before the arrival. A phase into whose window no volume falls is left
    out.

    Returns:
        Sequence -> index of its volume.
    """
    chosen: dict[str, int] = {}
    for phase in phases:
        low, high = phase.window_s
        fitting = [index for index, time in enumerate(times_s) if low < time - arrival_s <= high]
        if not fitting:
            continue
        if phase.before_contrast:
            chosen[phase.sequence] = fitting[-1]
        else:
            _, best = min((abs(times_s[index] - arrival_s - phase.delay_s), index) for index in fitting)
            chosen[phase.sequence] = best
    return chosen
