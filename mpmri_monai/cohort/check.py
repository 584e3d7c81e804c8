"""Check that what a manifest names is there and can be told apart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from mpmri_monai.catalogue import Catalogue, VolumeRecord, scan
from mpmri_monai.cohort.build import Finding, volume_warnings
from mpmri_monai.cohort.leaks import patients_sharing_images
from mpmri_monai.cohort.manifest import DicomImage, Manifest, Region, Study
from mpmri_monai.errors import MpmriError
from mpmri_monai.processes import in_processes

MOST_NAMED = 3
"""Patients that a finding about many of them names."""


@dataclass(frozen=True)
class Inspection:
    """A study as its headers show it."""

    findings: tuple[Finding, ...]
    catalogues: Mapping[str, Catalogue]
    """By the name that the manifest gives the DICOM folder; those that could be scanned."""
    volumes: Mapping[str, VolumeRecord]
    """By sequence; those of DICOM files that are there."""


def check_manifest(manifest: Manifest, *, workers: int = 0, progress: bool = False) -> list[Finding]:
    """Return every finding about the headers and labels of a manifest, errors before warnings.

    Errors: a file or DICOM folder is missing, a volume id is not in its folder, the catalogue meets a problem there,
    or two patients share an image. Warnings: a sequence is absent, a lesion has no label, a class has no lesion, and
    what the catalogue warns of. What the manifest alone shows to be wrong (names, labels, repeated ids) was refused
    when it was loaded.

    Args:
        manifest: the cohort.
        workers: processes that check studies side by side; 0 or 1 checks in this process.
        progress: show a bar.
    """
    jobs = single_studies(manifest)
    findings = cohort_findings(manifest)
    for per_study in in_processes(_study_findings, jobs, workers, "Checking studies" if progress else None):
        findings += per_study
    return by_severity(findings)


def by_severity(findings: list[Finding]) -> list[Finding]:
    """Return findings with errors first, otherwise in their order."""
    return sorted(findings, key=_severity)


def single_studies(manifest: Manifest) -> list[Manifest]:
    """Return the cohort as one manifest a study, for work in processes."""
    return [manifest.model_copy(update={"studies": (study,)}) for study in manifest.studies]


def cohort_findings(manifest: Manifest) -> list[Finding]:
    """Return what no study alone shows: shared images and masks, a missing table, classes that nothing has."""
    findings = [
        Finding("error", ", ".join(patients), "E_SHARED: these patients share an image")
        for patients in patients_sharing_images(manifest)
    ]
    if manifest.truth is not None and not manifest.path(manifest.truth).is_file():
        findings.append(Finding("error", "truth", f"no file {manifest.truth}"))
    return [*findings, *_shared_masks(manifest), *_unused_classes(manifest)]


def inspect_study(manifest: Manifest, study: Study, scanned: Mapping[str, Catalogue] | None = None) -> Inspection:
    """Look for the files of a study and scan its DICOM folders; those in ``scanned`` are not scanned again."""
    catalogues = dict(scanned or {})
    volumes: dict[str, VolumeRecord] = {}
    errors, warnings = list(_missing_files(manifest, study)), []
    for folder in dict.fromkeys(image.dicom for image in study.images.values() if isinstance(image, DicomImage)):
        try:
            if folder not in catalogues:
                catalogues[folder] = scan(manifest.path(folder), **study.scan_options)
            catalogues[folder].require(())
        except MpmriError as error:
            errors.append(str(error))
    for sequence, image in study.images.items():
        if not isinstance(image, DicomImage) or image.dicom not in catalogues:
            continue
        catalogue = catalogues[image.dicom]
        found = next((volume for volume in catalogue.volumes if volume.id == image.volume), None)
        chosen = catalogue.roles.get(sequence, image.volume)
        if found is None:
            errors.append(f"no volume {image.volume} ({sequence}); its files changed since the manifest was made")
        else:
            volumes[sequence] = found
            if chosen != image.volume:
                warnings.append(f"W_ROLE: the catalogue now takes {chosen} for {sequence}, the manifest {image.volume}")
    warnings += [*volume_warnings(volumes), *_absences(manifest, study)]
    findings = (
        *(Finding("error", study.study, message) for message in errors),
        *(Finding("warning", study.study, message) for message in warnings),
    )
    return Inspection(findings, catalogues, volumes)


def _severity(finding: Finding) -> int:
    return ("error", "warning").index(finding.level)


def _study_findings(manifest: Manifest) -> tuple[Finding, ...]:
    return inspect_study(manifest, manifest.studies[0]).findings


def _absences(manifest: Manifest, study: Study) -> Iterator[str]:
    absent = [sequence for sequence in manifest.sequences if sequence not in study.images]
    if absent:
        yield f"no {', '.join(absent)}"
    for lesion in study.lesions:
        unlabelled = [key for key in manifest.classes if key not in lesion.labels]
        if unlabelled:
            yield f"lesion {lesion.id} has no {', '.join(unlabelled)} label"


def _missing_files(manifest: Manifest, study: Study) -> Iterator[str]:
    """Say what missing files are for; their names are not told, for they may be the patient's."""
    used: dict[str, object] = {**study.images, **{f"the {name}": organ for name, organ in study.organs.items()}}
    used |= {f"lesion {lesion.id}": lesion.region for lesion in study.lesions}
    for name, item in used.items():
        path = item.mask if isinstance(item, Region) else item
        if isinstance(path, str) and not manifest.path(path).is_file():
            yield f"no file for {name}"


def _shared_masks(manifest: Manifest) -> Iterator[Finding]:
    """Name masks that lesions of several patients are in: right for an atlas, else a row that was copied."""
    owners: dict[Path, set[str]] = {}
    for study in manifest.studies:
        for lesion in study.lesions:
            if lesion.region.mask is not None:
                owners.setdefault(manifest.path(lesion.region.mask).resolve(), set()).add(study.patient)
    for patients in sorted(sorted(names) for names in owners.values() if len(names) > 1):
        where = ", ".join(patients[:MOST_NAMED]) + (", …" if len(patients) > MOST_NAMED else "")
        yield Finding("warning", where, f"W_MASK_SHARED: the lesions of {len(patients)} patients are in one mask file")


def _unused_classes(manifest: Manifest) -> Iterator[Finding]:
    for key, classes in manifest.classes.items():
        used = {study.labels.get(key) for study in manifest.studies}
        used |= {lesion.labels.get(key) for study in manifest.studies for lesion in study.lesions}
        for name in classes:
            if name not in used:
                yield Finding("warning", key, f"no lesion of class {name}")
