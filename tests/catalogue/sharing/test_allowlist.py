"""What the catalogue reads passes the allow-list: both lists are found in the code, so that neither can fall behind."""

import io
import re
from pathlib import Path

import pydicom
import pytest
from pydicom.datadict import dictionary_VR, keyword_for_tag
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

import mpmri_monai.catalogue
from mpmri_monai.catalogue.headers import image_kinds, vendors
from mpmri_monai.catalogue.series import sorting as series
from mpmri_monai.catalogue.sharing.allowlist import PRIVATE, WORDS
from mpmri_monai.catalogue.sharing.cleaning import Cleaner
from mpmri_monai.catalogue.sharing.pseudonyms import Pseudonyms

EXPLICIT_LITTLE = (False, True)
NOT_KEPT = {
    "SpecificCharacterSet": "no text is left that would need it",
    "TransferSyntaxUID": "belongs to the file's own header, which is written anew",
    "MediaStorageSOPClassUID": "belongs to the file's own header, which is written anew",
    "SeriesDescription": "free text, read for rules of a site only",
    "ProtocolName": "free text, read for rules of a site only",
    "SequenceName": "free text, read for rules of a site only",
    "PixelData": "is kept as far as rows, columns and frames reach (image_data)",
    "FloatPixelData": "says where the header ends; images of such pixels are refused",
    "DoubleFloatPixelData": "says where the header ends; images of such pixels are refused",
}
VALUES = {"UI": "1.2.3", "DA": "20240102", "TM": "101112", "DT": "20240102101112", "CS": "YES", "LO": "Text"}
SOURCES = sorted(Path(mpmri_monai.catalogue.__file__).parent.rglob("*.py"))


def tags_read():
    literals = {int(text, 16) for path in SOURCES for text in re.findall(r"\b0x([0-9A-F]{8})\b", path.read_text())}
    return sorted(tag for tag in literals if keyword_for_tag(tag))


def places_in(value):
    """Private places (group, creator, element) anywhere in nested tuples."""
    if isinstance(value, tuple):
        if len(value) == 3 and isinstance(value[0], int) and isinstance(value[1], str):
            yield value
        else:
            for entry in value:
                yield from places_in(entry)


def private_places_read():
    listed = {place for value in vars(vendors).values() for place in places_in(value)}
    code = "".join(path.read_text() for path in SOURCES)
    called = re.findall(r"\.private\(\*(?:vendors\.)?([A-Z_]+), 0x([0-9A-F]{2})\)", code)
    return listed | {(*getattr(vendors, name), int(element, 16)) for name, element in called}


def test_the_code_was_found():
    assert len(tags_read()) > 40
    assert len(private_places_read()) > 10


@pytest.mark.parametrize("tag", tags_read(), ids=keyword_for_tag)
def test_every_element_that_the_catalogue_reads_survives(tag):
    if keyword_for_tag(tag) in NOT_KEPT:
        return
    vr, dataset = dictionary_VR(tag), pydicom.Dataset()
    dataset.add_new(tag, vr, [pydicom.Dataset()] if vr == "SQ" else VALUES.get(vr, 1))
    read = through_bytes(dataset)
    assert tag in Cleaner(Pseudonyms(b"key", "P1")).clean(read, EXPLICIT_LITTLE)


@pytest.mark.parametrize("keyword", ["SeriesDescription", "ProtocolName", "SequenceName", "StudyDescription"])
def test_texts_do_not(keyword):
    dataset = pydicom.Dataset()
    setattr(dataset, keyword, "Text")
    assert keyword not in Cleaner(Pseudonyms(b"key", "P1")).clean(through_bytes(dataset), EXPLICIT_LITTLE)


def test_private_numbers_that_the_catalogue_reads_are_listed():
    assert private_places_read() <= PRIVATE


def test_words_that_the_catalogue_knows_pass():
    known = {*image_kinds.DIXON, *image_kinds.MAPS, *series.PROJECTIONS, *vendors.COMPONENTS, "LOCALIZER", "ADC"}
    assert {word.upper().replace(" ", "_") for word in known} <= WORDS


def through_bytes(dataset):
    """The data set as it comes from a file, with values not yet decoded."""
    buffer = io.BytesIO()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.save_as(buffer)
    buffer.seek(0)
    return pydicom.dcmread(buffer, force=True)
