"""Copy a DICOM data set by the allow-list, so that nothing in the copy leads to a person."""

from __future__ import annotations

import re

from pydicom import DataElement, Dataset
from pydicom.datadict import dictionary_VM, keyword_for_tag, private_dictionary_VM
from pydicom.dataelem import RawDataElement
from pydicom.tag import BaseTag, Tag

from mpmri_monai import __version__
from mpmri_monai.catalogue.headers import vendors
from mpmri_monai.catalogue.headers.classic import NO_AGENT
from mpmri_monai.catalogue.headers.elements import Elements, representation
from mpmri_monai.catalogue.pixels.image_data import image_data
from mpmri_monai.catalogue.sharing.allowlist import (
    CODING_SCHEMES,
    EMPTY,
    KINDS,
    LABELS,
    PRIVATE,
    SUBTRACTION,
    WORDS,
    Kind,
    tag_of,
)
from mpmri_monai.catalogue.sharing.pseudonyms import Pseudonyms

METHOD = f"mpmri_monai {__version__}: allow-list, keyed UIDs, moved times"
PROFILE_CODES = (
    ("113100", "Basic Application Confidentiality Profile"),
    ("113107", "Retain Longitudinal Temporal Information Modified Dates Option"),
    ("113111", "Retain Safe Private Option"),
)
"""What is done to a file, in the terms of PS3.15, annex E (codes of PS3.16, CID 7050)."""
UNKNOWN_CONCEPT = ("0", "99MPMRI", "not kept")
"""Stands for a coded concept of a scheme that is not listed."""

BINARY_BYTES = {"US": 2, "SS": 2, "UL": 4, "SL": 4, "FL": 4, "FD": 8, "AT": 4}
"""Representations of binary numbers, and the size of one (bytes)."""
NUMBERS = re.compile(rb"[-+0-9.eE \\]*\0?")
"""Numbers as text, with backslashes between them."""

Element = DataElement | RawDataElement
Encoding = tuple[bool, bool]
"""Whether representations are implicit, and whether bytes are little-endian."""


class Cleaner:
    """Copies the data sets of one study by the allow-list."""

    def __init__(self, pseudonyms: Pseudonyms) -> None:
        self._pseudonyms = pseudonyms
        self._words: dict[str, str] = {}

    def clean(self, source: Dataset, encoding: Encoding) -> Dataset:
        """Return what may be kept of the data set of a whole file, marked as de-identified.

        Args:
            source: as read; it is not changed.
            encoding: of the file. The copy has to be written in the same one, for most values are copied as bytes.
        """
        copy = self._copy(source, encoding)
        for tag, element in image_data(source, Elements(source)).items():
            copy[tag] = element
        for keyword in EMPTY:
            setattr(copy, keyword, "")
        copy.PatientName = copy.PatientID = self._pseudonyms.patient
        copy.PatientIdentityRemoved = "YES"
        copy.DeidentificationMethod = METHOD
        copy.DeidentificationMethodCodeSequence = [_concept(code, "DCM", text) for code, text in PROFILE_CODES]
        copy.LongitudinalTemporalInformationModified = "MODIFIED"
        return copy

    def _copy(self, source: Dataset, encoding: Encoding) -> Dataset:
        copy, elements = Dataset(), Elements(source)
        copy.set_original_encoding(*encoding)
        for tag in source.keys():  # noqa: SIM118 - iterating over a Dataset decodes every element
            element = None if tag.is_private else self._public(tag, source, elements, encoding)
            if element is not None:
                copy[tag] = element
        self._add_private(copy, source, elements, encoding)
        _add_texts(copy, elements)
        return copy

    def _public(self, tag: BaseTag, source: Dataset, elements: Elements, encoding: Encoding) -> Element | None:
        """What is kept of one element; None when it is left out."""
        kept: Element | None = None
        match KINDS.get(tag):
            case Kind.NUMBER:
                kept = _number(source, tag, None)
            case Kind.SEQUENCE:
                kept = DataElement(tag, "SQ", [self._copy(item, encoding) for item in source[tag].value or []])
            case Kind.UID:
                kept = DataElement(tag, "UI", [self._pseudonyms.uid(uid) for uid in elements.texts(tag)])
            case Kind.CODE:
                kept = DataElement(tag, "CS", [self._word(word) for word in elements.texts(tag)])
            case Kind.TIME:
                kept = DataElement(tag, representation(tag, None), self._moved(tag, elements))
        return kept

    def _word(self, word: str) -> str:
        """The word itself when the vocabulary has it; else the same neutral one each time it comes in a study."""
        plain = word.upper().replace(" ", "_")
        if not plain or plain in WORDS:
            return word
        if plain.startswith(SUBTRACTION):
            return SUBTRACTION
        return self._words.setdefault(word, f"OTHER{len(self._words) + 1}")

    def _moved(self, tag: BaseTag, elements: Elements) -> list[str]:
        """Values of a date, a time, or both in one, moved by the patient's offset."""
        keyword, texts = keyword_for_tag(tag), elements.texts(tag)
        if keyword.endswith("DateTime"):
            return [self._pseudonyms.date_time(text) for text in texts]
        if keyword.endswith("Date"):
            time = elements.text(tag_of(keyword.removesuffix("Date") + "Time"))
            return [self._pseudonyms.day_and_time(day, time)[0] for day in texts]
        return [self._pseudonyms.day_and_time("", time)[1] for time in texts]

    def _add_private(self, copy: Dataset, source: Dataset, elements: Elements, encoding: Encoding) -> None:
        """Copy the private elements of the allow-list, and the creators that reserve their blocks."""
        kept: dict[BaseTag, str] = {}
        for place in (tag for tag in source.keys() if tag.is_private_creator):  # noqa: SIM118
            creator = elements.text(place)
            for number in (number for group, name, number in PRIVATE if (group, name) == (place.group, creator)):
                tag = Tag(place.group, place.element << 8 | number)
                element = self._private(tag, creator, source, encoding) if tag in source else None
                if element is not None:
                    copy[tag] = element
                    kept[place] = creator
        for place, creator in kept.items():  # after their elements, which pydicom would decode otherwise
            copy[place] = DataElement(place, "LO", creator)

    def _private(self, tag: BaseTag, creator: str, source: Dataset, encoding: Encoding) -> Element | None:
        if representation(tag, creator) != "SQ":
            return _number(source, tag, creator)
        return DataElement(tag, "SQ", [self._copy(item, encoding) for item in source[tag].value or []])


