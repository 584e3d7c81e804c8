"""Which volume is which sequence of a protocol: one candidate for each role, or a problem that names the rivals."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from mpmri_monai.catalogue.header import FileHeader
from mpmri_monai.catalogue.phases import families, match, same_grid
from mpmri_monai.catalogue.protocol import Dynamic, EchoPair, Physics, Protocol
from mpmri_monai.catalogue.record import Caution, Evidence, Problem, VolumeRecord

FAT_SHIFT = 3.4e-6
"""Chemical shift between the main peaks of fat and water (part of the imaging frequency)."""
PROTON_MHZ_PER_T = 42.577
"""Gyromagnetic ratio of the proton over 2 pi (MHz/T)."""
PHASE_TOLERANCE = 0.18
"""Farthest that fat may be from being in or out of phase with water (turns)."""
ECHO_PLANAR = "EP"

Assignment = dict[str, str]
"""Sequence -> id of its volume."""


def assign(
    volumes: Sequence[VolumeRecord], protocol: Protocol
) -> tuple[Assignment, tuple[VolumeRecord, ...], tuple[Problem, ...]]:
    """Give volumes the roles of ``protocol``.

    Returns:
        Roles, the volumes with their role and the evidence for and against it, and the problems met.
    """
    records = {volume.id: volume for volume in volumes}
    problems: list[Problem] = []
    roles: Assignment = {}
    dynamic: set[str] = set()
    if protocol.dynamic is not None:
        members = [family for family in families(volumes) if _is_dynamic(family, protocol.dynamic)]
        dynamic = {volume.id for family in members for volume in family}
        roles |= _dynamic(members, protocol.dynamic, records, problems)
    if protocol.echo_pair is not None:
        others = [volume for volume in volumes if volume.id not in dynamic]
        roles |= _echo_pair(others, protocol.echo_pair, records, problems)
    for sequence, physics in protocol.singles:
        fitting = []
        for volume in volumes:
            evidence = physics_evidence(volume.files[0], physics, sequence)
            _note(records, volume, *evidence)
            if all(entry.outcome == "fits" for entry in evidence):
                fitting.append(volume)
        roles |= _only_one(sequence, fitting, problems)
    by_volume = {volume: sequence for sequence, volume in roles.items()}
    named = tuple(replace(record, role=by_volume.get(record.id)) for record in records.values())
    return {name: roles[name] for name in protocol.sequences if name in roles}, named, tuple(problems)


def may_fit(headers: Iterable[FileHeader], protocol: Protocol) -> bool:
    """Whether images could have a role by their physics; any may in a protocol without roles."""
    if not protocol.physics:
        return True
    return any(
        all(entry.outcome == "fits" for entry in physics_evidence(header, physics, ""))
        for header in headers
        for physics in protocol.physics
    )


def physics_evidence(header: FileHeader, physics: Physics, sequence: str) -> tuple[Evidence, ...]:
    """Compare an image with a description, one entry for each parameter."""

    def entry(rule: str, value: str, fits: bool) -> Evidence:
        return Evidence(f"{sequence}: {rule}", value or "none", "fits" if fits else "does not fit")

    kinds = header.scanning_sequence
    found = [
        entry(
            f"scanning sequence {physics.scanning_sequence}, not echo-planar",
            " ".join(kinds),
            physics.scanning_sequence in kinds and ECHO_PLANAR not in kinds,
        ),
        entry("magnitude image", header.component, header.component == "magnitude"),
    ]
    if physics.acquisition_type is not None:
        kind = header.acquisition_type
        found.append(entry(f"{physics.acquisition_type} acquisition", kind, kind == physics.acquisition_type))
    for name, limits, value in (
        ("echo time", physics.echo_time_ms, header.echo_time_ms),
        ("repetition time", physics.repetition_time_ms, header.repetition_time_ms),
    ):
        if limits is not None:
            low, high = limits
            fits = value is not None and low <= value <= high
            found.append(entry(f"{name} {low:g} to {high:g} ms", "" if value is None else f"{value:g} ms", fits))
    return tuple(found)


def _note(records: dict[str, VolumeRecord], volume: VolumeRecord, *evidence: Evidence) -> None:
    record = records[volume.id]
    records[volume.id] = replace(record, evidence=(*record.evidence, *evidence))


def _fits(volume: VolumeRecord, physics: Physics) -> bool:
    return all(entry.outcome == "fits" for entry in physics_evidence(volume.files[0], physics, ""))


def _only_one(sequence: str, fitting: Sequence[VolumeRecord], problems: list[Problem]) -> Assignment:
    if len(fitting) == 1:
        return {sequence: fitting[0].id}
    if fitting:
        count, numbers = len(fitting), series_numbers(fitting)
        problems.append(Problem("E_ROLE", f"{count} volumes fit {sequence} ({numbers}); exactly one may"))
    return {}


def series_numbers(volumes: Iterable[VolumeRecord]) -> str:
    """Series numbers of volumes in words."""
    numbers = sorted({-1 if volume.series_number is None else volume.series_number for volume in volumes})
    texts = ["without number" if number < 0 else str(number) for number in numbers]
    return f"series {' and '.join(texts)}"


# -- dynamic phases -----------------------------------------------------------


def _is_dynamic(family: Sequence[VolumeRecord], dynamic: Dynamic) -> bool:
    return len(family) >= dynamic.minimum_volumes and all(_fits(volume, dynamic.physics) for volume in family)


def _dynamic(
    candidates: Sequence[Sequence[VolumeRecord]],
    dynamic: Dynamic,
    records: dict[str, VolumeRecord],
    problems: list[Problem],
) -> Assignment:
    """Name the phases of the one dynamic acquisition."""
    first = dynamic.phases[0].sequence
    for family in candidates:
        for volume in family:
            _note(records, volume, *physics_evidence(volume.files[0], dynamic.physics, f"{first}..."))
    if len(candidates) != 1:
        if candidates:
            rivals = series_numbers(volume for family in candidates for volume in family)
            problems.append(Problem("E_ROLE", f"{len(candidates)} dynamic acquisitions on different grids ({rivals})"))
        return {}
    family = sorted(candidates[0], key=lambda volume: -1 if volume.phase is None else volume.phase)
    problem = _uneven(family)
    if problem is not None:
        problems.append(problem)
        return {}
    if any(volume.time_s is None for volume in family):
        return _phases_without_clock(family, dynamic, records, problems)
    times = [volume.time_s for volume in family if volume.time_s is not None]
    matched = match(times, dynamic.phases)
    if matched is None or len(family) != len(dynamic.phases):
        problems.append(_phase_problem(family, times, dynamic))
        return {}
    roles = {}
    for phase, index in zip(matched.phases, matched.volumes, strict=True):
        delay = f"{times[index] - matched.start_s:+.0f} s after the inferred start of contrast"
        _note(records, family[index], Evidence(f"{phase.sequence}: {phase.name} phase", delay, "fits"))
        roles[phase.sequence] = family[index].id
    return roles


def _uneven(family: Sequence[VolumeRecord]) -> Problem | None:
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


def _phases_without_clock(
    family: Sequence[VolumeRecord], dynamic: Dynamic, records: dict[str, VolumeRecord], problems: list[Problem]
) -> Assignment:
    count, wanted = len(family), len(dynamic.phases)
    if count != wanted or [volume.phase for volume in family] != list(range(count)):
        message = f"found {count} phases without a usable clock or order ({series_numbers(family)}); expected {wanted}"
        problems.append(Problem("E_PHASE", message))
        return {}
    names = f"{dynamic.phases[0].sequence} to {dynamic.phases[-1].sequence}"
    for volume in family:
        caution = Caution("W_PHASE_ORDER", f"{wanted} phases and no usable time; took their order for {names}")
        records[volume.id] = replace(records[volume.id], warnings=(*records[volume.id].warnings, caution))
    return {phase.sequence: volume.id for phase, volume in zip(dynamic.phases, family, strict=True)}


def _phase_problem(family: Sequence[VolumeRecord], times: Sequence[float], dynamic: Dynamic) -> Problem:
    """Say how many phases there are, when, and which is missing or too many."""
    matched = match(times, dynamic.phases)
    found = f"found {len(family)} phases at {', '.join(f'{time:.0f}' for time in times)} s ({series_numbers(family)})"
    expected = f"expected {len(dynamic.phases)}"
    if matched is None:
        delays = ", ".join(f"{phase.sequence} {phase.name}" for phase in dynamic.phases)
        return Problem("E_PHASE", f"{found}; {expected}; their times do not fit {delays}")
    missing = [f"{phase.sequence} ({phase.name})" for phase in dynamic.phases if phase not in matched.phases]
    extra = [f"the one at {times[index]:.0f} s" for index in range(len(times)) if index not in matched.volumes]
    lacking = f"; {', '.join(missing)} is missing" if missing else ""
    too_many = f"; {', '.join(extra)} is too many" if extra else ""
    return Problem("E_PHASE", f"{found}; {expected}{lacking}{too_many}")


# -- in-phase and out-of-phase ------------------------------------------------


def fat_phase(header: FileHeader) -> tuple[float, str] | None:
    """Phase of fat against water at the echo (turns, 0 to 1) and "in", "out" or "between"; None without field or echo.

    Fat precesses 3.4 ppm slower than water; at the echo it lags by ``frac(TE * 3.4 ppm * f)`` turns. So the field
    decides: 2.3 ms is in phase at 3 T and out of phase at 1.5 T.
    """
    frequency = header.imaging_frequency_mhz or (header.field_strength_t or 0.0) * PROTON_MHZ_PER_T
    if header.echo_time_ms is None or frequency <= 0:
        return None
    turns = header.echo_time_ms * 1e-3 * FAT_SHIFT * frequency * 1e6 % 1.0
    if min(turns, 1.0 - turns) <= PHASE_TOLERANCE:
        return turns, "in"
    return turns, "out" if abs(turns - 0.5) <= PHASE_TOLERANCE else "between"


def _echo_pair(
    volumes: Sequence[VolumeRecord], pair: EchoPair, records: dict[str, VolumeRecord], problems: list[Problem]
) -> Assignment:
    """Find the in-phase and the out-of-phase volume: two echoes on one grid if there are, else single volumes."""
    candidates = [volume for volume in volumes if _fits(volume, pair.physics)]
    phases = {}
    for volume in candidates:
        found = fat_phase(volume.files[0])
        phases[volume.id] = found[1] if found else "unknown"
        value = f"{found[0]:.2f} turns" if found else "no echo time or field strength"
        _note(records, volume, Evidence("phase of fat against water at the echo", value, phases[volume.id]))
    pairs = _echo_groups(candidates)
    for group in pairs:
        if sorted(phases[volume.id] for volume in group) != ["in", "out"]:
            problems.append(_pair_problem(group, phases))
            return {}
    if pairs:
        candidates = [volume for group in pairs for volume in group]
    roles: Assignment = {}
    for sequence, wanted in ((pair.in_phase, "in"), (pair.out_of_phase, "out")):
        roles |= _only_one(sequence, [volume for volume in candidates if phases[volume.id] == wanted], problems)
    return roles


def _echo_groups(candidates: Sequence[VolumeRecord]) -> list[list[VolumeRecord]]:
    """Groups of volumes on one grid with at least two echo times."""
    groups: list[list[VolumeRecord]] = []
    for volume in candidates:
        home = next((group for group in groups if same_grid(group[0], volume)), None)
        if home is None:
            groups.append([volume])
        else:
            home.append(volume)
    return [group for group in groups if len({volume.echo_time_ms for volume in group}) > 1]


def _pair_problem(group: Sequence[VolumeRecord], phases: dict[str, str]) -> Problem:
    echoes = ", ".join(
        f"{volume.echo_time_ms:g} ms ({phases[volume.id]})"
        for volume in sorted(group, key=lambda volume: volume.echo_time_ms or 0.0)
    )
    return Problem("E_IPOP", f"expected one in-phase and one out-of-phase echo; found {echoes}", group[0].series_number)
