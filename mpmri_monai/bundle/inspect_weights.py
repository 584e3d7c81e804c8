"""Weights of a foreign bundle: the archive and its pickle, read opcode by opcode and never loaded."""

from __future__ import annotations

import pickletools
import re
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path

LARGEST_PICKLE = 64 << 20
"""Bytes of the part that names the tensors; of real networks it has well under one MiB."""
LARGEST_DIRECTORY = 32 << 20
"""Bytes of the list of entries; one entry is a tensor and takes about a hundred."""

_ENTRY = re.compile(
    r"^(?P<archive>[\w-][\w.-]*)/(data\.pkl|data/\d+|version|byteorder|\.format_version|\.storage_alignment"
    r"|\.data/serialization_id)$"
)
_STORAGES = ("Bool", "BFloat16", "Byte", "Char", "Double", "Float", "Half", "Int", "Long", "Short")
GLOBALS = frozenset(
    {f"torch {kind}Storage" for kind in _STORAGES}
    | {"torch._utils _rebuild_tensor_v2", "torch._utils _rebuild_parameter", "collections OrderedDict"}
)
"""What a pickle of plain tensors names; torch's own weights-only loader allows more."""
_BUILDS = ("EMPTY_DICT", "EMPTY_LIST", "EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3")
_VALUES = ("NONE", "NEWTRUE", "NEWFALSE", "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE")
_FILLS = ("MARK", "APPEND", "APPENDS", "SETITEM", "SETITEMS", "BINPUT", "LONG_BINPUT", "BINGET", "LONG_BINGET")
OPCODES = frozenset(
    ("PROTO", "STOP", "GLOBAL", "REDUCE", "BUILD", "BINPERSID", "SHORT_BINUNICODE", *_BUILDS, *_VALUES, *_FILLS)
)
"""What a pickle of plain tensors does."""

_END = struct.Struct("<4s4H2LH")
_END64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR = 20
"""Bytes: the zip format's end record, its 64-bit twin, and the locator between them."""


def judge_weights(path: Path) -> Iterator[tuple[str, str]]:
    """Yield (code, what) for everything in a ``.pt`` file that is more than tensors in plain containers."""
    with path.open("rb") as file:
        start = file.read(4)
    if start != b"PK\x03\x04":
        yield "E_PICKLE", "not the archive that torch.save writes, so torch falls back to plain unpickling"
        return
    try:
        count = _entries_of_one_archive(path)
        if count is None:
            yield "E_ARCHIVE", "something before, after or between the parts of the archive"
            return
        with zipfile.ZipFile(path) as archive:
            problems = list(_judge_entries(archive.infolist(), count))
            yield from problems
            if not problems:
                yield from judge_pickle(archive.read(_pickle_of(archive)))
    # zipfile's NotImplementedError: a compression or a version of the format that it does not know
    except (zipfile.BadZipFile, ValueError, EOFError, OSError, NotImplementedError, struct.error) as error:
        yield "E_ARCHIVE", f"cannot be read: {error}"


def _pickle_of(archive: zipfile.ZipFile) -> zipfile.ZipInfo:
    return next(entry for entry in archive.infolist() if entry.filename.endswith("/data.pkl"))


def _judge_entries(entries: list[zipfile.ZipInfo], count: int) -> Iterator[tuple[str, str]]:
    if len(entries) != count or min((entry.header_offset for entry in entries), default=-1) != 0:
        yield "E_ARCHIVE", "entries that not every reader sees"
    names = [entry.orig_filename for entry in entries]
    if any("/code/" in name or name.endswith("/constants.pkl") for name in names):
        yield "E_TORCHSCRIPT", "the archive has a code folder"
        return
    matches = [_ENTRY.fullmatch(name) for name in names]
    strange = [name for name, match in zip(names, matches, strict=True) if match is None]
    if strange:
        yield "E_ARCHIVE", f"the entry {strange[0]}, which torch.save does not write"
    elif len({match["archive"] for match in matches if match}) != 1:
        yield "E_ARCHIVE", "more than one archive in one file"
    if len({name.lower() for name in names}) < len(names):
        yield "E_ARCHIVE", "two entries of one name"
    pickles = [entry for entry in entries if entry.filename.endswith("/data.pkl")]
    if not pickles:
        yield "E_ARCHIVE", "no data.pkl"
    elif pickles[0].file_size > LARGEST_PICKLE:
        yield "E_SIZE", f"a data.pkl of {pickles[0].file_size} bytes"
    if any(entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 0x1 for entry in entries):
        yield "E_ARCHIVE", "compressed or encrypted entries, which torch.save does not write"
    if any(entry.file_size != entry.compress_size for entry in entries):
        yield "E_ARCHIVE", "an entry with two sizes"


def _entries_of_one_archive(path: Path) -> int | None:
    """Return the count of entries when the directory ends where the file ends, by both of its records; else None.

    So no reader can find another directory, and what is read to find the entries is bounded.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(0, size - _END.size - _LOCATOR - _END64.size))
        tail = file.read()
    sign, _, _, _, count, length, offset, comment = _END.unpack(tail[-_END.size :])
    end = size - _END.size
    if tail[-_END.size - _LOCATOR :].startswith(b"PK\x06\x07"):
        end -= _LOCATOR + _END64.size
        sign64, *_, count64, length64, offset64 = _END64.unpack(tail[: _END64.size])
        if (sign64, count64, length64, offset64) != (b"PK\x06\x06", count, length, offset):
            return None
    fits = (sign, comment, offset + length) == (b"PK\x05\x06", 0, end) and length <= LARGEST_DIRECTORY
    return count if fits else None


def judge_pickle(content: bytes) -> Iterator[tuple[str, str]]:
    """Yield (code, what) for opcodes and globals that a pickle of plain tensors does not have."""
    found: set[str] = set()
    end: int | None = -1
    try:
        for opcode, argument, position in pickletools.genops(content):
            if opcode.name == "GLOBAL" and argument not in GLOBALS:
                found.add(f"names {argument}")
            elif opcode.name not in OPCODES:
                found.add(f"does {opcode.name} {argument if argument is not None else ''}".rstrip())
            end = position
    except Exception as error:  # pickletools raises many kinds on broken input
        found.add(f"cannot be read: {type(error).__name__}")
    else:
        if end != len(content) - 1:
            found.add("goes on after its end")
    yield from (("E_PICKLE", what) for what in sorted(found))
