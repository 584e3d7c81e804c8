"""Which volume is which sequence of a protocol: one candidate for each role, or a problem that names the rivals."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import replace

from mpmri_monai.catalogue.record import Caution, Evidence, Problem, Rival, VolumeRecord
from mpmri_monai.catalogue.roles.assignment import Assignment, rival, series_numbers
from mpmri_monai.catalogue.roles.conditions import FAT_PHASES, IN_WORDS, KIND_RULE, Conditions, fat_phase
from mpmri_monai.catalogue.roles.contrast import ContrastState, contrast_states
from mpmri_monai.catalogue.roles.dynamic import is_dynamic, name_phases
from mpmri_monai.catalogue.roles.protocol import Dynamic, EchoPair, Protocol, Role
from mpmri_monai.catalogue.series.phases import acquired_s, families, same_excitation, same_grid

TIME_SERIES = 4
"""This many volumes of one acquisition are a time series (count)."""


def assign(volumes: Sequence[VolumeRecord], protocol: Protocol, fixed: Mapping[str, str] | None = None) -> Assignment:
    """Give volumes the roles of ``protocol``.

    Args:
        volumes: of one study, in phases.
        protocol: with the rules of the site, if it has any.
        fixed: volume id -> the role that a person gave it, or ``ignore``.

    Returns:
        Roles in the order of the protocol, the volumes with their role and the evidence for and against it, decisions,
        and what stays open.
    """
    fixed = fixed or {}
    given = Assignment({volume.id: volume for volume in volumes})
    _fix(volumes, fixed, given)
    free = [volume for volume in volumes if volume.id not in fixed]
    dynamic: set[str] = set()
    if protocol.dynamic is not None:
        open_phases = [phase for phase in protocol.dynamic.phases if phase.sequence not in given.roles]
        found = [family for family in families(free) if is_dynamic(family, protocol.dynamic, open_phases)]
        dynamic = {volume.id for family in found for volume in family}
        if open_phases:
            fixed_phases = [
                given.records[given.roles[p.sequence]] for p in protocol.dynamic.phases if p not in open_phases
            ]
            name_phases(found, protocol.dynamic, open_phases, fixed_phases, given)
    if protocol.echo_pair is not None:
        others = [volume for volume in free if volume.id not in dynamic]
        _echo_pair(others, protocol.echo_pair, protocol.dynamic, _contrast_s(protocol.dynamic, given), given)
    _singles(free, dynamic, protocol, given)
    _each_one_role(given)
    return _in_order(given, protocol)


def _fix(volumes: Sequence[VolumeRecord], fixed: Mapping[str, str], given: Assignment) -> None:
    """Give the roles that a person fixed."""
    wanted = Counter(fixed[volume.id] for volume in volumes if volume.id in fixed)
    for volume in volumes:
        role = fixed.get(volume.id)
        if role is None or role == "ignore":
            continue
        if wanted[role] > 1:
            if role not in given.roles and all(entry.role != role for entry in given.unresolved):
                rivals = [other for other in volumes if fixed.get(other.id) == role]
                message = f"the site's rules fix {role} to {len(rivals)} volumes ({series_numbers(rivals)})"
                given.leave_open((role,), rivals, Problem("E_ROLE", message))
            continue
        given.note(volume, Evidence(f"{role}: fixed by the site's rules", volume.id, "fits"))
        given.give(role, volume, "fixed by the site's rules", f"volume {volume.id}")


def _each_one_role(given: Assignment) -> None:
    """Open the roles again that would share a volume: then none of them is decided."""
    for volume, count in Counter(given.roles.values()).items():
        if count > 1:
            roles = [role for role, own in given.roles.items() if own == volume]
            numbers = series_numbers([given.records[volume]])
            problem = Problem("E_ROLE", f"one volume ({numbers}) fits {' and '.join(roles)}; it can be only one")
            for role in roles:
                given.take_back(role, problem)
            given.problems = list(dict.fromkeys(given.problems))


def _in_order(given: Assignment, protocol: Protocol) -> Assignment:
    by_volume = {volume: role for role, volume in given.roles.items()}
    place = protocol.sequences.index
    return Assignment(
        records={name: replace(record, role=by_volume.get(name)) for name, record in given.records.items()},
        roles={name: given.roles[name] for name in protocol.sequences if name in given.roles},
        decisions=sorted(given.decisions, key=lambda decision: place(decision.role)),
        unresolved=sorted(given.unresolved, key=lambda entry: place(entry.role)),
        problems=given.problems,
    )


# -- roles of one volume each -----------------------------------------------------------------------------------------


def _singles(free: Sequence[VolumeRecord], dynamic: Set[str], protocol: Protocol, given: Assignment) -> None:
    roles = {name: role for name, role in protocol.roles.items() if name not in given.roles}
    fitting: dict[str, list[VolumeRecord]] = {}
    for name, role in roles.items():
        for volume in free:
            given.note(volume, *role.evidence(volume.files[0], name))
        fitting[name] = [volume for volume in free if volume.id not in dynamic and role.fits(volume.files[0])]
    in_question = {
        volume.id: volume for name, role in roles.items() if role.contrast for volume in _apart(fitting[name])
    }
    states = contrast_states(list(in_question.values()))
    for name, role in roles.items():
        candidates = fitting[name]
        if role.contrast:
            candidates = _by_contrast(name, role, _apart(candidates), states, given)
        _choose(name, role, candidates, _near_misses(name, role, free), given)
        state = states.get(given.roles.get(name, ""))
        if role.contrast and state is not None and state.inferred:
            message = f"taken as {role.contrast} contrast agent, which no header tells: {state.why}"
            given.warn((given.records[given.roles[name]],), Caution("W_CONTRAST", message))


def _apart(candidates: Iterable[VolumeRecord]) -> list[VolumeRecord]:
    """Leave out the volumes of time series, such as perfusion: they are before as well as after contrast."""
    kept = [family for family in families(list(candidates)) if len(family) < TIME_SERIES]
    return [volume for family in kept for volume in family]


def _by_contrast(
    name: str, role: Role, candidates: Sequence[VolumeRecord], states: Mapping[str, ContrastState], given: Assignment
) -> list[VolumeRecord]:
    """Keep the candidates made before or after contrast, as the role asks."""
    kept = []
    for volume in candidates:
        state = states[volume.id]
        fits = state.after == (role.contrast == "after")
        rule = f"{name}: {role.contrast} contrast agent"
        given.note(volume, Evidence(rule, state.why, "fits" if fits else "does not fit"))
        if fits:
            kept.append(volume)
    return kept


def _choose(name: str, role: Role, fitting: Sequence[VolumeRecord], near: Sequence[Rival], given: Assignment) -> None:
    """Give a role to the one volume that fits, or to the one that the role's rule chooses."""
    if not fitting:
        return
    if len(fitting) == 1:
        volume, rivals = fitting[0], []
    else:
        chosen = _chosen(role.choose, fitting)
        if chosen is None:
            message = f"{len(fitting)} volumes fit {name} ({series_numbers(fitting)}); exactly one may"
            given.leave_open((name,), fitting, Problem("E_ROLE", message))
            return
        volume = chosen
        rivals = [rival(other, f"fits too; chosen: {role.choose}") for other in fitting if other is not volume]
    met = list(role.met(volume.files[0]))
    rule, value = "; ".join(rule for rule, _, _ in met), "; ".join(value for _, value, _ in met)
    if role.contrast:
        rule, value = f"{rule}; {role.contrast} contrast agent", f"{value}; {role.contrast}"
    given.give(name, volume, rule, value, (*rivals, *near))


