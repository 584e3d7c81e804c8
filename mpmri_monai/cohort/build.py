"""Make a manifest from a folder of studies and a label table."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mpmri_monai.artefacts import digest, file_digest
from mpmri_monai.catalogue import Catalogue, VolumeRecord, scan
from mpmri_monai.catalogue.roles.protocol import protocol as protocol_named
from mpmri_monai.cohort.kept import FAILED, code_digest, kept_results
from mpmri_monai.cohort.labels import DEFAULT_CLASSES, REGION_COLUMNS, read_labels
from mpmri_monai.cohort.manifest import PROTOCOL, SCHEMA, Manifest, is_file_name, parse_manifest, rules_file
from mpmri_monai.cohort.signatures import signature_of
from mpmri_monai.errors import CatalogueError, ConfigError, ManifestError, MpmriError


@dataclass(frozen=True)
class Finding:
    """What is wrong with a study (``level`` "error") or worth knowing about it ("warning")."""

    level: str
    where: str
    message: str

    def __str__(self) -> str:
        return f"{self.where}: {self.message}"


@dataclass(frozen=True)
class _Job:
    """One study of the label table: everything that a worker needs."""

    folder: Path
    rows: tuple[dict[str, str], ...]
    label_keys: tuple[str, ...]
    sequences: tuple[str, ...]
    protocol: str
    rules: Path | None

    def key(self) -> str:
        """Return a word that changes with the study's files, its rows of the table, the rules and the code."""
        first = self.rows[0]
        named = [first["folder"], first["liver"], *(row["mask"] for row in self.rows)]
        rules = [file_digest(path) for path in (self.rules, _file_of(self.protocol)) if path is not None]
        content = [self.rows, self.label_keys, self.sequences, self.protocol, rules, str(self.folder.resolve())]
        return digest([code_digest(), *content, signature_of(filter(None, named), self.folder)])


def build_manifest(
    folder: Path,
    labels_csv: Path,
    name: str,
    *,
    classes: Mapping[str, Sequence[str]] = DEFAULT_CLASSES,
    truth: str | None = None,
    protocol: str = PROTOCOL,
    site_rules: Path | None = None,
    cache: Path | None = None,
    workers: int = 0,
    progress: bool = False,
) -> tuple[Manifest, list[Finding]]:
    """Scan every study that ``labels_csv`` names and return the cohort, without the studies that failed.

    A study may lack sequences. It fails when its folder or a mask is missing, or when the catalogue meets a problem
    that leaves a role in doubt; it is then left out as a whole.

    Args:
        folder: the cohort's folder; paths of the table and of the manifest are relative to it.
        labels_csv: the label table, see `read_labels`.
        name: of the cohort.
        classes: the classes of each label column, in order.
        truth: path of a generated cohort's truth table, relative to ``folder``.
        protocol: name of the protocol that fills the sequences, or the path of its file.
        site_rules: file with the rules of all sites, or folder with ``<site>.yaml`` for each site that has some.
        cache: where the result of each study is kept, so that a run that was interrupted goes on; None keeps none.
        workers: processes that scan studies side by side; 0 or 1 scans in this process.
        progress: show a bar.

    Returns:
        The manifest and the findings: one error for each study left out, and what the catalogue warns of.

    Raises:
        ManifestError: the table is faulty (nothing is scanned then), or no study at all is usable.
        ConfigError: no such protocol or rules.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ManifestError(expected="the folder that holds the studies", found="no such folder", where=str(folder))
    sequences = protocol_named(protocol).sequences
    if not sequences:
        raise ConfigError(expected="a protocol with sequences", found=repr(protocol))
    if site_rules is not None and not site_rules.exists():
        raise ConfigError(expected="a file or a folder with the rules of the sites", found=f"nothing at {site_rules}")
    table = read_labels(labels_csv, classes, sequences)
    jobs = [
        _Job(
            folder,
            tuple({str(column): value for column, value in row.items()} for row in rows.to_dict("records")),
            tuple(classes),
            sequences,
            protocol,
            None if site_rules is None else rules_file(site_rules, rows["site"].iloc[0]),
        )
        for _, rows in table.groupby("study", sort=True)
    ]
    content: dict[str, Any] = {
        "schema": SCHEMA,
        "name": name,
        "sequences": list(sequences),
        "classes": {key: list(values) for key, values in classes.items()},
        **_how(folder, truth, protocol, site_rules),
        "studies": [],
    }
    keys = [""] * len(jobs) if cache is None else [job.key() for job in jobs]
    kept = None if cache is None else Path(cache) / "scans"
    findings = []
    results = kept_results(_study, jobs, keys, kept, workers, "Scanning studies" if progress else None)
    for job, result in zip(jobs, results, strict=True):
        study = job.rows[0]["study"]
        if FAILED in result:
            findings.append(Finding("error", study, result[FAILED]))
        else:
            content["studies"].append(result["study"])
            findings += [Finding("warning", study, message) for message in result["warnings"]]
    if not content["studies"]:
        raise ManifestError(
            expected="at least one usable study",
            found=f"{len(findings)} that failed, the first: {findings[0]}",
            where=str(labels_csv),
        )
    return parse_manifest(content, folder, where=str(labels_csv)), findings


def volume_warnings(volumes: Mapping[str, VolumeRecord]) -> Iterator[str]:
    """Yield what the catalogue warns of in the volumes of some sequences, each warning once."""
    sequences: dict[tuple[str, str], list[str]] = {}
    for sequence, volume in volumes.items():
        for caution in volume.warnings:
            sequences.setdefault((caution.code, caution.message), []).append(sequence)
    for (code, message), names in sequences.items():
        yield f"{code} ({' '.join(names)}): {message}"


def _open_roles(catalogue: Catalogue) -> Iterator[str]:
    for role in catalogue.unresolved:
        numbers = ", ".join(sorted({"?" if number is None else str(number) for number in role.series_numbers}))
        yield f"{role.role} is open between series {numbers}: {role.why}"


def _how(folder: Path, truth: str | None, protocol: str, site_rules: Path | None) -> dict[str, str]:
    """Return the entries of a manifest that say how it was made, with paths relative to the cohort's folder."""

    def place(path: Path) -> str:
        return Path(os.path.relpath(path.resolve(), folder.resolve())).as_posix()

    entries = {} if truth is None else {"truth": truth}
    if protocol != PROTOCOL:
        file = _file_of(protocol)
        entries["protocol"] = protocol if file is None else place(file)
    if site_rules is not None:
        entries["site_rules"] = place(site_rules)
    return entries


