"""Archives of a study: members stored one by one in a private folder, under names of our own and under limits."""

from __future__ import annotations

import bz2
import gzip
import lzma
import stat
import struct
import tarfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from rich.console import Console
from rich.progress import track

from mpmri_monai.artefacts import whole_folder
from mpmri_monai.catalogue.containers.files import (
    ARCHIVE,
    FILE,
    FOLDER,
    HIDDEN,
    LINK,
    MAX_FILES,
    SPECIAL,
    StudyFile,
    nifti_suffix,
    too_much,
)
from mpmri_monai.catalogue.containers.private_folder import PrivateFolder
from mpmri_monai.catalogue.headers.reading import MAX_FILE_BYTES
from mpmri_monai.errors import CatalogueError

MAX_UNPACKED_BYTES = 20 * 2**30
"""All members of an archive together (bytes)."""
MAX_RATIO = 100
"""Members together may be this many times as large as the archive; a bomb is hundreds of times as large."""
ANY_RATIO_BYTES = 256 * 2**20
"""Members that are no larger together may have any ratio: empty images compress well (bytes)."""
MAX_OVERHEAD_BYTES = 8 * 2**20
"""Largest list of members, or header of one, that is read into memory (bytes)."""
BLOCK_BYTES = 2**20
"""Members are stored in pieces of this size (bytes)."""
SNIFF_BYTES = 512
"""The first bytes of a file, by which its kind is known (bytes)."""
TAR_BLOCK = 512

ZIP = ((b"PK\x03\x04", "zip"), (b"PK\x05\x06", "zip"))
COMPRESSED = ((b"\x1f\x8b", "gzip"), (b"\xfd7zXZ\0", "xz"), (b"BZh", "bzip2"))
UNREAD_KINDS = ((b"7z\xbc\xaf\x27\x1c", "7z"), (b"Rar!\x1a\x07", "rar"), (b"\x28\xb5\x2f\xfd", "zstd"))
"""First bytes of archives; those of the last list are recognised but not opened."""
TAR_MAGIC = b"ustar"
TAR_MAGIC_OFFSET = 257
DAMAGE = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    OverflowError,
    IndexError,  # a member without a name
    RuntimeError,  # RecursionError and NotImplementedError (an unknown compression) are among them
    ValueError,
)
"""What the readers of archives raise on damaged or hostile ones; besides OSError."""


@dataclass(frozen=True)
class Unpacked:
    """An archive's files in a private folder, which is removed when nothing holds this any more."""

    files: tuple[StudyFile, ...]
    passed_over: Counter[str]
    """Members that were not stored, by kind as in ``files.PASSED_OVER``."""
    folder: PrivateFolder


@dataclass(frozen=True)
class _Member:
    name: str
    kind: str
    """FILE or FOLDER, or what it is instead as in ``files.PASSED_OVER``."""
    size: int
    content: IO[bytes] | None


def archive_kind(start: bytes) -> str | None:
    """Kind of archive that a file with the first bytes ``start`` is: zip, tar, gzip, ...; None for other files."""
    if start[TAR_MAGIC_OFFSET:].startswith(TAR_MAGIC):
        return "tar"
    return next((kind for magic, kind in (*ZIP, *COMPRESSED, *UNREAD_KINDS) if start.startswith(magic)), None)


def unpack(archive: Path, progress: bool = False) -> Unpacked:
    """Store the files of a zip or tar archive (plain, gzip, xz or bzip2) in a private folder of the cache.

    Members get names of our own, so that none can leave the folder. Links, devices, archives and hidden files are
    passed over and counted.

    Raises:
        CatalogueError: the archive is damaged, encrypted, of another kind, or beyond the limits (E_ARCHIVE, E_LIMIT).
        OutputError: the cache cannot be written or is full.
    """
    try:
        file = archive.open("rb")
    except OSError as error:
        raise _damaged("one that cannot be opened") from error
    with file:
        folder = PrivateFolder("unpacked")
        try:
            return _unpacked(archive, file, folder, progress)
        except BaseException:
            folder.remove()
            raise


def _unpacked(archive: Path, file: IO[bytes], folder: PrivateFolder, progress: bool) -> Unpacked:
    target, passed_over = folder.path / "files", Counter[str]()
    console = Console(stderr=True)
    try:
        with whole_folder(target) as part:
            members = track(_members(archive, file), "unpacking", console=console, disable=not progress, transient=True)
            stored = _store(members, part, archive, passed_over)
    except _Excess:
        limits = f"{_allowed_bytes(archive) >> 20} MiB of members and {MAX_OVERHEAD_BYTES >> 20} MiB of their headers"
        raise too_much(f"an archive of at most {limits}", "more") from None
    except DAMAGE as error:
        raise _damaged("one that is damaged, or compressed in a way that is not read") from error
    except OSError as error:  # of the archive; whole_folder has told those of the cache
        raise _damaged("one that is damaged or cannot be read") from error
    placed = (StudyFile(target / item.path.name, item.name) for item in stored)
    return Unpacked(tuple(placed), passed_over, folder)