def _chosen(choice: str | None, fitting: Sequence[VolumeRecord]) -> VolumeRecord | None:
    """The one volume of several that a role's rule chooses; None when there is no rule or it does not decide."""
    if choice is None:
        return None
    values = [volume.files[0].b_value if choice == "highest b-value" else acquired_s(volume) for volume in fitting]
    known = [value for value in values if value is not None]
    if len(known) < len(fitting):
        return None
    best = min(known) if choice == "first" else max(known)
    chosen = [volume for volume, value in zip(fitting, known, strict=True) if value == best]
    if choice == "highest b-value" and len(chosen) > 1:  # the single directions that a trace was made of come with it
        chosen = [volume for volume in chosen if volume.files[0].image_kind == "trace"]
    return chosen[0] if len(chosen) == 1 else None


def _near_misses(name: str, role: Conditions, volumes: Sequence[VolumeRecord]) -> list[Rival]:
    """Volumes that miss one condition only, and not the kind of image: what a person would ask about."""
    found = []
    for volume in volumes:
        missed = [(rule, value) for rule, value, fits in role.met(volume.files[0]) if not fits]
        if len(missed) == 1 and not missed[0][0].startswith(KIND_RULE):
            found.append(rival(volume, f"not {missed[0][0]}: {missed[0][1] or 'none'}"))
    return found


# -- in-phase and out-of-phase ----------------------------------------------------------------------------------------


def _contrast_s(dynamic: Dynamic | None, given: Assignment) -> float | None:
    """When the first phase with contrast was acquired, on the scanner's clock (s); None when that is not known."""
    later = [phase.sequence for phase in dynamic.phases[1:]] if dynamic else []
    times = [acquired_s(given.records[given.roles[name]]) for name in later if name in given.roles]
    return min((time for time in times if time is not None), default=None)