def _file_of(protocol: str) -> Path | None:
    return Path(protocol) if is_file_name(protocol) else None


def _study(job: _Job) -> dict[str, Any]:
    """Return one study as the manifest holds it with its warnings, or why it cannot be used."""
    first = job.rows[0]
    needed = {name for row in job.rows for name in (row["mask"], row["liver"]) if name}
    absent = sorted(name for name in needed if not (job.folder / name).is_file())
    if absent:
        return {FAILED: f"no file {', '.join(absent)}"}
    try:
        catalogue = scan(job.folder / first["folder"], protocol=job.protocol, site_rules=job.rules)
        catalogue.require(())  # a missing sequence is no problem, anything that leaves a role in doubt is
        images = {name: _image(job, catalogue, name) for name in job.sequences if name in catalogue.roles}
    except MpmriError as error:
        return {FAILED: str(error)}
    if not images:
        return {FAILED: f"none of its series is a sequence of the protocol {Path(job.protocol).stem}"}
    study = {
        "patient": first["patient"],
        "study": first["study"],
        "site": first["site"],
        "labels": {} if first["lesion"] else _labels(first, job.label_keys),
        "images": images,
        "organs": {"liver": first["liver"]} if first["liver"] else {},
        "lesions": [_lesion(row, job.label_keys) for row in job.rows if row["lesion"]],
    }
    volumes = {name: catalogue.volume(catalogue.roles[name]) for name in images}
    return {"study": study, "warnings": [*volume_warnings(volumes), *_open_roles(catalogue)]}


def _image(job: _Job, catalogue: Catalogue, sequence: str) -> dict[str, str] | str:
    """Return an image as the manifest names it: a volume of DICOM files, or the path of a NIfTI file."""
    volume, place = catalogue.roles[sequence], job.rows[0]["folder"]
    nifti = catalogue.volume(volume).nifti
    if nifti is None:
        return {"dicom": place, "volume": volume}
    study = (job.folder / place).resolve()
    if not nifti.resolve().is_relative_to(study):
        raise CatalogueError(
            expected="NIfTI files that stay where they are",
            found="some inside an archive, which is unpacked only to be read",
            fix="unpack the archive into a folder of its own",
            code="E_ARCHIVE",
        )
    return (Path(place) / nifti.resolve().relative_to(study)).as_posix()


def _lesion(row: Mapping[str, str], label_keys: Sequence[str]) -> dict[str, Any]:
    form = next(column for column in REGION_COLUMNS if row[column])
    lesion = {
        "id": row["lesion"],
        "region": {"mask": row["mask"], form: int(row[form])},
        "labels": _labels(row, label_keys),
    }
    return {**lesion, "drawn_on": row["drawn_on"]} if row["drawn_on"] else lesion


def _labels(row: Mapping[str, str], label_keys: Sequence[str]) -> dict[str, str]:
    return {key: row[key] for key in label_keys if row[key]}
