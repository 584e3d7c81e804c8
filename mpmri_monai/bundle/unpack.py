"""The folder of a packed bundle, unpacked under limits: nothing in the file can leave its folder or fill a disk.

Unlike the archive of a study, where what is odd is passed over, a packed bundle with anything odd in it is refused:
`pack` makes none such, and half a bundle is none.
"""

from __future__ import annotations

import re
import shutil
import stat
import struct
import zipfile
import zlib
from collections import Counter
from pathlib import Path
from typing import IO

from mpmri_monai.catalogue.containers.archives import ANY_RATIO_BYTES, MAX_RATIO
from mpmri_monai.errors import BundleError

MAX_MEMBERS = 1000
"""Files and folders of a bundle (count); those of this project have about twenty."""
MAX_BUNDLE_BYTES = 2 * 2**30
"""All files of a bundle together, which is what weights alone may have (bytes)."""
MAX_DIRECTORY_BYTES = 2**20
"""The list of members, which is read into memory whole (bytes)."""
PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*")
"""A part of a name that means the same on every system: not hidden, no step upwards, no drive, no look-alikes."""

END = struct.Struct("<4s4H2LH")
"""The end record of a zip archive (APPNOTE 6.3.3, section 4.3.16): signature, two numbers of disks, members on this one
and in all, bytes and place of their list, length of a comment."""
END_SIGNATURE, LOCATOR_SIGNATURE = b"PK\x05\x06", b"PK\x06\x07"
LOCATOR_BYTES = 20
"""Of the record that, before the end record, would say that another one counts (zip64)."""
DAMAGE = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, OverflowError, RuntimeError, ValueError)


def unpack(archive: Path, into: Path) -> Path:
    """Store the files of a packed bundle in the folder ``into``; return the bundle's folder in it.

    Raises:
        BundleError: E_ARCHIVE, no zip archive, damaged, with a password, with members that are links or whose names
            leave the folder, or not of one folder; E_LIMIT, more or larger than a bundle may be.
    """
    try:
        with archive.open("rb") as file:
            _refuse_odd_end(file)
            with zipfile.ZipFile(file) as content:
                members = content.infolist()
                top = _checked(members, archive.stat().st_size)
                for member in members:
                    _store(content, member, into)
    except (FileExistsError, NotADirectoryError) as error:
        raise _refused("a file and a folder of the same name") from error
    except DAMAGE as error:
        raise _refused("a damaged one") from error
    return into / top


def _refuse_odd_end(file: IO[bytes]) -> None:
    """Look at what the end of the archive says of its list of members, before that list is read into memory."""
    size = file.seek(0, 2)
    file.seek(max(0, size - END.size - LOCATOR_BYTES))
    last = file.read()
    if len(last) < END.size or not last[-END.size :].startswith(END_SIGNATURE):
        raise _refused("a file of another kind, cut off, or with something behind its end")
    if last.startswith(LOCATOR_SIGNATURE):
        raise _limit(f"an archive of less than {MAX_BUNDLE_BYTES >> 20} MiB", "a zip64 archive")
    _, _, _, _, count, directory, _, comment = END.unpack(last[-END.size :])
    if comment:
        raise _refused("one with a comment")
    if count > MAX_MEMBERS or directory > MAX_DIRECTORY_BYTES:
        raise _limit(f"at most {MAX_MEMBERS} files", f"{count}")
    file.seek(0)


def _checked(members: list[zipfile.ZipInfo], archive_bytes: int) -> str:
    """Return the name of the one folder that holds all members; each has to be what a bundle may hold."""
    if len(members) > MAX_MEMBERS:  # whatever the end record said
        raise _limit(f"at most {MAX_MEMBERS} files", f"{len(members)}")
    unpacked = sum(member.file_size for member in members)
    allowed = min(MAX_BUNDLE_BYTES, max(ANY_RATIO_BYTES, MAX_RATIO * archive_bytes))
    if unpacked > allowed:
        raise _limit(f"at most {allowed >> 20} MiB in it", f"{unpacked >> 20} MiB")
    for member in members:
        _refuse_odd(member)
    parts = [member.filename.rstrip("/").split("/") for member in members]
    tops = {part[0] for part in parts if len(part) > 1 or members[parts.index(part)].is_dir()}
    if len(tops) != 1 or any(part[0] not in tops for part in parts):
        raise _refused("files that do not lie in one folder")
    twice = [name for name, times in Counter("/".join(part).lower() for part in parts).items() if times > 1]
    if twice:
        raise _refused(f"the same name more than once: {twice[0]}")
    return tops.pop()


def _refuse_odd(member: zipfile.ZipInfo) -> None:
    name = member.filename.rstrip("/") if member.is_dir() else member.filename
    if member.orig_filename != member.filename or not all(PLAIN_NAME.fullmatch(part) for part in name.split("/")):
        raise _refused(f"a name that no file of a bundle has: {ascii(member.orig_filename)[:80]}")
    kind = stat.S_IFMT(member.external_attr >> 16)
    if kind not in (0, stat.S_IFDIR if member.is_dir() else stat.S_IFREG):
        raise _refused(f"a link or a special file: {member.filename[:80]}")
    if member.flag_bits & 1:
        raise _refused("one with a password")
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise _refused(f"an unusual compression of {member.filename[:80]}")


def _store(content: zipfile.ZipFile, member: zipfile.ZipInfo, into: Path) -> None:
    """Store one member; zipfile gives no more bytes than were declared, and checks them against their checksum."""
    path = into / member.filename
    if member.is_dir():
        path.mkdir(parents=True, exist_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with content.open(member) as source, path.open("xb") as target:
        shutil.copyfileobj(source, target)
    if path.stat().st_size != member.file_size:
        raise _refused("one that ends early")


def _refused(found: str) -> BundleError:
    return BundleError(
        expected="a bundle's folder, or the file that mpmri bundle pack made of it",
        found=found,
        fix="get the file again, or unpack it yourself, look at it, and name the folder",
        code="E_ARCHIVE",
    )


def _limit(expected: str, found: str) -> BundleError:
    return BundleError(expected=expected, found=found, fix="unpack it yourself and name the folder", code="E_LIMIT")
