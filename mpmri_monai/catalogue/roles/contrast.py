"""Which images were made after contrast agent was given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mpmri_monai.catalogue.record import VolumeRecord
from mpmri_monai.catalogue.roles.enhancement import signal_curve
from mpmri_monai.catalogue.series.phases import acquired_s, same_acquisition, same_grid


@dataclass(frozen=True)
class ContrastState:
    """Whether a volume was made after contrast, why, and whether that was only inferred."""

    after: bool
    why: str
    inferred: bool = False


def contrast_states(candidates: Sequence[VolumeRecord]) -> dict[str, ContrastState]:
    """Tell volumes before from volumes after contrast, among those that could have a role in question.

    The agent named in the headers decides where some volumes name one and others do not. Where all or none do, two
    volumes of one pulse sequence on one grid are told apart by time, if the signal of the later one has risen.

    Returns:
        Volume id -> state. Where no volume names an agent and nothing else tells, all are taken as before contrast, and
        that is only inferred: many sites never fill the agent in.
    """
    named = [volume for volume in candidates if volume.files[0].contrast_agent]
    if len(named) in (0, len(candidates)) and len(candidates) == 2 and (pair := _before_and_after(*candidates)):
        return {
            pair[0].id: ContrastState(False, "the earlier of two, the signal rises after it", inferred=True),
            pair[1].id: ContrastState(True, "the later of two, with a higher signal", inferred=True),
        }
    first = min((time for volume in named if (time := acquired_s(volume)) is not None), default=None)
    states = {}
    for volume in candidates:
        after, time = volume.files[0].contrast_agent, acquired_s(volume)
        why = "names a contrast agent" if after else "names no contrast agent"
        if not after and first is not None and time is not None and time > first:
            after, why = True, "names no contrast agent, but was made after images that name one"
        states[volume.id] = ContrastState(after, why, inferred=not named)
    return states


def _before_and_after(one: VolumeRecord, other: VolumeRecord) -> tuple[VolumeRecord, VolumeRecord] | None:
    times = acquired_s(one), acquired_s(other)
    if None in times or times[0] == times[1] or not (same_acquisition(one, other) and same_grid(one, other)):
        return None
    first, second = (one, other) if times[0] < times[1] else (other, one)
    curve = signal_curve((first, second))
    return (first, second) if curve is not None and curve.rises and curve.begins_low else None
