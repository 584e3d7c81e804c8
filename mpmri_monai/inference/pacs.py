"""Studies from a PACS by C-FIND and C-GET, answers back by C-STORE. C-GET needs no port of our own, so none is opened.

What a PACS is asked for and what it sends identifies patients: nothing of it is logged, printed or part of an error,
and files are named by a hash.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydicom import Dataset, dcmread
from pydicom.uid import UID

from mpmri_monai.artefacts import whole_folder
from mpmri_monai.catalogue.quiet import without_warnings
from mpmri_monai.errors import ConfigError
from mpmri_monai.inference.pacs_connection import (
    OWN_TITLE,
    Address,
    PacsError,
    answer_error,
    connected,
    not_allowed,
)

NAMES_A_STUDY = ("StudyInstanceUID", "AccessionNumber", "PatientID")
"""At least one of these has to be asked for; a study that answers with another value is none that was asked for."""
SEARCHABLE = (*NAMES_A_STUDY, "StudyDate", "StudyID")
FETCHED = ("MR", "SEG", "RTSTRUCT")
"""Modalities of the series that are fetched: images, and masks of lesions."""

PENDING = (0xFF00, 0xFF01)
SUCCESS = 0x0000
STORED_WITH_REMARK = (0xB000, 0xB006, 0xB007)
"""C-STORE: taken, with elements coerced or ignored (PS3.4, B.2.3)."""
OUT_OF_RESOURCES = 0xA700
FIND, GET = "1.2.840.10008.5.1.4.1.2.2.1", "1.2.840.10008.5.1.4.1.2.2.3"
"""Study root query and retrieve: C-FIND and C-GET."""
STORED_CLASSES = (
    "1.2.840.10008.5.1.4.1.1.4",  # MR Image
    "1.2.840.10008.5.1.4.1.1.4.1",  # Enhanced MR Image
    "1.2.840.10008.5.1.4.1.1.4.4",  # Legacy Converted Enhanced MR Image
    "1.2.840.10008.5.1.4.1.1.66.4",  # Segmentation
    "1.2.840.10008.5.1.4.1.1.66.7",  # Label Map Segmentation
    "1.2.840.10008.5.1.4.1.1.481.3",  # RT Structure Set
    "1.2.840.10008.5.1.4.1.1.7",  # Secondary Capture
)
STORED_SYNTAXES = (
    "1.2.840.10008.1.2.1",  # explicit little endian
    "1.2.840.10008.1.2",  # implicit little endian
    "1.2.840.10008.1.2.4.70",  # JPEG lossless, first-order prediction
    "1.2.840.10008.1.2.4.57",  # JPEG lossless
    "1.2.840.10008.1.2.4.80",  # JPEG-LS lossless
    "1.2.840.10008.1.2.4.90",  # JPEG 2000 lossless
    "1.2.840.10008.1.2.5",  # RLE
)
"""One context each: in a context with several the PACS chooses one, and could not send files of another one."""


@dataclass(frozen=True)
class Caps:
    """What one study may bring at most; more is refused before it fills the disk."""

    files: int = 20_000
    """Count."""
    size: int = 20 * 2**30
    """Bytes, all files together."""


def parse_query(texts: Sequence[str]) -> dict[str, str]:
    """Return a query given as ``KEYWORD=VALUE`` texts, checked as `fetch` does.

    Raises:
        ConfigError: an unknown keyword, one twice, no value, a wildcard, or nothing that names a study.
    """
    query = dict(text.partition("=")[::2] for text in texts)
    if len(query) < len(texts):
        raise ConfigError(expected="each KEYWORD of a query once", found="one of them twice", code="E_PACS_QUERY")
    _check_query(query)
    return query


def fetch(
    address: str, query: Mapping[str, str], folder: Path, caps: Caps = Caps(), own_title: str = OWN_TITLE
) -> Path:
    """Fetch the MR series of one study, and masks that lie beside them, into a new private folder.

    Args:
        address: ``HOST:PORT/AET``.
        query: DICOM keyword -> value, as of `parse_query`; it must match exactly one study.
        folder: must not exist; it is there only when the whole study is.
        caps: the most that is taken.
        own_title: the title by which the PACS knows this machine.

    Returns:
        The folder, readable by its owner only, with one file an image, named by a hash.

    Raises:
        ConfigError: the address or the query is not usable, or the extra ``pacs`` is not installed.
        PacsError: E_PACS_CONNECT, E_PACS_REFUSED, E_PACS_NONE (no match), E_PACS_SEVERAL, E_PACS_PART (not all images
            came), E_PACS_ANSWER (the PACS reports a failure), E_LIMIT.
        OutputError: the folder exists or cannot be written.
    """
    _check_query(query)
    with whole_folder(folder) as part:
        receiver = _Receiver(part, caps)
        with connected(Address.parse(address), own_title, _fetch_contexts(), receiver) as association:
            study = _the_study(association, query)
            series = _series(association, study, caps)
            for uid, expected in series.items():
                _get(association, study, uid, expected, receiver)
    folder.chmod(0o700)
    return folder


@without_warnings()
def send(address: str, files: Sequence[Path], own_title: str = OWN_TITLE) -> int:
    """Send DICOM files to a PACS and return how many it took, which is all of them.

    Raises:
        ConfigError: the address is not usable, a file is not DICOM, or the extra ``pacs`` is not installed.
        PacsError: E_PACS_CONNECT, E_PACS_REFUSED (the association, or a kind of object), E_PACS_ANSWER.
    """
    kinds = sorted({_kind(Path(path)) for path in files})
    with connected(Address.parse(address), own_title, [(one, syntax, False) for one, syntax in kinds]) as association:
        accepted = {str(context.abstract_syntax) for context in association.accepted_contexts}
        refused = sorted({_name(one) for one, _ in kinds if one not in accepted})
        if refused:
            raise PacsError(
                expected="a PACS that takes all objects",
                found=f"it refuses {', '.join(refused)}",
                fix="allow them there; nothing was sent",
                code="E_PACS_REFUSED",
            )
        for count, path in enumerate(files):
            status = association.send_c_store(dcmread(path)).get("Status")
            if status not in (SUCCESS, *STORED_WITH_REMARK):
                raise answer_error(f"to store object {count + 1} of {len(files)}", status)
    return len(files)


def _check_query(query: Mapping[str, str]) -> None:
    unknown = [name for name in query if name not in SEARCHABLE]
    unusable = [name for name, value in query.items() if not value.strip() or set(value) & set("*?\\")]
    if unknown or unusable or not set(query) & set(NAMES_A_STUDY):
        if unknown:
            found = f"{len(unknown)} that are none of {', '.join(SEARCHABLE)}"
        elif unusable:
            found = f"an empty value or a wildcard in {', '.join(unusable)}"
        else:
            found = "none of them"
        raise ConfigError(
            expected=f"a query KEYWORD=VALUE that names one study by {', '.join(NAMES_A_STUDY)}",
            found=found,
            code="E_PACS_QUERY",
        )


class _Receiver:
    """Takes what the PACS sends during C-GET, within the caps."""

    def __init__(self, folder: Path, caps: Caps) -> None:
        self.folder, self.caps = folder, caps
        self.names: set[str] = set()
        self.size = 0
        self.full = False
        self.error: OSError | None = None

    def store(self, event: Any) -> int:
        """Write one object as it came, without decoding it; pydicom's preamble is zero."""
        uid = str(event.request.AffectedSOPInstanceUID)
        name = hashlib.sha256(uid.encode()).hexdigest()[:32] + ".dcm"
        self.names.add(name)
        if len(self.names) > self.caps.files:
            self.full = True
            return OUT_OF_RESOURCES
        try:
            (self.folder / name).write_bytes(event.encoded_dataset())
        except OSError as error:
            self.error = error
            return OUT_OF_RESOURCES
        return SUCCESS

    def count(self, event: Any) -> None:
        """Count bytes as they arrive, and hang up when there are too many or the disk is full: an object may never end.

        The connection is closed rather than aborted: an answer to an object that has just come may be under way, and
        after an abort of our own pynetdicom's state machine fails on it.
        """
        self.size += len(event.data)
        self.full = self.full or self.size > self.caps.size
        if self.full or self.error is not None:
            event.assoc.dul.socket.close()

    def check(self) -> None:
        """Raise what happened while objects arrived."""
        if self.error is not None:
            raise self.error
        if self.full:
            raise _too_large(self.caps)