def _echo_pair(
    volumes: Sequence[VolumeRecord],
    pair: EchoPair,
    dynamic: Dynamic | None,
    contrast_s: float | None,
    given: Assignment,
) -> None:
    """Find the in-phase and the out-of-phase volume: two of one acquisition if there are, else single volumes."""
    open_roles = {
        wanted: role for wanted, role in (("in", pair.in_phase), ("out", pair.out_of_phase)) if role not in given.roles
    }
    if not open_roles:
        return
    candidates = _before_contrast(
        _once([volume for volume in volumes if pair.conditions.fits(volume.files[0])]), contrast_s
    )
    phases, grounds = {}, {}
    for volume in candidates:
        grounds[volume.id], phases[volume.id] = fat_phase(volume.files[0])
        rule = "phase of fat against water at the echo"
        given.note(volume, Evidence(rule, grounds[volume.id], phases[volume.id]))
    groups = _echo_groups(candidates)
    pairs = [group for group in groups if sorted(phases[volume.id] for volume in group) == ["in", "out"]]
    if groups and not pairs and len(open_roles) == 2:
        given.leave_open(tuple(open_roles.values()), groups[0], _pair_problem(groups[0], phases))
        return
    # An echo as short as that of the dynamic phases is in or out of phase by chance, unless the scanner names it.
    alone = [volume for volume in candidates if not (dynamic and _could_be_phase(volume, dynamic))]
    paired = [volume for group in pairs or groups for volume in group] or alone
    for wanted, role in open_roles.items():
        fitting = [volume for volume in paired if phases[volume.id] == wanted]
        if len(fitting) > 1:
            message = f"{len(fitting)} volumes fit {role} ({series_numbers(fitting)}); exactly one may"
            given.leave_open((role,), fitting, Problem("E_ROLE", message))
        elif fitting:
            others = [
                rival(volume, "no echo of just one other phase on its grid")
                for volume in candidates
                if phases[volume.id] == wanted and volume not in paired
            ]
            rule = f"gradient echo with fat {IN_WORDS[wanted]}" + (", one of a pair" if pairs else "")
            given.give(role, fitting[0], rule, grounds[fitting[0].id], others)


def _could_be_phase(volume: VolumeRecord, dynamic: Dynamic) -> bool:
    header = volume.files[0]
    return header.image_kind not in FAT_PHASES and dynamic.conditions.fits(header)


def _before_contrast(candidates: Sequence[VolumeRecord], contrast_s: float | None) -> Sequence[VolumeRecord]:
    """Leave out volumes acquired after contrast, where there are in-phase and out-of-phase ones from before it."""
    times = {volume.id: acquired_s(volume) for volume in candidates}
    if contrast_s is None or None in times.values():
        return candidates
    before = [volume for volume in candidates if (times[volume.id] or 0.0) < contrast_s]
    return before if {"in", "out"} <= {fat_phase(volume.files[0])[1] for volume in before} else candidates


def _once(candidates: Sequence[VolumeRecord]) -> list[VolumeRecord]:
    """Leave out time series: their short echoes are in or out of phase by chance.

    Only where a Dixon time series gives in-phase and out-of-phase images for each phase, and there are no others, its
    images before contrast count.
    """
    found = families(candidates)
    series = [family for family in found if len(family) >= TIME_SERIES and family[0].files[0].image_kind in FAT_PHASES]
    others = [volume for family in found if len(family) < TIME_SERIES for volume in family]
    return others or [volume for family in series for volume in family if volume.phase == 0]


def _echo_groups(candidates: Sequence[VolumeRecord]) -> list[list[VolumeRecord]]:
    """Groups of volumes of one excitation on one grid with at least two echo times, or two kinds of image."""
    groups: list[list[VolumeRecord]] = []
    for volume in candidates:
        home = next((g for g in groups if same_excitation(g[0], volume) and same_grid(g[0], volume)), None)
        if home is None:
            groups.append([volume])
        else:
            home.append(volume)
    return [group for group in groups if len({_echo(volume) for volume in group}) > 1]


def _echo(volume: VolumeRecord) -> tuple[float | None, str]:
    kind = volume.files[0].image_kind
    return (None, kind) if kind in FAT_PHASES else (volume.echo_time_ms, "")


def _pair_problem(group: Sequence[VolumeRecord], phases: Mapping[str, str]) -> Problem:
    echoes = ", ".join(
        f"{'no echo time' if volume.echo_time_ms is None else f'{volume.echo_time_ms:g} ms'} ({phases[volume.id]})"
        for volume in sorted(group, key=lambda volume: volume.echo_time_ms or 0.0)
    )
    return Problem("E_IPOP", f"expected one in-phase and one out-of-phase echo; found {echoes}", group[0].series_number)