def _members(archive: Path, file: IO[bytes]) -> Iterator[_Member]:
    start = file.read(SNIFF_BYTES)
    file.seek(0)
    kind = archive_kind(start)
    if kind == "zip":
        return _zip_members(archive, file)
    if kind == "tar":
        return _tar_members(archive, file)
    if kind == "gzip":
        return _tar_members(archive, gzip.GzipFile(fileobj=file))
    if kind == "xz":
        return _tar_members(archive, lzma.LZMAFile(file))
    if kind == "bzip2":
        return _tar_members(archive, bz2.BZ2File(file))
    raise _damaged(f"a {kind} archive" if kind else "a file of another kind")


def _store(members: Iterable[_Member], folder: Path, archive: Path, passed_over: Counter[str]) -> list[StudyFile]:
    stored: list[StudyFile] = []
    left = _allowed_bytes(archive)
    for count, member in enumerate(members, start=1):
        if count > MAX_FILES:
            raise too_much(f"at most {MAX_FILES} members", "more")
        if member.kind == FOLDER:
            continue
        if member.content is None or _is_hidden(member.name):
            passed_over[HIDDEN if _is_hidden(member.name) else member.kind] += 1
            continue
        if member.size > MAX_FILE_BYTES:
            raise too_much(f"files of at most {MAX_FILE_BYTES >> 20} MiB", f"one of {member.size >> 20} MiB")
        with member.content as content:
            first = content.read(SNIFF_BYTES)
            suffix = nifti_suffix(member.name)
            if archive_kind(first) and not suffix:
                passed_over[ARCHIVE] += 1
                continue
            path = folder / f"{count:06}{suffix}"
            with path.open("xb") as target:
                piece = first
                while piece:
                    left -= len(piece)
                    if left < 0:
                        found = f"more than {_allowed_bytes(archive) >> 20} MiB"
                        raise too_much(f"members of at most {MAX_RATIO} times its size", found)
                    target.write(piece)
                    piece = content.read(BLOCK_BYTES)
        stored.append(StudyFile(path, member.name))
    return stored


def _allowed_bytes(archive: Path) -> int:
    return min(MAX_UNPACKED_BYTES, max(ANY_RATIO_BYTES, MAX_RATIO * archive.stat().st_size))


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") and part not in (".", "..") for part in name.replace("\\", "/").split("/"))


class _Bounded:
    """Bytes of an archive under a limit: how much zipfile and tarfile read at once is for the archive to say."""

    def __init__(self, file: IO[bytes], end: int) -> None:
        self._file, self._end = file, end
        self.allowance = MAX_OVERHEAD_BYTES
        self.last = b""

    def read(self, size: int = -1) -> bytes:
        if size > self.allowance:
            raise _Excess
        self.last = self._file.read(size)
        self.allowance -= len(self.last)
        return self.last

    def seek(self, offset: int, whence: int = 0) -> int:
        if whence == 0 and offset > self._end:
            raise _Excess
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def seekable(self) -> bool:
        return True


class _Excess(Exception):
    """An archive wants more read than is allowed."""


def _zip_members(archive: Path, file: IO[bytes]) -> Iterator[_Member]:
    bounded = _Bounded(file, archive.stat().st_size)
    with zipfile.ZipFile(bounded) as content:  # type: ignore[call-overload]
        for info in content.infolist():
            bounded.allowance = MAX_OVERHEAD_BYTES + info.compress_size
            kind = _zip_kind(info)
            if info.flag_bits & 1:
                raise _damaged("an encrypted one")
            yield _Member(info.filename, kind, info.file_size, content.open(info) if kind == FILE else None)


def _zip_kind(info: zipfile.ZipInfo) -> str:
    if info.is_dir():
        return FOLDER
    mode = stat.S_IFMT(info.external_attr >> 16)
    if mode in (0, stat.S_IFREG):
        return FILE
    return LINK if mode == stat.S_IFLNK else SPECIAL


def _tar_members(archive: Path, file: IO[bytes]) -> Iterator[_Member]:
    bounded = _Bounded(file, _allowed_bytes(archive) + MAX_FILES * 2 * TAR_BLOCK)
    with tarfile.open(fileobj=bounded, mode="r:") as content:  # type: ignore[call-overload]
        while info := content.next():
            size = info.size if info.isreg() else 0
            bounded.allowance = MAX_OVERHEAD_BYTES + size
            kind = _tar_kind(info)
            yield _Member(info.name, kind, size, content.extractfile(info) if kind == FILE else None)
            bounded.allowance = MAX_OVERHEAD_BYTES
        if len(bounded.last) != TAR_BLOCK or bounded.last.strip(b"\0"):
            raise _damaged("one that ends early or is damaged")  # tarfile takes either for its end
        while bounded.read(BLOCK_BYTES):  # the checksum of a compressed archive lies at its end
            pass


def _tar_kind(info: tarfile.TarInfo) -> str:
    if info.isdir():
        return FOLDER
    if info.isreg() and not info.issparse():
        return FILE
    return LINK if info.issym() or info.islnk() else SPECIAL


def _damaged(found: str) -> CatalogueError:
    return CatalogueError(
        expected="a zip or tar archive (plain, gzip, xz or bzip2), whole and without a password",
        found=found,
        fix="copy or export it again, or unpack it and name the folder",
        code="E_ARCHIVE",
    )
