"""Which volumes of a dynamic acquisition are which phases."""

from __future__ import annotations

from collections.abc import Sequence

from mpmri_monai.catalogue.record import Caution, Evidence, Problem, VolumeRecord
from mpmri_monai.catalogue.roles.assignment import Assignment, rival, series_numbers
from mpmri_monai.catalogue.roles.enhancement import Curve, signal_curve
from mpmri_monai.catalogue.roles.protocol import Dynamic, Phase
from mpmri_monai.catalogue.series.phases import ACQUISITION, clock_times, same_acquisition, same_grid
from mpmri_monai.catalogue.series.timing import Match, contrast_start, match, nearest

LATEST_ARRIVAL = 3
"""By the fourth phase of an examination, the portal one of the liver, contrast has arrived (index)."""

Family = Sequence[VolumeRecord]
"""Volumes of one acquisition."""


def is_dynamic(family: Family, dynamic: Dynamic, phases: Sequence[Phase]) -> bool:
    """Whether a family of volumes could be the dynamic acquisition that ``phases`` are still to be found in."""
    required = sum(phase.sequence not in dynamic.allow_missing for phase in phases)
    fits = all(dynamic.conditions.fits(volume.files[0]) for volume in family)
    return fits and len(family) >= max(1, min(dynamic.minimum_volumes, required))


def name_phases(
    families: Sequence[Family], dynamic: Dynamic, phases: Sequence[Phase], fixed: Family, given: Assignment
) -> None:
    """Give ``phases`` to the volumes of the one dynamic acquisition among ``families``, or leave them open.

    ``fixed`` are the volumes that a person gave the other phases.
    """
    roles = [phase.sequence for phase in phases]
    for family in families:
        for volume in family:
            given.note(volume, *dynamic.conditions.evidence(volume.files[0], f"{roles[0]}..."))
    if len(families) != 1:
        if families:
            rivals = [volume for family in families for volume in family]
            message = f"{len(families)} dynamic acquisitions on different grids ({series_numbers(rivals)})"
            given.leave_open(roles, rivals, Problem("E_ROLE", message))
        return
    family = sorted(families[0], key=lambda volume: -1 if volume.phase is None else volume.phase)
    problem = _uneven(family)
    if problem is not None:
        given.leave_open(roles, family, problem)
    elif any(volume.time_s is None for volume in family):
        _by_order(family, phases, given)
    elif dynamic.delays_from == "arrival":
        _by_arrival(family, dynamic, phases, fixed, given)
    else:
        _by_delays(family, dynamic, phases, fixed, given)


def _uneven(family: Family) -> Problem | None:
    """A phase that lost slices at an end, which even spacing cannot show."""
    counts = [volume.slices for volume in family]
    usual = max(set(counts), key=lambda count: (counts.count(count), count))
    odd = next((volume for volume in family if volume.slices != usual), None)
    whole = [volume for volume in family if volume.slices == usual]
    if odd is not None:
        name = "a phase" if odd.phase is None else f"phase {odd.phase + 1} of {len(family)}"
        message = f"{name} has {odd.slices} slices, the other phases have {usual}"
        return Problem("E_SHORT", message, odd.series_number)
    shifted = next((volume for volume in whole[1:] if not same_grid(whole[0], volume)), None)
    if shifted is not None:
        return Problem("E_SHORT", "a phase covers other slice positions than the others", shifted.series_number)
    return None


# -- exactly these phases, by their delays --------------------------------------------------------------------------


