"""Files that a stage leaves for the next: written whole or not at all, and named by what they hold."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mpmri_monai.errors import OutputError

CACHE_VARIABLE = "MPMRI_CACHE"


def cache_folder() -> Path:
    """Return the named cache: ``$MPMRI_CACHE``, else ``~/.cache/mpmri_monai``."""
    return Path(os.environ.get(CACHE_VARIABLE) or Path.home() / ".cache" / "mpmri_monai")


def make_folder(path: Path | str) -> None:
    """Create a folder and those above it, if they are not there; raise OutputError when that cannot be."""
    path = Path(path)
    with clear_error(path):
        path.mkdir(parents=True, exist_ok=True)


@contextmanager
def whole_file(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; it takes that name only when the block ends without an error.

    Raises:
        OutputError: the disk is full or the place cannot be written; nothing half-written stays behind.
    """
    path = Path(path)
    make_folder(path.parent)
    with clear_error(path):
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
        os.close(handle)
    part = Path(name)
    try:
        with clear_error(path):
            yield part
            part.chmod(0o666 & ~_umask())
            part.replace(path)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: Path | str) -> Iterator[Path]:
    """Yield a temporary folder beside ``path``; it takes that name only when the block ends without an error.

    Raises:
        OutputError: ``path`` exists already, the disk is full, or the place cannot be written.
    """
    path = Path(path)
    if path.exists():
        raise OutputError(expected="a folder that does not exist yet", found=str(path), fix="name another one")
    make_folder(path.parent)
    with clear_error(path):
        part = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent))
    try:
        with clear_error(path):
            yield part
            part.chmod(0o777 & ~_umask())
            part.rename(path)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def write_text(path: Path | str, text: str) -> None:
    """Write ``text`` as UTF-8, whole or not at all."""
    with whole_file(path) as part:
        part.write_text(text, encoding="utf-8")


def write_json(path: Path | str, content: Any) -> None:
    """Write ``content`` as indented JSON, whole or not at all; NaN is refused, as JSON has none."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path | str) -> Any:
    """Return the content of a JSON file that another stage left."""
    return json.loads(Path(path).read_text(encoding="utf-8"))


def file_digest(path: Path | str) -> str:
    """Return the sha256 of a file's bytes in hex."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest(content: Any) -> str:
    """Return the sha256 in hex of JSON-like ``content``, independent of the order of its keys."""
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True, default=str)
    return hashlib.sha256(canonical.encode()).hexdigest()


@contextmanager
def clear_error(path: Path) -> Iterator[None]:
    """Raise OutputError, with what to do, where the block cannot write ``path``."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            found, fix = "a full disk", "free some space and run the same command again"
        elif error.errno in (
            errno.EACCES,
            errno.EPERM,
            errno.EROFS,
            errno.ENOENT,
            errno.ENOTDIR,
            errno.EISDIR,
            errno.ENOTEMPTY,
            errno.EEXIST,
            errno.EFBIG,
        ):
            found, fix = os.strerror(error.errno).lower(), "choose a place that can be written"
        else:
            raise
        raise OutputError(expected=f"to write {path}", found=found, fix=fix, code="E_OUTPUT") from error


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
