"""Roles as they are given to volumes, one after the other, with the reasons for and against."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from mpmri_monai.catalogue.record import Caution, Decision, Evidence, Problem, Rival, Unresolved, VolumeRecord


@dataclass
class Assignment:
    """What the volumes of a study come to under a protocol."""

    records: dict[str, VolumeRecord]
    """Id -> volume, with the evidence gathered so far."""
    roles: dict[str, str] = field(default_factory=dict)
    """Sequence -> id of its volume."""
    decisions: list[Decision] = field(default_factory=list)
    unresolved: list[Unresolved] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def note(self, volume: VolumeRecord, *evidence: Evidence) -> None:
        """Add evidence to a volume."""
        record = self.records[volume.id]
        self.records[volume.id] = replace(record, evidence=(*record.evidence, *evidence))

    def warn(self, volumes: Iterable[VolumeRecord], caution: Caution) -> None:
        """Add a caution to volumes."""
        for volume in volumes:
            record = self.records[volume.id]
            self.records[volume.id] = replace(record, warnings=(*record.warnings, caution))

    def give(self, role: str, volume: VolumeRecord, rule: str, value: str, rivals: Iterable[Rival] = ()) -> None:
        """Give a role to a volume."""
        self.roles[role] = volume.id
        self.decisions.append(Decision(role, volume.id, rule, value, tuple(rivals)))

    def leave_open(self, roles: Sequence[str], candidates: Iterable[VolumeRecord], problem: Problem) -> None:
        """Leave roles open that have candidates, and say why."""
        found = sorted(candidates, key=lambda volume: (_number(volume), volume.id))
        self.problems.append(problem)
        for role in roles:
            ids, numbers = tuple(volume.id for volume in found), tuple(volume.series_number for volume in found)
            self.unresolved.append(Unresolved(role, ids, numbers, f"{problem.code}: {problem.message}"))

    def take_back(self, role: str, problem: Problem) -> None:
        """Open a role again that was given to a volume."""
        volume = self.records[self.roles.pop(role)]
        self.decisions = [decision for decision in self.decisions if decision.role != role]
        self.leave_open((role,), (volume,), problem)


def rival(volume: VolumeRecord, why: str) -> Rival:
    """A volume that could have had a role."""
    return Rival(volume.id, volume.series_number, why)


def series_numbers(volumes: Iterable[VolumeRecord]) -> str:
    """Series numbers of volumes in words."""
    numbers = sorted({_number(volume) for volume in volumes})
    texts = ["without number" if number < 0 else str(number) for number in numbers]
    return f"series {' and '.join(texts)}"


def _number(volume: VolumeRecord) -> int:
    return -1 if volume.series_number is None else volume.series_number