def _by_delays(family: Family, dynamic: Dynamic, phases: Sequence[Phase], fixed: Family, given: Assignment) -> None:
    """Name the phases of an examination that holds just them."""
    times = [volume.time_s for volume in family if volume.time_s is not None]
    required = {phase.sequence for phase in phases if phase.sequence not in dynamic.allow_missing}
    start = contrast_start(family)
    matched = match(times, phases, required, start)
    stated = start is not None and _complete(matched, dynamic, phases, len(family))
    if start is not None and not stated:
        message = f"the header's start of contrast, at {start:.0f} s, does not fit the phases; inferred another"
        given.warn(family, Caution("W_START", message))
    if not stated:
        # Of more volumes than phases many fit the delays, and one without contrast could be called arterial.
        arrival = _seen_arrival(family, fixed) if len(family) > len(phases) else None
        matched = match(times, phases, required, arrival=arrival)
    if not _complete(matched, dynamic, phases, len(family)):
        given.leave_open([p.sequence for p in phases], family, _phase_problem(family, times, matched, phases))
        return
    curve = signal_curve([family[index] for index in matched.volumes])
    fault = None if curve is None else _implausible(curve, matched.phases)
    if fault and curve is not None and curve.rises and not _on_clock_of_acquisition(family):
        message = f"the phases have no clock but that of their reconstruction or export, and in its order {fault}"
        given.leave_open([phase.sequence for phase in phases], family, Problem("E_PHASE", message))
        return
    chosen = {phase.sequence: index for phase, index in zip(matched.phases, matched.volumes, strict=True)}
    since = "the start of contrast in the header" if stated else "the inferred start of contrast"
    _give(chosen, family, phases, [time - matched.start_s for time in times], since, given)
    if fault:
        given.warn([family[index] for index in matched.volumes], Caution("W_RISE", fault))


def _seen_arrival(family: Family, fixed: Family) -> int | None:
    """Index of the first volume of the family whose signal shows contrast; None when it cannot be seen."""
    seen = _whole_series(family, fixed)
    curve = signal_curve(seen)
    if curve is None or not (curve.rises and curve.begins_low):
        return None
    before = {volume.id for volume in seen[: curve.arrival]}
    return sum(volume.id in before for volume in family)


def _whole_series(family: Family, fixed: Family) -> list[VolumeRecord]:
    """Return the family with those of its acquisition that are fixed, in the order of their times.

    Without them the signal would seem to rise at another phase.
    """
    own = [volume for volume in fixed if same_acquisition(family[0], volume) and same_grid(family[0], volume)]
    timed = [(volume.time_s, volume.id, volume) for volume in (*family, *own) if volume.time_s is not None]
    return [volume for _, _, volume in sorted(timed)]


def _on_clock_of_acquisition(family: Family) -> bool:
    """Whether the order of the phases is that of a clock that ran while they were acquired."""
    return any(clock_times(family, clock) is not None for clock in ACQUISITION)


def _complete(matched: Match, dynamic: Dynamic, phases: Sequence[Phase], volumes: int) -> bool:
    """Whether nothing is missing or left over but what may be."""
    missing = [phase.sequence for phase in phases if phase not in matched.phases]
    extra = volumes - len(matched.volumes)
    return all(name in dynamic.allow_missing for name in missing) and (dynamic.allow_extra or not extra)


def _phase_problem(family: Family, times: Sequence[float], matched: Match, phases: Sequence[Phase]) -> Problem:
    """Say how many phases there are, when, and which is missing or too many."""
    found = f"found {len(family)} phases at {', '.join(f'{time:.0f}' for time in times)} s ({series_numbers(family)})"
    missing = [f"{phase.sequence} ({phase.name})" for phase in phases if phase not in matched.phases]
    extra = [f"the one at {times[index]:.0f} s" for index in range(len(times)) if index not in matched.volumes]
    misfit = "; their times do not fit" if missing and extra else ""
    lacking = f"; {', '.join(missing)} is missing (a site may allow_missing)" if missing else ""
    too_many = f"; {', '.join(extra)} is too many (a site may allow_extra)" if extra else ""
    return Problem("E_PHASE", f"{found}; expected {len(phases)}{misfit}{lacking}{too_many}")


def _implausible(curve: Curve, phases: Sequence[Phase]) -> str | None:
    """What speaks against an order of phases in their signal; None when nothing does."""
    if not curve.rises:
        return f"no signal rises over the phases, as it would with contrast ({curve})"
    if not phases[0].before_contrast:
        return None
    if not curve.begins_low:
        return f"the signal is not lowest in {phases[0].sequence}, which is to be before contrast ({curve})"
    if curve.arrival > LATEST_ARRIVAL:
        return f"the signal rises only at {phases[curve.arrival].sequence} ({curve})"
    return None


# -- no clock ---------------------------------------------------------------------------------------------------------


