"""A study as it comes: a folder, an archive, a single file, or NIfTI files. Every header is read once."""

from __future__ import annotations

import hashlib
import os
import stat
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.progress import track

from mpmri_monai.catalogue.containers.archives import SNIFF_BYTES, Unpacked, archive_kind, unpack
from mpmri_monai.catalogue.containers.files import (
    ARCHIVE,
    NIFTI,
    OTHER,
    PASSED_OVER,
    StudyFile,
    list_files,
    nifti_suffix,
    too_much,
)
from mpmri_monai.catalogue.headers.clock import SECONDS_A_DAY
from mpmri_monai.catalogue.headers.header import FileHeader, ObjectHeader, Unreadable
from mpmri_monai.catalogue.headers.reading import read_headers
from mpmri_monai.catalogue.quiet import without_warnings
from mpmri_monai.errors import CatalogueError

MAX_STUDY_BYTES = 4 * 2**30
"""Size of all images of a study when decoded (bytes)."""
LISTED_STUDIES = 10
"""Studies that an error describes when there are several (count)."""
PREAMBLE_BYTES = 128
DICOM_MAGIC = b"DICM"
EXPECTED = "a folder of DICOM or NIfTI files, a zip or tar archive of one, or a DICOM file"

Header = FileHeader | ObjectHeader | Unreadable


@dataclass(frozen=True)
class Contents:
    """What a study holds. Nothing here depends on the names of DICOM files or the order in which they are found."""

    images: tuple[FileHeader, ...]
    objects: tuple[ObjectHeader, ...]
    unreadable: tuple[Unreadable, ...]
    nifti: tuple[StudyFile, ...]
    """The images of a study that is kept as NIfTI; empty when there are DICOM images."""
    passed_over: tuple[str, ...]
    """What was not read, in words, with counts."""
    unpacked: Unpacked | None = field(default=None, repr=False, compare=False)
    """Holds the files of an archive, which are removed with it."""


def read_study(study: Path, progress: bool = False, *, study_number: int | None = None) -> Contents:
    """Read the headers of one study.

    Args:
        study: a folder, searched with its subfolders; a zip or tar archive; a DICOM or a NIfTI file. Hidden files,
            links, and archives within are passed over.
        progress: whether to show progress bars on standard error.
        study_number: which study to take where there are several, counted from 1 in the order of acquisition.

    Raises:
        CatalogueError: there is nothing that can be read, an archive is damaged, there is more than one patient or
            study and none was chosen, or it is beyond the limits.
        OutputError: an archive cannot be unpacked into the cache.
    """
    study = Path(study)
    files, passed_over, unpacked = _files(study, progress)
    headers, nifti = _read(files, passed_over, progress)
    if not (headers or nifti):
        raise _nothing(study, len(files), passed_over)
    headers = _one_study(headers, study_number)
    images = sorted((item for item in headers if isinstance(item, FileHeader)), key=lambda item: item.instance)
    objects = sorted((item for item in headers if isinstance(item, ObjectHeader)), key=lambda item: item.instance)
    decoded = sum(image.pixel_bytes for image in images)
    if decoded > MAX_STUDY_BYTES:
        raise too_much(f"images of at most {MAX_STUDY_BYTES >> 20} MiB together", f"{decoded >> 20} MiB")
    if images:  # NIfTI files beside them are masks, or the same images once more
        passed_over[NIFTI] += len(nifti)
        nifti = []
    return Contents(
        images=tuple(images),
        objects=tuple(objects),
        unreadable=tuple(item for item in headers if isinstance(item, Unreadable)),
        nifti=tuple(nifti),
        passed_over=tuple(_in_words(passed_over)),
        unpacked=unpacked,
    )


def _files(study: Path, progress: bool) -> tuple[list[StudyFile], Counter[str], Unpacked | None]:
    """List the files of a study, out of their archive if need be, and count what is passed over."""
    try:
        mode = study.stat().st_mode
    except OSError as error:
        absent = isinstance(error, FileNotFoundError | NotADirectoryError)
        raise _no_study("nothing there" if absent else os.strerror(error.errno or 0).lower()) from error
    if stat.S_ISDIR(mode):
        return *list_files(study), None
    if not stat.S_ISREG(mode):
        raise _no_study("a device or other special file")
    start = _start(study)
    if archive_kind(start) and not nifti_suffix(study.name) and start[PREAMBLE_BYTES:][:4] != DICOM_MAGIC:
        unpacked = unpack(study, progress)
        return list(unpacked.files), Counter(unpacked.passed_over), unpacked
    return [StudyFile(study, study.name)], Counter(), None


