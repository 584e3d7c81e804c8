"""A PACS in a few lines, on loopback, which can be told to misbehave."""

from copy import deepcopy
from types import SimpleNamespace

import pydicom
import pytest

from faults.builder import THICK, encoded, volume, volumes

PLANTED = {"PatientName": "Wang^Xiaodong", "AccessionNumber": "ACC-4711", "PatientID": "PID-0815"}
TITLE = "STANDIN"


class Pacs:
    """What the stand-in holds and how it answers; tests change the fields."""

    def __init__(self):
        self.images = []
        self.stored = []
        self.store_status = 0x0000
        self.find_status = 0x0000
        self.lost = 0
        """So many images of a series are not sent, without a word."""
        self.failing = 0
        """So many images of a series fail to be sent."""
        self.echoed = {}
        """Attributes that every match has whatever was asked for."""
        self.dies = False
        self.address = ""

    def find(self, event):
        asked = event.identifier
        if self.find_status:
            yield self.find_status, None
            return
        key = "StudyInstanceUID" if asked.QueryRetrieveLevel == "STUDY" else "SeriesInstanceUID"
        found = {}
        for image in self.images:
            if all(self._matches(image, element) for element in asked):
                found.setdefault(image[key].value, []).append(image)
        for images in found.values():
            match = pydicom.Dataset()
            for element in asked:
                setattr(match, element.keyword, images[0].get(element.keyword))
            match.QueryRetrieveLevel = asked.QueryRetrieveLevel
            if "NumberOfSeriesRelatedInstances" in asked:
                match.NumberOfSeriesRelatedInstances = len(images)
            for name, value in self.echoed.items():
                setattr(match, name, value)
            yield 0xFF00, match

    def _matches(self, image, element):
        if element.keyword == "QueryRetrieveLevel" or element.is_empty or self.echoed:
            return True
        return str(image.get(element.keyword)) == str(element.value)

    def get(self, event):
        images = [one for one in self.images if one.SeriesInstanceUID == event.identifier.SeriesInstanceUID]
        if self.dies:
            event.assoc.abort()
        images = images[self.lost :]
        yield len(images)
        for k, image in enumerate(images):
            sent = deepcopy(image)
            if k < self.failing:
                sent.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2"  # CT, for which there is no context
            yield 0xFF00, sent

    def store(self, event):
        self.stored.append((event.encoded_dataset(), str(event.assoc.requestor.ae_title)))
        return self.store_status


@pytest.fixture
def planted():
    """What identifies the patient of the study."""
    return PLANTED


@pytest.fixture
def study():
    """Three phases and a T2, an SR that is not to be fetched; as data sets."""
    made = [*volumes(3, series=10, **PLANTED), volume(series=4, grid=THICK, **PLANTED)]
    images = [image for one in made for image in one.images]
    report = deepcopy(images[0])
    report.Modality, report.SeriesInstanceUID, report.SOPInstanceUID = "SR", "2.25.66", "2.25.661"
    return [*images, report]


@pytest.fixture
def files(study, tmp_path):
    """The MR images as files."""
    folder = tmp_path / "files"
    folder.mkdir()
    for k, image in enumerate(study[:-1]):
        (folder / f"{k}.dcm").write_bytes(encoded(image))
    return sorted(folder.iterdir())


@pytest.fixture
def pacs(study):
    """The stand-in, running; it knows the caller MPMRI and itself as STANDIN."""
    pynetdicom = pytest.importorskip("pynetdicom", reason="no pynetdicom: install the extra pacs")
    from pynetdicom import evt
    from pynetdicom.sop_class import (
        MRImageStorage,
        StudyRootQueryRetrieveInformationModelFind,
        StudyRootQueryRetrieveInformationModelGet,
    )

    held = Pacs()
    held.images = study
    entity = pynetdicom.AE(ae_title=TITLE)
    entity.require_called_aet, entity.require_calling_aet = True, ["MPMRI"]
    entity.add_supported_context(MRImageStorage, scu_role=True, scp_role=True)
    entity.add_supported_context(StudyRootQueryRetrieveInformationModelFind)
    entity.add_supported_context(StudyRootQueryRetrieveInformationModelGet)
    handlers = [(evt.EVT_C_FIND, held.find), (evt.EVT_C_GET, held.get), (evt.EVT_C_STORE, held.store)]
    server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
    held.port = server.socket.getsockname()[1]
    held.address = f"127.0.0.1:{held.port}/{TITLE}"
    yield held
    server.shutdown()


@pytest.fixture
def errors():
    """What no message may hold."""
    return SimpleNamespace(forbidden=(*PLANTED.values(), "2.25."))
