"""Signatures of files: whether anything that a result was made from has changed since."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from mpmri_monai.cohort.manifest import DicomImage, Region, Study

Signature = list[tuple[str, int, int]]


def signature_of(names: Iterable[str], folder: Path) -> Signature:
    """Return (relative name, size, modification time in ns) of every file under some places, in order of name.

    Args:
        names: files and folders, relative to ``folder``. What is missing has no part in the signature; reading it will
            say so.
        folder: of the cohort.
    """
    found = []
    for name in set(names):
        path = folder / name
        for file in filter(Path.is_file, _files_under(path) if path.is_dir() else [path]):  # no link to nowhere
            status = file.stat()
            found.append((os.path.relpath(file, folder), status.st_size, status.st_mtime_ns))
    return sorted(found)


def files_of(study: Study) -> list[str]:
    """Return every file and folder that a study of a manifest names."""
    images = {image.dicom if isinstance(image, DicomImage) else image for image in study.images.values()}
    regions = [*study.organs.values(), *(lesion.region for lesion in study.lesions)]
    masks = {region.mask if isinstance(region, Region) else region for region in regions}
    return sorted(filter(None, images | masks))


def _files_under(path: Path) -> Iterator[Path]:
    for folder, _, names in os.walk(path):
        yield from (Path(folder, name) for name in names)