def _number(source: Dataset, tag: BaseTag, creator: str | None) -> RawDataElement | None:
    """The element as it is when it holds numbers and nothing else."""
    element = source.get_item(tag)
    if not isinstance(element, RawDataElement) or element.value is None:
        return None
    known = representation(tag, creator)
    found = known if element.VR in (None, "UN") else element.VR
    if found in BINARY_BYTES:
        count, rest = divmod(len(element.value), BINARY_BYTES[found])
        fits = not rest and _may_have(count, tag, creator)
    else:
        fits = NUMBERS.fullmatch(element.value) is not None
    return element._replace(VR=element.VR or known) if fits else None


def _may_have(count: int, tag: BaseTag, creator: str | None) -> bool:
    """Whether an element may have this many values: bytes of another length are no numbers, but could be text."""
    try:
        allowed = private_dictionary_VM(tag, creator) if creator else dictionary_VM(tag)
    except KeyError:
        allowed = "1"
    return count <= int(allowed) if allowed.isdigit() else True


def _add_texts(copy: Dataset, elements: Elements) -> None:
    """Add the few texts that readers need, each from a fixed vocabulary."""
    if elements.holds(tag_of("Manufacturer")):
        copy.Manufacturer = vendors.manufacturer(elements).upper()
    if elements.holds(tag_of("ContrastBolusAgent")):
        named = elements.text(tag_of("ContrastBolusAgent")).upper() not in NO_AGENT
        copy.ContrastBolusAgent = "AGENT" if named else "NONE"
    if elements.holds(tag_of("CodeValue")):
        code, scheme = elements.text(tag_of("CodeValue")), elements.text(tag_of("CodingSchemeDesignator"))
        known = scheme in CODING_SCHEMES and CODING_SCHEMES[scheme].fullmatch(code)
        copy.update(_concept(code, scheme, f"{scheme} {code}") if known else _concept(*UNKNOWN_CONCEPT))
    for keyword, number, word in LABELS:
        if elements.holds(tag_of(keyword)):
            value = elements.number(tag_of(number)) if number else None
            setattr(copy, keyword, word if value is None else f"{word} {value:.0f}")


def _concept(code: str, scheme: str, meaning: str) -> Dataset:
    concept = Dataset()
    concept.CodeValue, concept.CodingSchemeDesignator, concept.CodeMeaning = code, scheme, meaning
    return concept
