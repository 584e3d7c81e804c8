"""Folders in the cache for one process alone, removed when they are no longer used, even after a killed process."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from mpmri_monai.artefacts import cache_folder, make_folder
from mpmri_monai.errors import OutputError

LOCK = "lock"
"""Name of lock files. The owner of a private folder holds its lock for as long as it lives, however it ends."""


class PrivateFolder:
    """A new folder that no other user may enter. It goes when this object goes, and at the end of the process.

    Args:
        kind: name of the folder in the cache that holds all of one kind. Those of processes that were killed are
            removed from it first.

    Raises:
        OutputError: the cache cannot be written.
    """

    def __init__(self, kind: str) -> None:
        parent = cache_folder() / kind
        make_folder(parent)
        try:
            parent.chmod(0o700)
            with _locked(parent / LOCK):  # nobody looks for leftovers between making a folder and locking it
                _remove_leftovers(parent)
                self.path = Path(tempfile.mkdtemp(dir=parent))
                held = os.open(self.path / LOCK, os.O_CREAT | os.O_RDWR, 0o600)
                fcntl.flock(held, fcntl.LOCK_EX)
        except OSError as error:
            raise OutputError(
                expected=f"to write {parent}",
                found=os.strerror(error.errno or 0).lower(),
                fix="choose another cache folder with the variable MPMRI_CACHE",
                code="E_OUTPUT",
            ) from error
        self._remove = weakref.finalize(self, _remove, self.path, held, os.getpid())

    def remove(self) -> None:
        """Remove the folder now."""
        self._remove()

    def __reduce__(self) -> NoReturn:
        """Refuse to travel: a copy in another process would outlive the files."""
        raise TypeError("the files of an unpacked archive stay in the process that unpacked it; scan it again there")


def _remove(path: Path, held: int, owner: int) -> None:
    if os.getpid() == owner:  # a forked process has the object too, but not the folder
        shutil.rmtree(path, ignore_errors=True)
        os.close(held)


def _remove_leftovers(parent: Path) -> None:
    for path in parent.iterdir():
        if path.is_dir():
            try:
                with _locked(path / LOCK, wait=False):
                    shutil.rmtree(path, ignore_errors=True)
            except BlockingIOError:  # its owner lives
                continue


@contextmanager
def _locked(path: Path, wait: bool = True) -> Iterator[None]:
    held = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(held, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(held)
