"""What stands in place of identifiers: codes, UIDs and times that only the holder of a key can lead back."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path

from pydicom.uid import UID_dictionary

from mpmri_monai.artefacts import make_folder
from mpmri_monai.errors import ConfigError, OutputError

KEY_BYTES = 32
"""Length of a key: as long as the hashes made with it (bytes)."""
MOST_DAYS = 3650
"""Dates move back by 1 to this many days."""
MOST_SECONDS = 5 * 3600
"""Times of day move by at most this much, so that an examination between 5 and 19 h stays within its day (s)."""
CODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,15}")
"""What a patient's code may look like."""

_DAY = re.compile(r"(\d{4})\.?(\d{2})\.?(\d{2})")
_TIME = re.compile(r"(\d{2}):?(\d{2}):?(\d{2})?(\.\d+)?")
_DATE_TIME = re.compile(r"(\d{8})(\d{4}(?:\d{2}(?:\.\d+)?)?)(?:[+-]\d{4})?")


@dataclass(frozen=True)
class Pseudonyms:
    """Keyed replacements: the same key and patient code give the same ones, in any study."""

    key: bytes = field(repr=False)
    patient: str
    """Code that stands for the patient."""

    def uid(self, original: str) -> str:
        """Return the UID in place of ``original``: "2.25." and 128 bits of a keyed hash (PS3.5, B.2).

        UIDs that the standard defines, such as those of SOP classes, say nothing about the patient and stay.
        """
        if not original or original in UID_dictionary:
            return original
        return f"2.25.{int.from_bytes(keyed_hash(self.key, 'uid', original)[:16], 'big')}"

    @cached_property
    def offset(self) -> timedelta:
        """By how much every date and time of the patient is moved, in whole seconds."""
        number = int.from_bytes(keyed_hash(self.key, "offset", self.patient), "big")
        number, day = divmod(number, MOST_DAYS)
        return timedelta(days=-1 - day, seconds=number % (2 * MOST_SECONDS + 1) - MOST_SECONDS)

    def day_and_time(self, day: str, time: str) -> tuple[str, str]:
        """Move a date (DA) and the time (TM) that belongs to it; midnight carries over to the date.

        Either may be empty; what cannot be read comes back empty. A date alone is taken for noon.
        """
        day_match, time_match = _DAY.fullmatch(day), _TIME.fullmatch(time)
        hour, minute, second, fraction = time_match.groups() if time_match else ("12", "00", "00", "")
        clock = timedelta(hours=int(hour), minutes=int(minute), seconds=int(second or 0))
        year, month, date = day_match.groups() if day_match else ("2000", "01", "01")
        try:
            moved = datetime(int(year), int(month), int(date)) + clock + self.offset
        except (ValueError, OverflowError):
            return "", ""
        moved_day = f"{moved.year:04}{moved.month:02}{moved.day:02}" if day_match else ""
        return moved_day, f"{moved:%H%M%S}{fraction or ''}" if time_match else ""

    def date_time(self, text: str) -> str:
        """Move a date and time in one value (DT); the offset from UTC, which tells a place, is left out."""
        match = _DATE_TIME.fullmatch(text)
        return "".join(self.day_and_time(*match.groups())) if match else ""


def keyed_hash(key: bytes, purpose: str, text: str) -> bytes:
    """Return the HMAC-SHA256 of ``text``; hashes for different purposes have nothing to do with each other."""
    return hmac.digest(key, f"{purpose}:{text}".encode("utf-8", "surrogateescape"), hashlib.sha256)


def read_or_create_key(path: Path) -> bytes:
    """Read a key file; when there is none, create it with a random key that only its owner may read.

    Raises:
        ConfigError: the file holds no key (E_KEY).
        OutputError: it can be neither read nor created.
    """
    try:
        text = path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return _create_key(path)
    except (OSError, UnicodeDecodeError) as error:
        raise _no_key("a file that cannot be read as one") from error
    try:
        key = bytes.fromhex(text)
    except ValueError as error:
        raise _no_key("something else") from error
    if len(key) < KEY_BYTES:
        raise _no_key(f"{len(key)} bytes")
    return key


def _create_key(path: Path) -> bytes:
    key = secrets.token_bytes(KEY_BYTES)
    make_folder(path.parent)
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
            file.write(key.hex() + "\n")
    except OSError as error:
        if not isinstance(error, FileExistsError):
            path.unlink(missing_ok=True)
        found = os.strerror(error.errno).lower() if error.errno else "an error"
        raise OutputError(expected="to create the key file", found=found, code="E_KEY") from error
    return key


def _no_key(found: str) -> ConfigError:
    return ConfigError(
        expected=f"a key file: {KEY_BYTES} bytes or more as hexadecimal digits",
        found=found,
        fix="name a file that does not exist yet to have one made",
        code="E_KEY",
    )
