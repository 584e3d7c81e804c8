"""Studies that are kept as NIfTI: one file for each sequence, told apart by their names."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from mpmri_monai.artefacts import file_digest
from mpmri_monai.catalogue.containers.files import StudyFile, nifti_suffix
from mpmri_monai.catalogue.containers.nifti_file import open_nifti
from mpmri_monai.catalogue.record import Evidence, Problem, SetAside, VolumeRecord
from mpmri_monai.catalogue.series.slices import plane_name
from mpmri_monai.errors import GeometryError


def nifti_volumes(
    files: Sequence[StudyFile],
    sequences: Sequence[str],
    naming: Mapping[str, str] | None = None,
    fixed: Mapping[str, str] | None = None,
) -> tuple[tuple[VolumeRecord, ...], tuple[SetAside, ...], tuple[Problem, ...]]:
    """Find out which NIfTI file is which sequence, by its name. A NIfTI header says nothing about the acquisition.

    Args:
        files: of the study.
        sequences: roles of the protocol.
        naming: sequence -> pattern with ``*`` and ``?`` that the file's name or its path within the study, with or
            without the ending, has to fit, in whatever case. A sequence that is not in the table has a file that is
            called like it, or whose name ends in ``_`` and it.
        fixed: volume id -> the role that a person gave it, whatever any name says; what is no role leaves it without.

    Returns:
        Volumes, with their roles; what cannot be read and has no role; and problems. No file name is in any of them.
    """
    set_aside: list[SetAside] = []
    problems: list[Problem] = []
    readable: list[tuple[StudyFile, VolumeRecord]] = []
    for place, file in enumerate(sorted(files, key=lambda file: file.name), start=1):
        try:
            readable.append((file, _volume(file, f"{place} of {len(files)}")))
        except GeometryError as error:
            roles = _by_name(file, sequences, naming or {})
            if roles:
                problems.append(Problem(error.code or "E_NIFTI", f"the file of {' and '.join(roles)}: {error.found}"))
            else:
                set_aside.append(SetAside(None, f"a NIfTI file that no sequence is named by: {error.found}"))
    volumes = _in_roles(readable, sequences, naming or {}, fixed or {}, problems)
    return volumes, tuple(set_aside), tuple(sorted(problems, key=str))


def _in_roles(
    readable: Sequence[tuple[StudyFile, VolumeRecord]],
    sequences: Sequence[str],
    naming: Mapping[str, str],
    fixed: Mapping[str, str],
    problems: list[Problem],
) -> tuple[VolumeRecord, ...]:
    """Give each role to the one volume that it belongs to. One image under several names is one volume."""
    given = {fixed[volume.id] for _, volume in readable if volume.id in fixed}
    open_roles = [sequence for sequence in sequences if sequence not in given]
    volumes: dict[str, VolumeRecord] = {}
    for file, volume in readable:
        roles = _by_name(file, open_roles, naming)
        rule = "the file's name"
        if volume.id in fixed:
            roles, rule = [role for role in sequences if role == fixed[volume.id]], "fixed by the site's rules"
        if len(roles) > 1:
            problems.append(Problem("E_ROLE", f"the name of one file ({volume.id}) fits {' and '.join(roles)}"))
            roles = []
        known = volumes.get(volume.id)
        if known is None or (known.role is None and roles):
            volumes[volume.id] = _named(volume, roles, rule)
        elif roles and known.role != roles[0]:
            problems.append(Problem("E_DUP", f"{known.role} and {roles[0]} are the same file twice ({volume.id})"))
    for sequence in sequences:
        rivals = sorted(volume.id for volume in volumes.values() if volume.role == sequence)
        if len(rivals) > 1:
            message = f"{len(rivals)} files fit {sequence} ({', '.join(rivals)}); exactly one may"
            problems.append(Problem("E_ROLE", message))
            volumes |= {name: replace(volumes[name], role=None) for name in rivals}
    return tuple(sorted(volumes.values(), key=lambda volume: volume.id))


def _by_name(file: StudyFile, sequences: Sequence[str], naming: Mapping[str, str]) -> list[str]:
    return [sequence for sequence in sequences if _fits(file.name, sequence, naming)]


def _fits(name: str, sequence: str, naming: Mapping[str, str]) -> bool:
    path = name.replace("\\", "/").removeprefix("./").lower()
    stem = path.removesuffix(nifti_suffix(path))
    last = stem.rsplit("/", maxsplit=1)[-1]
    if sequence in naming:
        texts = (path, stem, path.rsplit("/", maxsplit=1)[-1], last)
        return any(fnmatch.fnmatchcase(text, naming[sequence].lower()) for text in texts)
    return last.rsplit("_", maxsplit=1)[-1] == sequence.lower()


def _named(volume: VolumeRecord, roles: Sequence[str], rule: str) -> VolumeRecord:
    if not roles:
        return volume
    return replace(volume, role=roles[0], evidence=(*volume.evidence, Evidence(f"{roles[0]}: {rule}", "", "fits")))


def _volume(file: StudyFile, place: str) -> VolumeRecord:
    """Describe a file by its header and its ``place`` in the list of files, as its name cannot be told."""
    nifti = open_nifti(file.path)
    columns, rows, slices = nifti.shape
    along_columns, along_rows, along_slices = nifti.affine[:3, :3].T
    normal = np.cross(along_columns, along_rows)
    normal /= np.linalg.norm(normal)
    spacing = float(np.linalg.norm(along_rows)), float(np.linalg.norm(along_columns)), abs(float(normal @ along_slices))
    return VolumeRecord(
        id="v" + file_digest(file.path)[:10],
        series_number=None,
        role=None,
        rows=rows,
        columns=columns,
        slices=slices,
        spacing_mm=spacing,
        orientation=plane_name(normal),
        echo_time_ms=None,
        component="",
        phase=None,
        time_s=None,
        split_by=(),
        evidence=(
            Evidence("NIfTI file by the order of names", place, "which file this is"),
            Evidence("3D image with one geometry in mm", "header", "holds"),
        ),
        warnings=(),
        files=(),
        affine=nifti.affine,
        nifti=file.path,
    )
