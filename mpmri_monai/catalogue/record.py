"""What a catalogue holds: volumes with their evidence, other objects, what was set aside, and problems."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from mpmri_monai.catalogue.headers.header import FileHeader
from mpmri_monai.errors import CatalogueError

SCHEMA = "mpmri-monai/catalogue/1"


@dataclass(frozen=True)
class Evidence:
    """One decision about a volume: the rule, the value that it met, and what followed."""

    rule: str
    value: str
    outcome: str


@dataclass(frozen=True)
class Caution:
    """A finding that does not stop the use of a volume."""

    code: str
    message: str


@dataclass(frozen=True)
class Problem:
    """A finding that makes a series unusable, or leaves a role open."""

    code: str
    message: str
    series_number: int | None = None

    def __str__(self) -> str:
        series = "" if self.series_number is None else f" (series {self.series_number})"
        return f"{self.code}{series}: {self.message}"


@dataclass(frozen=True)
class Rival:
    """A volume that could have had a role, and why another one has it."""

    volume: str
    series_number: int | None
    why: str


@dataclass(frozen=True)
class Decision:
    """Why a role went to a volume."""

    role: str
    volume: str
    """Id of the volume that has the role."""
    rule: str
    """What was asked of it."""
    value: str
    """What it met."""
    rivals: tuple[Rival, ...] = ()


@dataclass(frozen=True)
class Unresolved:
    """A role that stays open although there are candidates: neither the physics nor a rule of the site decides."""

    role: str
    candidates: tuple[str, ...]
    """Ids of the volumes."""
    series_numbers: tuple[int | None, ...]
    """Of the candidates, in the same order."""
    why: str


@dataclass(frozen=True)
class SetAside:
    """Files that are left out on purpose, and why."""

    series_number: int | None
    why: str


@dataclass(frozen=True)
class ObjectRecord:
    """A DICOM object that is no image, such as a segmentation."""

    path: Path
    kind: str
    """SEG, RTSTRUCT, SR, ..."""
    series_number: int | None
    volume: str | None
    """Id of the one volume whose images the object refers to; None when there is none or more than one."""


@dataclass(frozen=True)
class VolumeRecord:
    """One stack of parallel, evenly spaced slices: a series, or one echo, phase or component of it."""

    id: str
    """Does not change when files are renamed or moved."""
    series_number: int | None
    role: str | None
    rows: int
    columns: int
    slices: int
    spacing_mm: tuple[float, float, float]
    """Distance between rows, columns and slices."""
    orientation: str
    echo_time_ms: float | None
    component: str
    phase: int | None
    """Index among volumes of one acquisition on one grid, in time order."""
    time_s: float | None
    """Seconds since the first of these phases."""
    split_by: tuple[str, ...]
    """DICOM attributes that told this volume from others of its series."""
    evidence: tuple[Evidence, ...]
    warnings: tuple[Caution, ...]
    files: tuple[FileHeader, ...] = field(repr=False)
    """In the order of the slices, along the normal."""
    affine: np.ndarray = field(repr=False, compare=False)
    """(4, 4) float64, voxel index (column, row, slice) -> RAS+ mm."""
    split_order: tuple[float, ...] = field(repr=False, default=())
    """Place along each splitting axis; orders volumes of one series when no clock does."""
    nifti: Path | None = field(repr=False, default=None)
    """The file of a volume that is no DICOM; it has no headers then (``files == ()``)."""
    source: object | None = field(repr=False, compare=False, default=None)
    """Keeps the private folder of an unpacked archive alive for as long as the volume is used."""

    @property
    def header(self) -> FileHeader | None:
        """Header of the first slice, which speaks for the volume; None for NIfTI."""
        return self.files[0] if self.files else None

    def to_json(self) -> dict[str, Any]:
        """Return what a person may read: no path, identifier or clock time."""
        return {
            "id": self.id,
            "series_number": self.series_number,
            "role": self.role,
            "rows": self.rows,
            "columns": self.columns,
            "slices": self.slices,
            "spacing_mm": [round(value, 4) for value in self.spacing_mm],
            "orientation": self.orientation,
            "echo_time_ms": self.echo_time_ms,
            "component": self.component,
            "phase": self.phase,
            "time_s": self.time_s,
            "split_by": list(self.split_by),
            "files": 1 if self.nifti else len(self.files),
            "evidence": [asdict(entry) for entry in self.evidence],
            "warnings": [asdict(entry) for entry in self.warnings],
        }


@dataclass(frozen=True)
class Catalogue:
    """The series and phases of one study, and which sequence of the protocol each of them is."""

    folder: Path
    protocol: str
    """Name of the protocol that the roles are from."""
    roles: dict[str, str]
    """Sequence -> id of its volume, in the order of the protocol."""
    volumes: tuple[VolumeRecord, ...]
    set_aside: tuple[SetAside, ...]
    problems: tuple[Problem, ...]
    objects: tuple[ObjectRecord, ...] = ()
    decisions: tuple[Decision, ...] = ()
    """Why each role went to its volume, in the order of the protocol."""
    unresolved: tuple[Unresolved, ...] = ()
    """Roles left open with their candidates."""
    sequences: tuple[str, ...] = ()
    """Roles that the protocol asks for."""
    optional: tuple[str, ...] = ()
    """Those of them that a rule of the site allows to be absent."""
    source: object | None = field(default=None, repr=False, compare=False)
    """Keeps the private folder of an unpacked archive alive for as long as the catalogue is used."""

    def volume(self, wanted: str) -> VolumeRecord:
        """Return the volume with the id ``wanted``; raise CatalogueError when there is none."""
        for volume in self.volumes:
            if volume.id == wanted:
                return volume if self.source is None else replace(volume, source=self.source)
        listed = f"{len(self.volumes)} others: {', '.join(volume.id for volume in self.volumes) or 'none'}"
        raise CatalogueError(
            expected=f"a volume {wanted}",
            found="; ".join([*map(str, self.problems), listed]),
            fix="scan the study again; a volume's id changes only when its images do",
            code="E_VOLUME",
        )

    @property
    def missing(self) -> tuple[str, ...]:
        """Roles that no volume fills although none may be absent."""
        return tuple(name for name in self.sequences if name not in self.roles and name not in self.optional)

    @property
    def ok(self) -> bool:
        """Whether every role of the protocol is filled and nothing is wrong."""
        return not self.missing and not self.problems

    def require(self, sequences: Iterable[str]) -> None:
        """Raise CatalogueError, with everything that is wrong in one message, unless the study is fit for use.

        A study with a problem is not used at all: the series that could not be read may be the better candidate.
        """
        wanted = tuple(sequences)
        missing = [name for name in wanted if name not in self.roles]
        if not missing and not self.problems:
            return
        findings = [f"no volume for {', '.join(missing)}"] if missing else []
        findings.extend(map(str, self.problems))
        raise CatalogueError(
            expected=f"a study with {' '.join(wanted)}" if wanted else "a study without a problem",
            found="; ".join(findings),
            fix="run `mpmri scan` on the study's folder to see every series and why it was or was not chosen",
            code=self.problems[0].code if self.problems else "E_ROLE",
        )

    def to_json(self) -> dict[str, Any]:
        """Return the catalogue as JSON-like data, without paths or identifiers."""
        return {
            "schema": SCHEMA,
            "protocol": self.protocol,
            "roles": dict(self.roles),
            "volumes": [volume.to_json() for volume in self.volumes],
            "set_aside": [asdict(entry) for entry in self.set_aside],
            "problems": [asdict(entry) for entry in self.problems],
            "decisions": [asdict(entry) for entry in self.decisions],
            "unresolved": [asdict(entry) for entry in self.unresolved],
        }