def _fetch_contexts() -> list[tuple[str, Any, bool]]:
    stored = [(kind, syntax, True) for kind in STORED_CLASSES for syntax in STORED_SYNTAXES]
    return [(FIND, None, False), (GET, None, False), *stored]


def _find(association: Any, level: str, keys: Mapping[str, str]) -> Iterator[Dataset]:
    identifier = Dataset()
    identifier.QueryRetrieveLevel = level
    for name, value in keys.items():
        setattr(identifier, name, value)
    try:
        for status, match in association.send_c_find(identifier, FIND):
            if status.get("Status") in PENDING and match is not None:
                yield match
            elif status.get("Status") != SUCCESS:
                raise answer_error("to search", status.get("Status"))
    except ValueError as error:  # pynetdicom's, when the PACS did not accept that it is asked
        raise not_allowed("searches") from error


def _the_study(association: Any, query: Mapping[str, str]) -> str:
    """Return the UID of the one study that matches."""
    asked = {"StudyInstanceUID": ""} | dict.fromkeys(NAMES_A_STUDY, "") | dict(query)
    named = [name for name in NAMES_A_STUDY if name in query]
    matches = {
        _told(match, "StudyInstanceUID")
        for match in _find(association, "STUDY", asked)
        if all(_told(match, name).lower() == query[name].strip().lower() for name in named)
    } - {""}
    if len(matches) == 1:
        return matches.pop()
    if matches:
        raise PacsError(
            expected="one study that matches the query",
            found=f"{len(matches)}",
            fix=f"ask for more of {', '.join(SEARCHABLE)}, best StudyInstanceUID or AccessionNumber",
            code="E_PACS_SEVERAL",
        )
    raise PacsError(
        expected="one study that matches the query",
        found="none",
        fix=f"check the value of {', '.join(query)}, and that the PACS answers this machine",
        code="E_PACS_NONE",
    )


