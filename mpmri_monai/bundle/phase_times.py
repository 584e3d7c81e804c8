"""When the phases of a cohort's studies were acquired, from their headers; scanned once and kept in the cache."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from mpmri_monai.artefacts import cache_folder, digest, file_digest
from mpmri_monai.catalogue import scan
from mpmri_monai.cohort import DicomImage, Manifest, Study
from mpmri_monai.cohort.kept import FAILED, code_digest, kept_results
from mpmri_monai.cohort.signatures import files_of, signature_of
from mpmri_monai.errors import MpmriError

KEPT = "phase_times"
"""Folder of the cache."""


@dataclass(frozen=True)
class _Job:
    study: Study
    folder: Path
    options: Mapping[str, object]
    """Of `catalogue.scan`."""


def phase_times(manifest: Manifest, studies: Collection[str], workers: int = 0) -> dict[str, list[float]]:
    """Return when each sequence was acquired: seconds since the first phase of its study, one entry a study.

    Sequences that belong to no dynamic series, those given as NIfTI, and studies that cannot be read any more have no
    time, nor have studies that lack the first phase of the others, whose seconds count from another; a sequence without
    any is not in the result.

    Args:
        manifest: of the cohort.
        studies: names of those that count.
        workers: processes that scan; what was scanned before, of the same files, is read from the cache.
    """
    wanted = [
        study
        for study in manifest.studies
        if study.study in studies and any(isinstance(image, DicomImage) for image in study.images.values())
    ]
    jobs = [_Job(study, manifest.folder, study.scan_options) for study in wanted]
    keys = [_key(job) for job in jobs]
    results = kept_results(_times, jobs, keys, cache_folder() / KEPT, workers, None)
    found = [result["time_s"] for result in results if "time_s" in result]
    start = next((name for name in manifest.sequences if any(times.get(name) == 0 for times in found)), None)
    counted = [times for times in found if start is None or times.get(start) == 0]
    by_name = {name: [times[name] for times in counted if name in times] for name in manifest.sequences}
    return {name: times for name, times in by_name.items() if times}


def _key(job: _Job) -> str:
    options = {name: str(value) for name, value in sorted(job.options.items())}
    rules = [file_digest(Path(value)) for value in options.values() if Path(value).is_file()]
    files = signature_of(files_of(job.study), job.folder)
    return digest([code_digest(), job.study.model_dump(mode="json"), str(job.folder.resolve()), options, rules, files])


def _times(job: _Job) -> dict[str, object]:
    """Return the times of one study by sequence, or why there are none."""
    images = {name: image for name, image in job.study.images.items() if isinstance(image, DicomImage)}
    try:
        catalogues = {
            place: scan(job.folder / place, **job.options) for place in {one.dicom for one in images.values()}
        }
        times = {name: catalogues[image.dicom].volume(image.volume).time_s for name, image in images.items()}
    except MpmriError as error:
        return {FAILED: str(error)}
    return {"time_s": {name: time for name, time in times.items() if time is not None}}
