"""Building the store: each study on its own, so that a fault or a kill costs that study alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from rich.console import Console

from mpmri_monai import __version__
from mpmri_monai.artefacts import digest, write_json
from mpmri_monai.cohort import Manifest, Study
from mpmri_monai.cohort.signatures import files_of, signature_of
from mpmri_monai.errors import MpmriError, OutputError, StoreError
from mpmri_monai.processes import in_processes
from mpmri_monai.samples.patches import share_of
from mpmri_monai.samples.settings import Settings
from mpmri_monai.samples.store import SCHEMA, Store, StudyRecord, make_table, read_record, study_file, write_study
from mpmri_monai.samples.study import sample_study

GZIP_RATIO = 4
"""About how much smaller a compressed NIfTI file is than its voxels in memory; for the estimate only."""

FAILURES_SHOWN = 3


class _Kept:
    """Stores that this process has opened, for as long as `stores_kept` says that they may be used again."""

    version = ""
    stores: ClassVar[dict[tuple[Path, str], Store]] = {}
    in_use = False


@dataclass(frozen=True)
class Job:
    """One study to be sampled: everything that a worker needs, here or on another machine."""

    study: Study
    folder: Path
    settings: Settings
    sequences: tuple[str, ...]
    path: Path
    key: str
    patches: int
    """How many of the cohort's patches this study has."""


def prepare(
    manifest: Manifest,
    settings: Settings,
    cache: Path,
    workers: int = 0,
    progress: bool = True,
    scheduler: str | None = None,
) -> Store:
    """Bring the store of a cohort up to date and return it.

    A study whose files, manifest entry and settings are as they were is not read again. Samples do not depend on the
    number of workers.

    Args:
        manifest: the cohort.
        settings: how samples are taken.
        cache: the store lies in ``<cache>/stores/<manifest name>-<key>``.
        workers: processes; 0 works in this one. Each holds one study at a time.
        progress: show what is about to be read, and a progress bar.
        scheduler: address of a Dask scheduler whose workers, which see the same files, take the place of ``workers``.

    Raises:
        OutputError: the store cannot be written, for example because the disk is full.
        StoreError: not a single study could be sampled. A study that fails while others do not is left out and named
            in ``Store.failed``.
        WorkerError: a worker was ended from outside; studies that were finished are kept.
    """
    folder = store_folder(manifest, settings, cache)
    kept = (folder, manifest.digest())
    if _Kept.in_use and kept in _Kept.stores:
        return _Kept.stores[kept]
    place = manifest.folder.resolve()  # workers may have another working directory
    jobs, signatures = [], {}
    wanted = 0 if settings.grid is None else settings.grid.patches
    for number, study in enumerate(manifest.studies):
        signatures[study.study] = signature_of(files_of(study), manifest.folder)
        patches = share_of(wanted, number, len(manifest.studies))
        key = _study_key(study, settings, manifest.sequences, signatures[study.study], patches)
        jobs.append(Job(study, place, settings, manifest.sequences, study_file(folder, study.study), key, patches))
    stored = {job.study.study: read_record(job.path, job.key) for job in jobs}
    todo = [job for job in jobs if stored[job.study.study] is None]
    if todo:
        write_json(folder / "settings.json", {"sequences": manifest.sequences, "settings": settings.model_dump()})
    show = progress and bool(todo)
    if show:
        largest = max(_memory(signatures[job.study.study]) for job in todo)
        Console(stderr=True).print(
            f"{len(todo)} of {len(jobs)} studies to read; about {largest / 1e6:.0f} MB of memory "
            f"for each of {'the' if scheduler else max(workers, 1)} workers"
        )
    outcomes = dict(in_processes(_build, todo, workers, "Sampling" if show else None, scheduler))
    failed = {job.study.study: problem for job in todo if (problem := outcomes[job.study.study]) is not None}
    stored |= {job.study.study: read_record(job.path, job.key) for job in todo if job.study.study not in failed}
    store = _open(manifest, settings, folder, {study: record for study, record in stored.items() if record}, failed)
    if _Kept.in_use:
        _Kept.stores[kept] = store
    return store


@contextmanager
def stores_kept(version: str) -> Iterator[None]:
    """Look through the files of a cohort once in this process, not each time that a block asks for its store.

    For a worker that does many runs on one cohort. Samples that change meanwhile are still noticed when they are read.

    Args:
        version: of the data, such as the store's digest; another one forgets the stores of the version before.
    """
    if version != _Kept.version:
        _Kept.version = version
        _Kept.stores.clear()
    _Kept.in_use = True
    try:
        yield
    finally:
        _Kept.in_use = False


def store_folder(manifest: Manifest, settings: Settings, cache: Path) -> Path:
    """Return where the store of a cohort lies. The cohort's place is part of the key: copies do not share a store."""
    place = str(manifest.folder.resolve())
    key = digest([SCHEMA, __version__, settings.model_dump(), manifest.sequences, place])
    return Path(cache).resolve() / "stores" / f"{manifest.name}-{key[:12]}"


def _open(
    manifest: Manifest, settings: Settings, folder: Path, records: Mapping[str, StudyRecord], failed: Mapping[str, str]
) -> Store:
    if not records:
        shown = "; ".join(list(failed.values())[:FAILURES_SHOWN])
        raise StoreError(
            expected="at least one study that can be sampled",
            found=f"{len(failed)} that cannot: {shown}",
            where=f"cohort {manifest.name}",
            fix="`mpmri check` lists what is wrong with a manifest",
        )
    rows = [row for record in records.values() for row in record.rows]
    table = make_table(rows, manifest.sequences, tuple(manifest.classes))
    contents = {study: record.content for study, record in records.items()}
    voxels = {study: record.voxels for study, record in records.items()}
    return Store(folder, settings, manifest.sequences, table, failed, contents, voxels)


def _build(job: Job) -> tuple[str, str | None]:
    """Sample and store one study; return its name and, when it is not usable, why."""
    try:
        samples = sample_study(job.study, job.folder, job.settings, job.sequences, job.patches)
        write_study(job.path, job.key, samples, job.sequences, job.settings)
    except OutputError:
        raise  # not the study's fault: the next one would fare no better
    except MpmriError as error:
        return job.study.study, str(error)
    return job.study.study, None


def _study_key(
    study: Study, settings: Settings, sequences: Sequence[str], signature: Sequence[Sequence], patches: int
) -> str:
    entry = study.model_dump(mode="json")
    made_from = [SCHEMA, __version__, settings.model_dump(), list(sequences), entry, signature]
    return digest([*made_from, patches] if patches else made_from)


def _memory(signature: Sequence[tuple[str, int, int]]) -> int:
    """Return about how many bytes a study takes in memory."""
    return sum(size * (GZIP_RATIO if name.endswith(".gz") else 1) for name, size, _ in signature)
