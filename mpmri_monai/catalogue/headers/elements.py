"""Elements of a DICOM header, decoded from their raw bytes.

Touching every element of a header through pydicom costs several times more than reading it, so only the few that are
asked for are decoded, and nearly all of them without pydicom's value classes.
"""

from __future__ import annotations

import io
import math
import struct
from collections.abc import Mapping, Sequence
from datetime import date
from functools import cached_property, lru_cache
from typing import Any, BinaryIO

import pydicom
from pydicom.charset import convert_encodings, decode_bytes
from pydicom.datadict import dictionary_VR, private_dictionary_VR
from pydicom.errors import InvalidDicomError
from pydicom.filereader import data_element_generator, read_partial
from pydicom.multival import MultiValue
from pydicom.values import convert_SQ

from mpmri_monai.catalogue.headers.clock import SECONDS_A_DAY

FIRST_BYTES = 64 * 2**10
"""Nearly every header fits into this; a longer one is read again up to MAX_HEADER_BYTES."""
MAX_HEADER_BYTES = 16 * 2**20
"""No byte of a file beyond this is taken for header (bytes)."""
MAX_ELEMENTS = 10_000
"""Elements of a header, apart from those in its sequences; real ones have a few hundred (count)."""
MAX_ITEMS = 200_000
"""Items of all sequences of a header; an enhanced file has about 20 for each frame (count)."""
ITEMS = (b"\xfe\xff\x00\xe0", b"\xff\xfe\xe0\x00")
"""What an item of a sequence begins with, in either order of bytes."""
PIXEL_TAGS = (0x7FE00008, 0x7FE00009, 0x7FE00010)
"""Pixels as floating point numbers of either length, and as integers."""
DEFLATED = b"1.2.840.10008.1.2.1.99"
"""Transfer syntax that the head of a deflated file names; nothing else that is wanted holds these bytes."""
NUMBERS = {"FL": "f", "FD": "d", "SS": "h", "US": "H", "SL": "i", "UL": "I"}
"""Value representations of binary numbers and their struct codes."""
ITEM = (0xFFFE, 0xE000)
"""Group and element that begin each item of a sequence."""
ESCAPE = b"\x1b"
"""Begins a switch to another character set in a text whose bytes are all ASCII."""


class HeaderError(Exception):
    """A DICOM header that cannot be read; the text says why and holds nothing from the header."""


def parse(file: io.FileIO, size: int) -> tuple[pydicom.FileDataset, int] | None:
    """Read a header up to its pixels.

    pydicom is handed the file's first bytes only, so that no element can take more memory than they allow; and never a
    deflated data set, which it inflates as a whole even when it stops before the pixels.

    Returns:
        The data set and the offset at which reading stopped; None when the file is not DICOM.

    Raises:
        HeaderError: the header is damaged, deflated or too large.
    """
    content = file.read(FIRST_BYTES)
    while True:
        if DEFLATED in content:
            raise HeaderError("a header is deflated, which is not read")
        buffer, whole = io.BytesIO(content), len(content) in (size, MAX_HEADER_BYTES)
        try:
            dataset = _parse(buffer)
        except HeaderError:
            raise
        except Exception as error:  # pydicom raises whatever damaged bytes lead to: struct, key, recursion errors
            if whole:
                raise HeaderError("a DICOM header is damaged") from error
        else:
            if dataset is None:
                return None
            if whole or buffer.tell() + 12 <= len(content):
                if buffer.tell() >= MAX_HEADER_BYTES:
                    raise HeaderError(f"a header is larger than {MAX_HEADER_BYTES >> 20} MiB")
                return dataset, buffer.tell()
        file.seek(0)
        content = file.read(min(size, MAX_HEADER_BYTES))
        if max(map(content.count, ITEMS)) > MAX_ITEMS:  # one takes 700 bytes of memory, and 8 of a file
            raise HeaderError(f"a header has more than {MAX_ITEMS} items")


def _parse(buffer: io.BytesIO) -> pydicom.FileDataset | None:
    """Parse a header. Without the DICOM preamble it counts only when it names a class of DICOM object."""
    try:
        return read_partial(buffer, _BeforePixels())
    except InvalidDicomError:
        buffer.seek(0)
    try:
        dataset = read_partial(buffer, _BeforePixels(), force=True)
        return dataset if Elements(dataset).text(0x00080016).startswith("1.2.840.10008.") else None
    except Exception:  # anything may come of bytes that are no DICOM
        return None


class _BeforePixels:
    """Tells pydicom when to stop: before the pixels, and when there are more elements than a header has."""

    def __init__(self) -> None:
        self._left = MAX_ELEMENTS

    def __call__(self, tag: int, representation: str | None, length: int) -> bool:
        self._left -= 1
        if self._left < 0:
            raise HeaderError(f"a header has more than {MAX_ELEMENTS} elements")
        return tag in PIXEL_TAGS


def read_with_pixels(file: BinaryIO) -> pydicom.FileDataset:
    """Read a data set whose header was found in order. What lies behind the pixels, without any limit, is not read."""
    return read_partial(file, _is_behind_pixels, force=True)


def _is_behind_pixels(tag: int, representation: str | None, length: int) -> bool:
    return tag > max(PIXEL_TAGS)


