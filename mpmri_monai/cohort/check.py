"""Check that what a manifest names is there and can be told apart."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from mpmri_monai.catalogue import scan
from mpmri_monai.cohort.build import PROTOCOL, Finding
from mpmri_monai.cohort.leaks import patients_sharing_images
from mpmri_monai.cohort.manifest import DicomImage, Manifest, Region, Study
from mpmri_monai.errors import MpmriError
from mpmri_monai.processes import in_processes
from mpmri_monai.sequences import SEQUENCES


def check_manifest(manifest: Manifest, *, workers: int = 0, progress: bool = False) -> list[Finding]:
    """Return every finding about the files and labels of a manifest, errors before warnings.

    Errors: a file or DICOM folder is missing, a volume id is not in its folder, the catalogue meets a problem there,
    or two patients share an image. Warnings: a sequence is absent, a lesion has no label, a class has no lesion.
    What the manifest alone shows to be wrong (names, labels, repeated ids) was refused when it was loaded.

    Args:
        manifest: the cohort.
        workers: processes that check studies side by side; 0 or 1 checks in this process.
        progress: show a bar.
    """
    jobs = [(manifest, study) for study in manifest.studies]
    findings = [
        Finding("error", ", ".join(patients), "E_SHARED: these patients share an image")
        for patients in patients_sharing_images(manifest)
    ]
    if manifest.truth is not None and not manifest.path(manifest.truth).is_file():
        findings.append(Finding("error", "truth", f"no file {manifest.truth}"))
    for per_study in in_processes(_check_study, jobs, workers, "Checking studies" if progress else None):
        findings += per_study
    findings += _unused_classes(manifest)
    return sorted(findings, key=_severity)


def _severity(finding: Finding) -> int:
    return ("error", "warning").index(finding.level)


def _check_study(job: tuple[Manifest, Study]) -> list[Finding]:
    manifest, study = job
    errors = [*_missing_files(manifest, study), *_missing_volumes(manifest, study)]
    warnings = []
    absent = [sequence for sequence in manifest.sequences if sequence not in study.images]
    if absent:
        warnings.append(f"no {', '.join(absent)}")
    for lesion in study.lesions:
        unlabelled = [key for key in manifest.classes if key not in lesion.labels]
        if unlabelled:
            warnings.append(f"lesion {lesion.id} has no {', '.join(unlabelled)} label")
    return [
        *(Finding("error", study.study, message) for message in errors),
        *(Finding("warning", study.study, message) for message in warnings),
    ]


def _missing_files(manifest: Manifest, study: Study) -> Iterator[str]:
    regions = [region for region in study.organs.values() if isinstance(region, Region)]
    regions += [lesion.region for lesion in study.lesions]
    named = [image for image in (*study.images.values(), *study.organs.values()) if isinstance(image, str)]
    named += [region.mask for region in regions if region.mask is not None]
    for name in sorted(set(named)):
        if not manifest.path(name).is_file():
            yield f"no file {name}"


def _missing_volumes(manifest: Manifest, study: Study) -> Iterator[str]:
    wanted: dict[str, dict[str, str]] = defaultdict(dict)
    for sequence, image in study.images.items():
        if isinstance(image, DicomImage):
            wanted[image.dicom][sequence] = image.volume
    protocol = PROTOCOL if set(manifest.sequences) <= set(SEQUENCES) else "none"
    for folder, volumes in wanted.items():
        try:
            catalogue = scan(manifest.path(folder), protocol=protocol)
            catalogue.require(())
        except MpmriError as error:
            yield str(error)
            continue
        there = {volume.id for volume in catalogue.volumes}
        for sequence, volume in volumes.items():
            if volume not in there:
                yield f"no volume {volume} ({sequence}) in {folder}; its files changed since the manifest was made"


def _unused_classes(manifest: Manifest) -> Iterator[Finding]:
    for key, classes in manifest.classes.items():
        used = {study.labels.get(key) for study in manifest.studies}
        used |= {lesion.labels.get(key) for study in manifest.studies for lesion in study.lesions}
        for name in classes:
            if name not in used:
                yield Finding("warning", key, f"no lesion of class {name}")
