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
        CatalogueError: a folder cannot be read, or there are more than ``MAX_FILES`` files.
    """
    files, passed_over = [], Counter[str]()
    for place, folders, names in os.walk(folder, onerror=_closed):
        linked = [name for name in folders if Path(place, name).is_symlink()]
        passed_over[LINK] += len(linked)
        passed_over[HIDDEN] += sum(name.startswith(".") for name in folders if name not in linked)
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            path = Path(place, name)
            if path.is_symlink():
                passed_over[LINK] += 1
            elif name.startswith("."):
                passed_over[HIDDEN] += 1
            elif path.is_file():
                files.append(StudyFile(path, path.relative_to(folder).as_posix()))
            else:
                passed_over[SPECIAL] += 1
        if len(files) > MAX_FILES:
            raise too_much(folder, f"at most {MAX_FILES} files", "more")
    return files, passed_over


def too_much(study: Path, expected: str, found: str) -> CatalogueError:
    """Return the error for a study that is beyond a limit."""
    fix = "put each study into its own folder or archive"
    return CatalogueError(expected=expected, found=found, where=str(study), fix=fix, code="E_LIMIT")


def _closed(error: OSError) -> None:
    raise CatalogueError(
        expected="folders that can be read",
        found=os.strerror(error.errno).lower() if error.errno else "one that cannot",
        where=str(error.filename),
        fix="allow reading it, or copy the study to another place",
        code="E_FOLDER",
    ) from error
