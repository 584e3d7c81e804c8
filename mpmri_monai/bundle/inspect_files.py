"""The files of a foreign bundle: which may be there, and that each is what its name says."""

from __future__ import annotations

import os
import re
import stat
import zlib
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

from mpmri_monai.bundle.inspect_finding import Finding, finding
from mpmri_monai.bundle.inspect_logging import judge_logging
from mpmri_monai.bundle.inspect_text import judge_free_text
from mpmri_monai.bundle.inspect_weights import judge_weights

MOST_FILES, LARGEST_FILE, LARGEST_BUNDLE, DEEPEST_FOLDER = 2000, 4 << 30, 16 << 30, 8
"""Files; bytes; bytes; levels."""
LARGEST_TEXT = 4 << 20
"""Bytes of a document or a logging configuration."""
LARGEST_IMAGE = 256 << 20
"""Bytes of a compressed NIfTI file once unpacked."""

DATA = (".json", ".yaml", ".yml")
_TEXTS = (".md", ".txt", ".csv", ".cff", ".rst")
_TEXT_NAMES = ("LICENSE", "NOTICE", "README", "CHANGELOG")
_STARTS = {".png": b"\x89PNG\r\n\x1a\n", ".jpg": b"\xff\xd8\xff", ".jpeg": b"\xff\xd8\xff"}
_NIFTI_HEADER = ((348).to_bytes(4, "little"), (348).to_bytes(4, "big"))
"""How NIfTI-1 begins, the length of its header; no program begins so."""
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*")
_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
_DOWNLOADS = re.compile(r"large_files\.(json|ya?ml)", re.IGNORECASE)


def inspect_files(folder: Path, plain: list[Path]) -> Iterator[Finding]:
    """Yield what is found among a bundle's files; put those that were judged to be plain into ``plain``.

    Only files that are plain are opened; links, pipes and devices are named and left alone.
    """
    count, total, seen = 0, 0, set()
    for path, status in _entries(folder, depth=0):
        where = path.relative_to(folder).as_posix()
        count, total = count + 1, total + status.st_size
        if count > MOST_FILES or total > LARGEST_BUNDLE:
            yield finding(
                "E_SIZE",
                where,
                f"more than {MOST_FILES} files or {LARGEST_BUNDLE >> 30} GiB; the rest was not looked at",
            )
            return
        if not _NAME.fullmatch(path.name) or _DEVICES.fullmatch(path.name) or path.name.endswith("."):
            yield finding("E_NAME", where, path.name)
        if where.lower() in seen:
            yield finding("E_NAME", where, "differs from another name only in capitals")
        seen.add(where.lower())
        problem = _judge_status(path, status, where)
        if problem:
            yield finding(*problem)
        elif stat.S_ISREG(status.st_mode):
            if status.st_mode & 0o111:
                yield finding("N_EXECUTABLE", where, stat.filemode(status.st_mode))
            plain.append(path)


def _entries(folder: Path, depth: int) -> Iterator[tuple[Path, os.stat_result]]:
    """Yield everything below ``folder`` with its own status, without following a link."""
    with os.scandir(folder) as entries:
        for entry in sorted(islice(entries, MOST_FILES + 1), key=_name):
            status = entry.stat(follow_symlinks=False)
            yield Path(entry.path), status
            if stat.S_ISDIR(status.st_mode) and depth < DEEPEST_FOLDER:
                yield from _entries(Path(entry.path), depth + 1)


def _name(entry: os.DirEntry[str]) -> str:
    return entry.name


def _judge_status(path: Path, status: os.stat_result, where: str) -> tuple[str, str, str] | None:
    mode, problem = status.st_mode, None
    if stat.S_ISLNK(mode):
        problem = "E_LINK", where, f"a symbolic link to {path.readlink()}"
    elif stat.S_ISDIR(mode):
        if where.count("/") >= DEEPEST_FOLDER:
            problem = "E_SIZE", where, f"more than {DEEPEST_FOLDER} folders deep"
    elif not stat.S_ISREG(mode) or mode & (stat.S_ISUID | stat.S_ISGID):
        problem = "E_SPECIAL", where, stat.filemode(mode)
    elif status.st_nlink > 1:
        problem = "E_LINK", where, f"a hard link: the same file has {status.st_nlink} names"
    elif status.st_size > LARGEST_FILE:
        problem = "E_SIZE", where, f"{status.st_size} bytes"
    return problem


def inspect_content(folder: Path, path: Path) -> Iterator[Finding]:
    """Yield what is found inside one plain file that is neither JSON nor YAML."""
    where = path.relative_to(folder).as_posix()
    for code, what in _judge_content(path):
        yield finding(code, where, what)


def _judge_content(path: Path) -> Iterator[tuple[str, str]]:
    suffix = path.suffix
    if _DOWNLOADS.fullmatch(path.name):
        yield "E_URL", "asks MONAI to download files, which were not inspected"
    if suffix in DATA:
        return
    if suffix == ".pt":
        yield from judge_weights(path)
    elif suffix == ".conf":
        yield from _judge_as_text(path, judge_logging)
    elif suffix in _TEXTS or path.name in _TEXT_NAMES:
        yield from _judge_as_text(path, judge_free_text)
    elif suffix in _STARTS:
        if not _start(path, 8).startswith(_STARTS[suffix]):
            yield "E_CONTENT", f"no {suffix[1:]} picture"
    elif path.name.endswith((".nii", ".nii.gz")):
        yield from _judge_nifti(path)
    else:
        yield "E_KIND", suffix or "no ending"


def _judge_as_text(path: Path, judge: Callable[[str], Iterator[tuple[str, str]]]) -> Iterator[tuple[str, str]]:
    if path.stat().st_size > LARGEST_TEXT:
        yield "E_SIZE", f"{path.stat().st_size} bytes of text"
        return
    try:
        text = path.read_bytes().decode("utf-8")
    except UnicodeDecodeError:
        yield "E_CONTENT", "no UTF-8 text"
        return
    if text.startswith("#!"):
        yield "E_CONTENT", f"starts as a script: {text.splitlines()[0]}"
    yield from judge(text)


def _judge_nifti(path: Path) -> Iterator[tuple[str, str]]:
    start = _start(path, 352)
    if path.suffix == ".gz":
        try:
            start, size = _unpacked(path)
        except (zlib.error, EOFError) as error:
            yield "E_CONTENT", f"no gzip file: {error}"
            return
        if size > LARGEST_IMAGE:
            yield "E_SIZE", f"more than {LARGEST_IMAGE} bytes once unpacked"
    if start[:4] not in _NIFTI_HEADER or start[344:348] != b"n+1\0":
        yield "E_CONTENT", "no NIfTI-1 file"


def _unpacked(path: Path) -> tuple[bytes, int]:
    """Return the first bytes of a gzip file's content and its size, counted up to the cap and never held."""
    unpack, start, size = zlib.decompressobj(wbits=31), b"", 0
    with path.open("rb") as file:
        while size <= LARGEST_IMAGE and (packed := file.read(1 << 16)):
            while packed and size <= LARGEST_IMAGE:
                part = unpack.decompress(packed, 1 << 20)
                packed = unpack.unconsumed_tail
                start, size = (start + part)[:352], size + len(part)
                if unpack.eof:
                    if unpack.unused_data or file.read(1):
                        raise EOFError("it goes on after its end")
                    return start, size
    return start, size


def _start(path: Path, count: int) -> bytes:
    with path.open("rb") as file:
        return file.read(count)
