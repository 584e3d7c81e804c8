"""The files of one study's folder: every header read once, one patient and one study made sure of."""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import track

from mpmri_monai.catalogue.header import FileHeader, ObjectHeader, Unreadable
from mpmri_monai.catalogue.reading import read_headers
from mpmri_monai.errors import CatalogueError

MAX_FILES = 20_000
"""Files in a study's folder (count)."""
MAX_STUDY_BYTES = 4 * 2**30
"""Size of all images of a study when decoded (bytes)."""


@dataclass(frozen=True)
class Contents:
    """What a folder holds. Nothing here depends on the names of files or the order in which they are found."""

    images: tuple[FileHeader, ...]
    objects: tuple[ObjectHeader, ...]
    unreadable: tuple[Unreadable, ...]
    other_files: int
    """Files that are not DICOM (count)."""
    links: int
    """Links, which are not followed (count)."""


def read_folder(folder: Path, progress: bool = False) -> Contents:
    """Read the headers of all files under ``folder``; hidden files and links are passed over.

    Raises:
        CatalogueError: no such folder, nothing in it, no DICOM, more than one patient or study, or beyond the limits.
    """
    if not folder.is_dir():
        found = "a file" if folder.exists() else "nothing there"
        raise CatalogueError(expected="a folder of DICOM files", found=found, where=str(folder), code="E_FOLDER")
    paths, links = _files(folder)
    steps = track(paths, "reading headers", console=Console(stderr=True), disable=not progress, transient=True)
    with warnings.catch_warnings():  # pydicom's warnings quote header values
        warnings.simplefilter("ignore")
        read = [read_headers(path) for path in steps]
    images = sorted(
        (image for item in read if isinstance(item, tuple) for image in item), key=lambda item: item.instance
    )
    objects = sorted((item for item in read if isinstance(item, ObjectHeader)), key=lambda item: item.instance)
    unreadable = [item for item in read if isinstance(item, Unreadable)]
    if not (images or objects or unreadable):
        found = f"{len(paths)} files, none of them DICOM" if paths else "no files"
        found += f", and {links} links, which are not followed" if links else ""
        raise CatalogueError(
            expected="a folder of DICOM files",
            found=found,
            where=str(folder),
            fix="name the folder that holds the study as exported; archives have to be unpacked first",
            code="E_EMPTY",
        )
    _one_study(folder, [*images, *objects, *unreadable])
    decoded = sum(image.pixel_bytes for image in images)
    if decoded > MAX_STUDY_BYTES:
        raise _too_much(folder, f"images of at most {MAX_STUDY_BYTES >> 20} MiB together", f"{decoded >> 20} MiB")
    return Contents(tuple(images), tuple(objects), tuple(unreadable), read.count(None), links)


def _files(folder: Path) -> tuple[list[Path], int]:
    """Regular files that are not hidden, and the number of links."""
    paths, links = [], 0
    for place, folders, names in os.walk(folder, onerror=_closed):
        folders[:] = [name for name in folders if not name.startswith(".")]
        links += sum(Path(place, name).is_symlink() for name in folders)
        for name in names:
            path = Path(place, name)
            if path.is_symlink():
                links += 1
            elif path.is_file() and not name.startswith("."):
                paths.append(path)
        if len(paths) > MAX_FILES:
            raise _too_much(folder, f"at most {MAX_FILES} files", "more")
    return paths, links


def _closed(error: OSError) -> None:
    raise CatalogueError(
        expected="folders that can be read",
        found=os.strerror(error.errno).lower() if error.errno else "one that cannot",
        where=str(error.filename),
        fix="allow reading it, or copy the study to another place",
        code="E_FOLDER",
    ) from error


def _one_study(folder: Path, items: list[FileHeader | ObjectHeader | Unreadable]) -> None:
    named = [item for item in items if item.study or item.patient]  # not so the files that cannot be read at all
    patients, studies = len({item.patient for item in named}), len({item.study for item in named})
    if patients > 1 or studies > 1:
        raise CatalogueError(
            expected="one study of one patient",
            found=f"{patients} patient{'s' * (patients != 1)} and {studies} stud{'ies' if studies != 1 else 'y'}",
            where=str(folder),
            fix="put each study into its own folder",
            code="E_MULTIPATIENT",
        )


def _too_much(folder: Path, expected: str, found: str) -> CatalogueError:
    fix = "put each study into its own folder"
    return CatalogueError(expected=expected, found=found, where=str(folder), fix=fix, code="E_LIMIT")