def _read(
    files: Sequence[StudyFile], passed_over: Counter[str], progress: bool
) -> tuple[list[Header], list[StudyFile]]:
    """Read the headers of DICOM files, and tell NIfTI files by their names."""
    headers: list[Header] = []
    nifti = []
    steps = track(files, "reading headers", console=Console(stderr=True), disable=not progress, transient=True)
    with without_warnings():
        for file in steps:
            if nifti_suffix(file.name):
                nifti.append(file)
                continue
            read = read_headers(file.path)
            if read is None:
                passed_over[ARCHIVE if archive_kind(_start(file.path)) else OTHER] += 1
            else:
                headers.extend(read if isinstance(read, tuple) else (read,))
    return headers, nifti


def _start(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(SNIFF_BYTES)
    except OSError:
        return b""


def _in_words(passed_over: Counter[str]) -> Iterator[str]:
    return (f"{passed_over[kind]} {words}" for kind, words in PASSED_OVER.items() if passed_over[kind])


# -- one study of one patient --------------------------------------------------


def _one_study(headers: list[Header], number: int | None) -> list[Header]:
    """Return the headers of the one study, or of the chosen one. Files that do not say whose they are stay with it."""
    studies: dict[tuple[str, str], list[Header]] = {}
    nameless = []
    for header in headers:
        cut = isinstance(header, Unreadable) and not (header.patient and header.study)  # it may have named both
        if (header.patient or header.study) and not cut:
            studies.setdefault((header.patient, header.study), []).append(header)
        else:
            nameless.append(header)
    if number is None and len(studies) <= 1:
        return headers
    ordered = [studies[key] for key in sorted(studies, key=lambda key: (_start_s(studies[key]), _digest(key)))]
    if number is None:
        raise _several(ordered, len({patient for patient, _ in studies}), len({study for _, study in studies}))
    if not 1 <= number <= max(1, len(ordered)):
        raise CatalogueError(
            expected=f"the number of a study, 1 to {max(1, len(ordered))}",
            found=str(number),
            fix="leave the number out to see what there is",
            code="E_STUDY",
        )
    return [*ordered[number - 1], *nameless] if ordered else headers


def _start_s(headers: Sequence[Header]) -> float:
    """When a study began, in seconds; never when no image tells the day."""
    images = [header for header in headers if isinstance(header, FileHeader)]
    clocks = [time for image in images for time in (image.acquisition_time_s, image.series_time_s)]
    return min((time for time in clocks if time is not None and time >= SECONDS_A_DAY), default=float("inf"))


def _digest(key: tuple[str, str]) -> str:
    """Orders studies of the same moment in a way that nobody can choose by renaming files."""
    return hashlib.sha256("\n".join(key).encode()).hexdigest()


def _several(ordered: Sequence[Sequence[Header]], patients: int, studies: int) -> CatalogueError:
    count = f"{patients} patient{'s' * (patients != 1)} and {studies} stud{'ies' if studies != 1 else 'y'}"
    listed = []
    for number, headers in enumerate(ordered[:LISTED_STUDIES], start=1):
        images = [header for header in headers if isinstance(header, FileHeader)]
        days = (_start_s(headers) - _start_s(ordered[0])) / SECONDS_A_DAY
        later = f", {days:.0f} days later" if 1 <= days < float("inf") else ""
        listed.append(f"{number} has {len(images)} images in {len({image.series for image in images})} series{later}")
    if len(ordered) > LISTED_STUDIES:
        listed.append("...")
    return CatalogueError(
        expected="one study of one patient",
        found=f"{count} (study {'; '.join(listed)})",
        fix="choose one by its number with --study, or put each study into its own folder",
        code="E_MULTIPATIENT",
    )


# -- what is no study ----------------------------------------------------------


def _nothing(study: Path, files: int, passed_over: Counter[str]) -> CatalogueError:
    if study.is_file() and not archive_kind(_start(study)):
        return _no_study("a file of another kind")
    words = [f"{files} files, none of them DICOM" if files else "no files", *_in_words(passed_over)]
    return CatalogueError(
        expected=EXPECTED,
        found=", and ".join(words) if len(words) < 3 else "; ".join(words),
        fix="name the folder or archive that holds the study as exported; archives within it are named by themselves",
        code="E_EMPTY",
    )


def _no_study(found: str) -> CatalogueError:
    return CatalogueError(expected=EXPECTED, found=found, code="E_FOLDER")
