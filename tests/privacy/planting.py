"""Plant strings that are found nowhere else wherever a study can hold text, and search for them in what comes of it."""

from __future__ import annotations

import gzip
import io
import re
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import pydicom
from pydicom.datadict import DicomDictionary, dictionary_VR, keyword_for_tag
from pydicom.dataset import Dataset

TEXTS = ("LO", "SH", "ST", "LT", "UT", "UC", "UR", "PN", "AE", "CS")
GROUPS = range(0x0008, 0x0075)
"""Groups of attributes of the standard that hold text."""
FUNCTIONAL = {
    "SpecificCharacterSet", "Modality", "ImageType", "ScanningSequence", "MRAcquisitionType", "Manufacturer",
    "PhotometricInterpretation", "ComplexImageComponent", "ContrastBolusAgent", "BurnedInAnnotation", "ConversionType",
    "SOPClassUID", "RescaleType", "PatientID", "PatientName", "FlowTransferSyntaxUID",
}  # fmt: skip
"""Attributes that say what an image is; those that may hold several values get a planted one besides."""
UID_ROOT = "1.2.99977."
BIRTHDAY, DAY, FRACTION = "19470813", "20190817", ".413579"
"""Dates, and the fraction of every clock time."""

PLANTED = re.compile(rb"(?i)zq\d{5}xw|1\.2\.99977\.\d+|19470813|20190817|\.413579|\.0?413579")


class Planter:
    """Hands out strings, and remembers where each was put."""

    def __init__(self) -> None:
        self.places: dict[str, str] = {}

    def text(self, place: str) -> str:
        """A string that no other place gets."""
        text = f"ZQ{len(self.places):05}XW"
        self.places[text] = place
        return text

    def uid(self, place: str) -> str:
        """A UID that no other place gets."""
        uid = f"{UID_ROOT}{len(self.places)}"
        self.places[uid] = place
        return uid


def plant(folder: Path, planter: Planter, thoroughly: int) -> None:
    """Plant into all files of a study, and into every attribute of one file in ``thoroughly``; rename all files."""
    uids: dict[str, str] = {}
    constant = {keyword: planter.text(keyword) for keyword in ("PatientID", "ImageType")}
    for number, path in enumerate(sorted(folder.iterdir())):
        dataset = pydicom.dcmread(path)
        _replace(dataset, planter, uids, constant)
        if number % thoroughly == 0:
            _add_everything(dataset, planter)
        home = folder / f"{planter.text('folder')} Li Wei"
        home.mkdir()
        dataset.save_as(home / f"{planter.text('file name')}^Li.dcm", enforce_file_format=True)
        path.unlink()
    (folder / f"{planter.text('file name')}.txt").write_text(planter.text("text file"))
    (folder / f".{planter.text('file name')}").write_text(planter.text("hidden file"))


def _replace(dataset: Dataset, planter: Planter, uids: dict[str, str], constant: dict[str, str]) -> None:
    """Replace every identifier, date and clock time that is there, and plant into what is read."""
    for element in list(dataset):
        keyword = element.keyword
        if element.VR == "UI" and keyword != "SOPClassUID":
            if element.value not in uids:
                uids[element.value] = planter.uid(keyword)
            element.value = uids[element.value]
        elif element.VR == "DA":
            element.value = DAY
        elif element.VR == "TM":
            element.value = element.value[:6] + FRACTION
        elif element.VR in TEXTS and keyword not in FUNCTIONAL:
            element.value = planter.text(keyword)
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.file_meta.SourceApplicationEntityTitle = planter.text("SourceApplicationEntityTitle")
    dataset.preamble = planter.text("preamble").encode().ljust(128)
    dataset.PatientID = constant["PatientID"]
    dataset.PatientBirthDate = BIRTHDAY
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.PatientName = f"{planter.text('PatientName')}^小东=王^{planter.text('PatientName')}"
    dataset.Manufacturer = f"GE {planter.text('Manufacturer')}"
    dataset.ContrastBolusAgent = planter.text("ContrastBolusAgent")
    dataset.ImageType = [*dataset.get("ImageType", ["DERIVED", "SECONDARY", "OTHER"]), constant["ImageType"]]
    block = dataset.private_block(0x0043, "GEMS_PARM_01", create=True)
    block.add_new(0x01, "LO", planter.text("private element of a known block"))
    block = dataset.private_block(0x0099, planter.text("private creator"), create=True)
    block.add_new(0x01, "UN", planter.text("private element").encode())


def _add_everything(dataset: Dataset, planter: Planter) -> None:
    """Add every attribute of the standard that can hold text or a UID, and the same once more in a sequence."""
    nested, deeper = Dataset(), Dataset()
    dataset.RequestAttributesSequence, nested.RequestedProcedureCodeSequence = [nested], [deeper]
    dataset.ReferencedImageSequence = [deeper]  # is kept, but not what is in it
    for tag in DicomDictionary:
        keyword, vr = keyword_for_tag(tag), dictionary_VR(tag)
        if tag >> 16 not in GROUPS or keyword in FUNCTIONAL or tag in dataset:
            continue
        if vr in TEXTS:
            for home in (dataset, nested, deeper):
                home.add_new(tag, vr, planter.text(keyword))
        elif vr == "UI":
            dataset.add_new(tag, vr, planter.uid(keyword))
        elif vr == "DA":
            dataset.add_new(tag, vr, BIRTHDAY)


def found(content: bytes) -> set[str]:
    """Return the planted strings in ``content``, however it is packed."""
    return {match.decode().upper() for part in _unpacked(content) for match in PLANTED.findall(part)}


def found_in(folder: Path) -> dict[str, set[str]]:
    """Return the planted strings in the names and the contents of all files under ``folder``, by file."""
    files = [path for path in folder.rglob("*") if not path.is_symlink()]
    hits = {
        str(path.relative_to(folder)): found(path.name.encode())
        | (found(path.read_bytes()) if path.is_file() else set())
        for path in files
    }
    return {name: strings for name, strings in hits.items() if strings}


def _unpacked(content: bytes) -> Iterator[bytes]:
    yield content
    if content[:2] == b"\x1f\x8b":
        yield from _unpacked(gzip.decompress(content))
    elif content[:4] == b"PK\x03\x04":
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            yield archive.comment
            for name in archive.namelist():
                yield name.encode()
                yield from _unpacked(archive.read(name))
    elif content[:8] == b"\x89PNG\r\n\x1a\n":
        yield from _png_texts(content)


def _png_texts(content: bytes) -> Iterator[bytes]:
    """Text chunks of a PNG, inflated where they are compressed."""
    start = 8
    while start + 8 <= len(content):
        length, kind = int.from_bytes(content[start : start + 4], "big"), content[start + 4 : start + 8]
        body = content[start + 8 : start + 8 + length]
        if kind in (b"zTXt", b"iTXt"):
            packed = body.split(b"\0", maxsplit=1)[-1].lstrip(b"\0\x01")
            try:
                yield zlib.decompress(packed)
            except zlib.error:
                yield body
        start += 12 + length
