"""Scan a study: headers in, a catalogue out."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from mpmri_monai.catalogue.containers.nifti import nifti_volumes
from mpmri_monai.catalogue.containers.study_files import Contents, read_study
from mpmri_monai.catalogue.headers.header import FileHeader, ObjectHeader, Unreadable
from mpmri_monai.catalogue.headers.references import refers_to
from mpmri_monai.catalogue.record import Catalogue, Caution, ObjectRecord, VolumeRecord
from mpmri_monai.catalogue.roles.assignment import Assignment
from mpmri_monai.catalogue.roles.choose import assign
from mpmri_monai.catalogue.roles.protocol import Protocol
from mpmri_monai.catalogue.roles.protocol import protocol as protocol_named
from mpmri_monai.catalogue.roles.site_rules import IGNORE, SiteRules, read_site_rules
from mpmri_monai.catalogue.series.copies import without_copies
from mpmri_monai.catalogue.series.phases import families, in_time_order
from mpmri_monai.catalogue.series.sorting import Findings, sort_series

OBJECT_NAMES = {
    "ENHANCED": "enhanced multi-frame images, which this version does not read",
    "MULTI": "an image with colours or several frames, which this version does not read",
    "SEG": "a segmentation (SEG)",
    "RTSTRUCT": "contours (RTSTRUCT)",
    "SR": "a structured report (SR)",
    "KO": "a key object selection (KO)",
    "PR": "a presentation state (PR)",
    "SC": "a screen capture (SC)",
    "RAW": "raw data",
    "DICOMDIR": "an index (DICOMDIR)",
    "OTHER": "no MR image",
}


def scan(
    study: Path,
    protocol: str | Path = "liver",
    site_rules: Path | SiteRules | None = None,
    progress: bool = False,
    study_number: int | None = None,
) -> Catalogue:
    """Find out which series and phase of a study is which sequence, from the headers alone.

    Args:
        study: a folder, a zip or tar archive or a single file that holds one study, in any order, under any file names.
        protocol: "liver", "brain", "prostate", a YAML file, or "none" to list the volumes only.
        site_rules: the rules of the site that the study is from, or their file.
        progress: whether to show a progress bar on standard error.
        study_number: which study to take where there are several (from 1).

    Returns:
        The catalogue. What is wrong with single series is in its ``problems``. Pixels are read only to tell whether two
        images or volumes that agree in all else are the same, and a few slices of each phase to see the signal rise.

    Raises:
        CatalogueError: nothing is there that can be read, more than one patient or study, or a study beyond the limits.
        ConfigError: no such protocol, or rules that are not as they should be.
    """
    folder, wanted, fixed, naming = Path(study), protocol_named(protocol), {}, {}
    if site_rules is not None:
        rules = site_rules if isinstance(site_rules, SiteRules) else read_site_rules(site_rules)
        wanted, fixed, naming = rules.applied_to(wanted), rules.volumes, rules.nifti
    contents = read_study(folder, progress, study_number=study_number)
    findings = Findings(wanted)
    for images, unreadable in _by_series(contents):
        sort_series(images, unreadable, findings)
    originals, copies = without_copies(sorted(_told_apart(findings.volumes), key=_listing))
    given = assign([*_in_phases(originals), *copies], wanted, {copy.id: IGNORE for copy in copies} | dict(fixed))
    if contents.nifti:
        _name_nifti(contents, wanted, naming, fixed, given, findings)
    _warn_of_frames(given)
    volumes = tuple(given.records.values())
    _list_set_aside(contents, volumes, fixed, findings)
    return Catalogue(
        folder=folder,
        protocol=wanted.name,
        roles=given.roles,
        volumes=volumes,
        set_aside=tuple(sorted(findings.set_aside, key=lambda entry: (_last(entry.series_number), entry.why))),
        problems=(
            *sorted(findings.problems, key=lambda entry: (_last(entry.series_number), entry.code)),
            *given.problems,
        ),
        objects=tuple(_object_record(item, volumes) for item in contents.objects),
        decisions=tuple(given.decisions),
        unresolved=tuple(given.unresolved),
        sequences=wanted.sequences,
        optional=wanted.dynamic.allow_missing if wanted.dynamic else (),
        source=contents.unpacked,
    )


def _name_nifti(
    contents: Contents,
    wanted: Protocol,
    naming: Mapping[str, str],
    fixed: Mapping[str, str],
    given: Assignment,
    findings: Findings,
) -> None:
    """Add the volumes of a study that is kept as NIfTI, which have their roles by their files' names."""
    volumes, set_aside, problems = nifti_volumes(contents.nifti, wanted.sequences, naming, fixed)
    given.records |= {volume.id: volume for volume in volumes}
    given.problems.extend(problems)
    findings.set_aside.extend(set_aside)
    by_role = {volume.role: volume for volume in volumes if volume.role}
    for role in wanted.sequences:
        if role in by_role:
            volume = by_role[role]
            by_person = volume.id in fixed
            rule = "fixed by the site's rules" if by_person else "the file's name"
            given.give(role, volume, rule, f"volume {volume.id}" if by_person else "as in the naming table")


