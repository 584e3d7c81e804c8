"""The files of a study before any of them is read, and what is passed over among them."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from mpmri_monai.errors import CatalogueError

MAX_FILES = 20_000
"""Files of a study, or members of an archive (count)."""
NIFTI_SUFFIXES = (".nii.gz", ".nii")

FILE, FOLDER = "file", "folder"
ARCHIVE, HIDDEN, LINK, NIFTI, OTHER, SPECIAL = "archive", "hidden", "link", "nifti", "other", "special"
PASSED_OVER = {
    OTHER: "file(s) that are not DICOM",
    NIFTI: "NIfTI file(s) beside DICOM images, which are not taken for images",
    ARCHIVE: "archive(s) within the study, which are not opened",
    LINK: "link(s), which are not followed",
    HIDDEN: "hidden file(s) or folder(s)",
    SPECIAL: "device(s) or other special file(s)",
}
"""What is counted and not read, in words that follow the count."""


@dataclass(frozen=True)
class StudyFile:
    """A file of a study."""

    path: Path
    name: str = field(repr=False)
    """Path within the folder or archive that holds the study. May name a person: never printed or stored."""


def nifti_suffix(name: str) -> str:
    """Return ".nii" or ".nii.gz" when a file name ends so, in whatever case, else ""."""
    return next((suffix for suffix in NIFTI_SUFFIXES if name.lower().endswith(suffix)), "")


def list_files(folder: Path) -> tuple[list[StudyFile], Counter[str]]:
    """Return the regular files under ``folder`` that are not hidden, and how many of which kind are passed over.

    Raises:
        CatalogueError: a folder cannot be read, or there are more than ``MAX_FILES`` files or folders.
    """
    files: list[StudyFile] = []
    passed_over, folders = Counter[str](), [folder]
    for place in folders:  # which grows on the way
        try:
            with os.scandir(place) as entries:
                for entry in entries:
                    kind = _kind(entry)
                    if kind == FOLDER:
                        folders.append(Path(entry.path))
                    elif kind == FILE:
                        path = Path(entry.path)
                        files.append(StudyFile(path, path.relative_to(folder).as_posix()))
                    else:
                        passed_over[kind] += 1
        except OSError as error:
            raise _closed(folder, place, error) from error
        if max(len(files), len(folders)) > MAX_FILES:
            raise too_much(f"at most {MAX_FILES} files or folders", "more")
    return files, passed_over


def _kind(entry: os.DirEntry[str]) -> str:
    if entry.is_symlink():
        return LINK
    if entry.name.startswith("."):
        return HIDDEN
    if entry.is_dir(follow_symlinks=False):
        return FOLDER
    return FILE if entry.is_file(follow_symlinks=False) else SPECIAL


def too_much(expected: str, found: str) -> CatalogueError:
    """Return the error for a study that is beyond a limit. No name is told, for it may be the patient's."""
    fix = "put each study into its own folder or archive"
    return CatalogueError(expected=expected, found=found, fix=fix, code="E_LIMIT")


def _closed(folder: Path, place: Path, error: OSError) -> CatalogueError:
    """Return the error for a folder that cannot be read. No name is told, for it may be the patient's."""
    found = os.strerror(error.errno or 0).lower()
    return CatalogueError(
        expected="folders that can be read",
        found=found if place == folder else f"{found} in a folder within",
        fix="allow reading it (`find STUDY -type d ! -readable` lists which), or copy the study to another place",
        code="E_FOLDER",
    )
