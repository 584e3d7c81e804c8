"""When contrast was given, and which volumes of a dynamic acquisition are which phases by their times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from mpmri_monai.catalogue.clock import HALF_DAY_S, SECONDS_A_DAY
from mpmri_monai.catalogue.phases import CLOCK_STEP_S, LONGEST_DYNAMIC_S, acquired_s
from mpmri_monai.catalogue.protocol import Phase
from mpmri_monai.catalogue.record import VolumeRecord

MOST_PHASES_MATCHED = 12
"""With more volumes than this, which ones are the phases is not searched for (count)."""
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
    times_s: Sequence[float], phases: Sequence[Phase], start_s: float | None = None, fewest: int | None = None
) -> Match | None:
    """Assign as many of ``phases`` to ordered times as possible, keeping both orders.

    Where the start of contrast is not known it is inferred: an assignment is possible when one start puts every time
    into the window of its phase, and the best is the one whose delays then fit best (least sum of absolute
    differences). Of several volumes before contrast the last one is taken.

    Args:
        times_s: of the volumes, rising (s).
        phases: in order.
        start_s: of contrast, on the same axis (s); None infers it.
        fewest: phases to be content with; as many as there can be if None.

    Returns:
        The best assignment with as many phases as possible; None when no start makes one possible, or when there are
        too many volumes to search.
    """
    if len(times_s) > MOST_PHASES_MATCHED:
        return None
    most = min(len(times_s), len(phases))
    for count in range(most, min(most, most if fewest is None else max(fewest, 1)) - 1, -1):
        found = [
            candidate
            for chosen in combinations(phases, count)
            for indices in combinations(range(len(times_s)), count)
            if (candidate := _fit(chosen, indices, times_s, start_s)) is not None
        ]
        if found:
            return min(found, key=_misfit)
    return None


def _misfit(candidate: Match) -> tuple[float, int]:
    return candidate.misfit_s, -candidate.volumes[0]


def _fit(
    phases: tuple[Phase, ...], indices: tuple[int, ...], times_s: Sequence[float], start_s: float | None
) -> Match | None:
    times = np.array([times_s[index] for index in indices])
    windows = np.array([phase.window_s for phase in phases])
    # The start s must satisfy window[0] <= t - s <= window[1] for every phase: an intersection of intervals.
    earliest, latest = (times - windows[:, 1]).max(), (times - windows[:, 0]).min()
    if start_s is not None:
        earliest, latest = max(earliest, start_s), min(latest, start_s)
    if earliest > latest:
        return None
    # The misfit is convex and piecewise linear in the start, so its minimum lies where one phase fits exactly,
    # or at an end of the interval.
    delays = np.array([phase.delay_s for phase in phases])
    starts = np.unique(np.clip([earliest, latest, *(times - delays)], earliest, latest))
    offsets = times[None, :] - starts[:, None]
    ends = np.array([abs(window).max() >= LONGEST_DYNAMIC_S for window in windows])
    misfits = np.where(ends, 0.0, np.abs(offsets - delays)).sum(axis=1)
    best = int(misfits.argmin())
    return Match(phases, indices, float(starts[best]), float(misfits[best]))


def nearest(times_s: Sequence[float], phases: Sequence[Phase], arrival_s: float) -> dict[str, int]:
    """Choose for each of ``phases`` the volume of a time series whose delay after ``arrival_s`` is nearest to its own.

    The first phase is the last volume before the arrival. A phase into whose window no volume falls is left out.

    Returns:
        Sequence -> index of its volume.
    """
    chosen: dict[str, int] = {}
    for place, phase in enumerate(phases):
        low, high = phase.window_s
        fitting = [index for index, time in enumerate(times_s) if low < time - arrival_s <= high]
        if not fitting:
            continue
        if place == 0:
            chosen[phase.sequence] = fitting[-1]
        else:
            chosen[phase.sequence] = min((abs(times_s[index] - arrival_s - phase.delay_s), index) for index in fitting)[
                1
            ]
    return chosen