def _warn_of_frames(given: Assignment) -> None:
    """Say which sequences have positions in another frame of reference than most of them."""
    frames = {name: volume.header.frame_of_reference for name, volume in given.records.items() if volume.header}
    own = {role: frame for role, name in given.roles.items() if (frame := frames.get(name))}
    if len(set(own.values())) < 2:
        return
    usual = Counter(own.values()).most_common(1)[0][0]
    others = " ".join(role for role, frame in own.items() if frame == usual)
    message = f"in another frame of reference than {others}: if the patient was moved, a lesion lies elsewhere in it"
    moved = [given.records[given.roles[role]] for role, frame in own.items() if frame != usual]
    given.warn(moved, Caution("W_FRAME", message))


def _list_set_aside(
    contents: Contents, volumes: Sequence[VolumeRecord], fixed: Mapping[str, str], findings: Findings
) -> None:
    """List what is left out on purpose besides whole series."""
    for item in contents.objects:
        findings.leave_out(item.series_number, OBJECT_NAMES[item.kind])
    for volume in volumes:
        if fixed.get(volume.id) == IGNORE:
            findings.leave_out(volume.series_number, f"volume {volume.id}, which the site's rules ignore")
    for why in contents.passed_over:
        findings.leave_out(None, why)


def _by_series(contents: Contents) -> list[tuple[list[FileHeader], list[Unreadable]]]:
    series: dict[str, tuple[list[FileHeader], list[Unreadable]]] = {}
    for image in contents.images:
        series.setdefault(image.series, ([], []))[0].append(image)
    for item in contents.unreadable:
        series.setdefault(item.series, ([], []))[1].append(item)
    return [series[key] for key in sorted(series)]


def _in_phases(volumes: Sequence[VolumeRecord]) -> tuple[VolumeRecord, ...]:
    """Order the volumes of each acquisition in time, then all volumes by series, phase and echo."""
    ordered: list[VolumeRecord] = []
    for family in families(volumes):
        ordered.extend(in_time_order(family))
    return tuple(sorted(ordered, key=_listing))


def _told_apart(volumes: Sequence[VolumeRecord]) -> list[VolumeRecord]:
    """Give volumes whose images carry the same identifiers, which is against the standard, ids of their own."""
    count = Counter(volume.id for volume in volumes)
    return [volume if count[volume.id] == 1 else replace(volume, id=_other_id(volume)) for volume in volumes]


def _other_id(volume: VolumeRecord) -> str:
    first = volume.files[0]
    what = (
        volume.id,
        first.series,
        volume.split_by,
        volume.split_order,
        volume.slices,
        first.position,
        first.orientation,
    )
    return "v" + hashlib.sha256(repr(what).encode()).hexdigest()[:10]


def _listing(volume: VolumeRecord) -> tuple:
    phase = -1 if volume.phase is None else volume.phase
    return _last(volume.series_number), phase, volume.split_order, volume.id


def _last(number: int | None) -> float:
    return float("inf") if number is None else number


def _object_record(item: ObjectHeader, volumes: tuple[VolumeRecord, ...]) -> ObjectRecord:
    hit = [
        volume.id for volume in volumes if any(refers_to(item.referenced, header.instance) for header in volume.files)
    ]
    return ObjectRecord(item.path, item.kind, item.series_number, hit[0] if len(hit) == 1 else None)