def _told(match: Dataset, name: str) -> str:
    """Return what a match says of an attribute, empty when nothing: an empty UID would ask for everybody's images."""
    return str(match.get(name) or "").strip()


def _series(association: Any, study: str, caps: Caps) -> dict[str, int | None]:
    """Return UID -> number of images, or None where the PACS does not say, of the series to fetch.

    Some answer with series of other studies too, where they do not know the key.
    """
    asked = ("SeriesInstanceUID", "Modality", "NumberOfSeriesRelatedInstances")
    keys = {"StudyInstanceUID": study} | dict.fromkeys(asked, "")
    found = [
        match
        for match in _find(association, "SERIES", keys)
        if _told(match, "Modality") in FETCHED
        and _told(match, "SeriesInstanceUID")
        and _told(match, "StudyInstanceUID") in (study, "")
    ]
    if not any(_told(match, "Modality") == FETCHED[0] for match in found):
        raise PacsError(expected="a study with MR series", found="one without", code="E_PACS_NONE")
    counts = {_told(match, "SeriesInstanceUID"): _told(match, "NumberOfSeriesRelatedInstances") for match in found}
    series = {uid: int(count) if count.isdecimal() else None for uid, count in counts.items()}
    if sum(count or 0 for count in series.values()) > caps.files:
        raise _too_large(caps)
    return series


def _get(association: Any, study: str, series: str, expected: int | None, receiver: _Receiver) -> None:
    """Fetch one series; raise PacsError unless all of it came."""
    identifier = Dataset()
    identifier.QueryRetrieveLevel = "SERIES"
    identifier.StudyInstanceUID, identifier.SeriesInstanceUID = study, series
    before, failed, final = len(receiver.names), 0, None
    try:
        for status, _ in association.send_c_get(identifier, GET):
            final = status.get("Status")
            failed = int(status.get("NumberOfFailedSuboperations") or 0)
    except ValueError as error:  # pynetdicom's, when the PACS did not accept that it is asked
        raise not_allowed("C-GET") from error
    receiver.check()
    came = len(receiver.names) - before
    if failed or (final == SUCCESS and came < (expected or 1)):
        of = f" of {expected}" if expected else ""
        raise PacsError(
            expected="every image of a series",
            found=f"{came}{of}, {failed} that the PACS could not send",
            fix="try again; if it stays so, export the study as files",
            code="E_PACS_PART",
        )
    if final != SUCCESS:
        raise answer_error("to send a series", final)


def _too_large(caps: Caps) -> PacsError:
    return PacsError(
        expected=f"a study of at most {caps.files} files and {caps.size / 2**30:.3g} GiB",
        found="a larger one",
        fix="export the series that are needed as files",
        code="E_LIMIT",
    )


def _kind(path: Path) -> tuple[str, str]:
    """Return class and transfer syntax of a file."""
    try:
        meta = dcmread(path, specific_tags=[], stop_before_pixels=True).file_meta
        return str(meta.MediaStorageSOPClassUID), str(meta.TransferSyntaxUID)
    except Exception as error:  # whatever a damaged or foreign file makes pydicom raise
        raise ConfigError(expected="DICOM files to send", found="a file that is none", code="E_FILE") from error


def _name(kind: str) -> str:
    """Return what a class is called."""
    name = UID(kind).name
    return "a class of objects without a known name" if name == kind else name