def _by_order(family: Family, phases: Sequence[Phase], given: Assignment) -> None:
    """Take the order of the splitting axis, where the count is right and the signal does not speak against it."""
    roles, count, wanted = [phase.sequence for phase in phases], len(family), len(phases)
    if count != wanted or [volume.phase for volume in family] != list(range(count)):
        message = f"found {count} phases without a usable clock or order ({series_numbers(family)}); expected {wanted}"
        given.leave_open(roles, family, Problem("E_PHASE", message))
        return
    curve = signal_curve(family)
    fault = None if curve is None else _implausible(curve, phases)
    if fault and curve is not None and curve.rises:
        message = f"{wanted} phases without a usable clock ({series_numbers(family)}), and in their order {fault}"
        given.leave_open(roles, family, Problem("E_PHASE", message))
        return
    message = f"{wanted} phases and no usable time; took their order for {roles[0]} to {roles[-1]}"
    given.warn(family, Caution("W_PHASE_ORDER", message))
    if fault:
        given.warn(family, Caution("W_RISE", fault))
    for phase, volume in zip(phases, family, strict=True):
        given.give(phase.sequence, volume, f"{phase.name} phase", "by its order only: no clock is usable")


# -- a time series, by the arrival of contrast ------------------------------------------------------------------------


def _by_arrival(family: Family, dynamic: Dynamic, phases: Sequence[Phase], fixed: Family, given: Assignment) -> None:
    """Take the volumes of a time series that are nearest to the delays of the phases."""
    roles = [phase.sequence for phase in phases]
    times = [volume.time_s for volume in family if volume.time_s is not None]
    seen = _whole_series(family, fixed)
    curve = signal_curve(seen)
    fault = "the signal cannot be read" if curve is None else None
    if curve is not None and not (curve.rises and curve.begins_low):
        fault = f"the signal does not rise from the first of them on ({curve})"
    if curve is None or fault:
        message = f"the arrival of contrast is not seen in {len(family)} volumes ({series_numbers(family)}): {fault}"
        given.leave_open(roles, family, Problem("E_PHASE", message))
        return
    arrival = curve.arrival_s([volume.time_s for volume in seen if volume.time_s is not None])
    start = contrast_start(family)
    if start is not None and start > arrival:
        message = f"the signal rises at {arrival:.0f} s, before the header's start of contrast at {start:.0f} s"
        given.warn(family, Caution("W_RISE", message))
    chosen = nearest(times, phases, arrival)
    missing = [phase for phase in phases if phase.sequence not in chosen]
    if any(phase.sequence not in dynamic.allow_missing for phase in missing):
        lacking = ", ".join(f"{phase.sequence} ({phase.name})" for phase in missing)
        message = f"no volume at the time of {lacking}: contrast arrives at {arrival:.0f} s of {times[-1]:.0f} s"
        given.leave_open(roles, family, Problem("E_PHASE", f"{message} ({series_numbers(family)})"))
        return
    _give(chosen, family, phases, [time - arrival for time in times], "the signal began to rise", given)


def _give(
    chosen: dict[str, int],
    family: Family,
    phases: Sequence[Phase],
    delays_s: Sequence[float],
    since: str,
    given: Assignment,
) -> None:
    """Give phases to volumes; the volumes next in time that have no phase are the rivals."""
    taken = set(chosen.values())
    for phase in phases:
        if phase.sequence not in chosen:
            continue
        index = chosen[phase.sequence]
        low, high = phase.window_s
        others = [
            rival(family[other], f"{delays_s[other]:+.0f} s after {since}, farther from {phase.delay_s:g} s")
            for other in (index - 1, index + 1)
            if 0 <= other < len(family) and other not in taken and low <= delays_s[other] <= high
        ]
        value = f"{delays_s[index]:+.0f} s after {since}"
        given.note(family[index], Evidence(f"{phase.sequence}: {phase.name} phase", value, "fits"))
        given.give(phase.sequence, family[index], f"{phase.name} phase, {_window(phase)}", value, others)


def _window(phase: Phase) -> str:
    low, high = (f"{abs(limit):.4g}" for limit in phase.window_s)
    if phase.before_contrast:
        return "before contrast"
    return f"{low} to {high} s" if phase.window_s[1] < 86400 else f"after {low} s"