class Elements:
    """Values of a data set by tag. Texts are read as ASCII, except for ``free_text``."""

    def __init__(self, dataset: Mapping[Any, Any] | pydicom.Dataset) -> None:
        self.dataset: Any = dataset
        self.raw: dict[int, Any] = {int(tag): element for tag, element in dataset.items()}

    @cached_property
    def _blocks(self) -> dict[tuple[int, str], int]:
        """Block of private elements by group and the creator that reserved it."""
        places = [tag for tag in self.raw if tag & 0x10000 and 0x10 <= tag & 0xFFFF < 0x100]
        return {(tag >> 16, self.text(tag)): tag & 0xFF for tag in reversed(places)}

    @cached_property
    def has_private(self) -> bool:
        """Whether any creator reserved a block."""
        return bool(self._blocks)

    @property
    def cut_short(self) -> bool:
        """Whether the file ended inside the last element; pydicom then hands over what there was of its value."""
        last: Any = next(reversed(self.raw.values()), None)
        return last is not None and isinstance(last.value, bytes) and len(last.value) < getattr(last, "length", 0)

    def holds(self, tag: int) -> bool:
        """Whether an element is there with a value."""
        element = self.raw.get(tag)
        return element is not None and bool(element.value)

    def text(self, tag: int) -> str:
        """Value as text, empty when absent."""
        element = self.raw.get(tag)
        value = element.value if element is not None else None
        if value is None:
            return ""
        if isinstance(value, MultiValue):  # pydicom has decoded the character set already
            value = "\\".join(map(str, value))
        return (value.decode("ascii", "replace") if isinstance(value, bytes) else str(value)).strip(" \0")

    def texts(self, tag: int) -> tuple[str, ...]:
        """Values of an element that may hold several."""
        text = self.text(tag)
        return tuple(part.strip() for part in text.split("\\")) if text else ()

    def free_text(self, tag: int) -> str:
        """Value as text in the character set that the file names, empty when absent."""
        element = self.raw.get(tag)
        value = element.value if element is not None else None
        if not isinstance(value, bytes) or (value.isascii() and ESCAPE not in value):
            return self.text(tag)
        encodings = convert_encodings(list(self.texts(0x00080005)) or [""])
        return decode_bytes(value, encodings, set()).strip(" \0")

    def number(self, tag: int, creator: str | None = None) -> float | None:
        """First number of an element, as text or binary; None when it is absent or no finite number.

        ``creator`` of a private element is needed where the file does not say how its values are represented.
        """
        element: Any = self.raw.get(tag)
        if element is None or not element.value:
            return None
        value = element.value
        if not isinstance(value, bytes):
            return _number(str(value if isinstance(value, str | int | float) else value[0]))
        vr = element.VR
        if vr is None or vr == "UN":  # implicit, or copied by software that did not know the element
            vr = representation(int(element.tag), creator)
        code = NUMBERS.get(vr)
        if code is None:
            return _number(self.text(tag).split("\\", maxsplit=1)[0])
        order = "<" if element.is_little_endian else ">"
        number = float(struct.unpack_from(order + code, value)[0])
        return number if math.isfinite(number) else None

    def numbers(self, tag: int, count: int) -> tuple[float, ...] | None:
        """All ``count`` values of a DS element; None when one of them is absent or no finite number."""
        texts = self.texts(tag)
        values = tuple(value for value in map(_number, texts) if value is not None)
        return values if len(values) == len(texts) == count else None

    def integer(self, tag: int) -> int:
        """Value of a US element, 0 when absent."""
        element = self.raw.get(tag)
        if element is None or not element.value:
            return 0
        if isinstance(element.value, bytes):
            return int.from_bytes(element.value[:2], "little" if element.is_little_endian else "big")
        return int(element.value)

    def private(self, group: int, creator: str, element: int) -> float | None:
        """First number in a private element of the block that ``creator`` reserved; None when there is none."""
        block = self._blocks.get((group, creator))
        return None if block is None else self.number(group << 16 | block << 8 | element, creator)

    def seconds(self, day_tag: int, time_tag: int) -> float | None:
        """Clock time in seconds, counted from a fixed day when the header names the date, else from midnight."""
        return _seconds(self.text(day_tag).replace(".", ""), self.text(time_tag).replace(":", ""))

    def moment(self, tag: int) -> float | None:
        """Date and time in one element (DT) as ``seconds`` gives them; the time zone is left out of account."""
        text = self.text(tag).partition("+")[0].partition("-")[0]
        return _seconds(text[:8], text[8:])


def items_of(element: Any) -> Sequence[Mapping[Any, Any] | pydicom.Dataset]:
    """Items of a sequence, each with its elements by tag.

    A sequence that pydicom has left as bytes is taken apart without its nested data sets, which cost several times more
    than all that is read from a frame.
    """
    value, items, place = element.value, [], 0
    if not isinstance(value, bytes):
        return value or ()
    implicit, little = element.is_implicit_VR, element.is_little_endian
    while place < len(value):
        group, number, length = struct.unpack_from("<HHL" if little else ">HHL", value, place)
        place, end = place + 8, place + 8 + length
        if (group, number) != ITEM or end > len(value):  # an item of undefined length, or a damaged one
            return convert_SQ(value, implicit, little)
        items.append({own.tag: own for own in data_element_generator(io.BytesIO(value[place:end]), implicit, little)})
        place = end
    return items


def _seconds(day: str, time: str) -> float | None:
    second = _number(time[4:] or "0")
    if len(time) < 4 or not time[:4].isdigit() or second is None:
        return None
    clock = int(time[:2]) * 3600.0 + int(time[2:4]) * 60.0 + second
    try:
        return clock + date(int(day[:4]), int(day[4:6]), int(day[6:])).toordinal() * SECONDS_A_DAY
    except ValueError:
        return clock


@lru_cache
def representation(tag: int, creator: str | None) -> str:
    """Value representation by pydicom's dictionaries."""
    try:
        return private_dictionary_VR(tag, creator) if creator else dictionary_VR(tag)
    except KeyError:
        return "UN"


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
