"""A real PACS on loopback: a study and the answer about it go in, and come out the same."""

import json
import shutil
import socket
import subprocess
import time

import numpy as np
import pydicom
import pytest
from pydicom.uid import JPEGLSLossless, RLELossless

from faults.builder import THIN, Study, volumes
from mpmri_monai.catalogue import scan
from mpmri_monai.inference import pacs
from mpmri_monai.inference.pacs import fetch, send
from mpmri_monai.inference.pacs_connection import PacsError
from mpmri_monai.report.dicom_answer import RegionOnSeries, write_dicom_answer
from mpmri_monai.volumes import Mask, read_dicom, read_seg_mask

pytest.importorskip("pynetdicom", reason="no pynetdicom: install the extra pacs")
ORTHANC = shutil.which("Orthanc") or shutil.which("Orthanc", path="/usr/sbin")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(ORTHANC is None, reason="no Orthanc: install the package orthanc"),
]
START_SECONDS = 60
COMPREHENSIVE_3D_SR = "1.2.840.10008.5.1.4.1.1.88.34"
ACCESSION = {"AccessionNumber": "ACC-4711"}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def listens(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory):
    """Address of an Orthanc of our own: its folder is temporary, its ports are free ones."""
    folder, port = tmp_path_factory.mktemp("orthanc"), free_port()
    configuration = {
        "Name": "test",
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "index"),
        "TemporaryDirectory": str(folder),
        "Plugins": [],
        "HttpServerEnabled": False,
        "DicomServerEnabled": True,
        "DicomAet": "ORTHANC",
        "DicomPort": port,
        "DicomCheckCalledAet": True,
        "DicomAlwaysAllowEcho": False,
        "DicomAlwaysAllowStore": False,
        "DicomModalities": {"own": {"AET": "MPMRI", "Host": "127.0.0.1", "Port": free_port(), "AllowGet": True}},
    }
    (folder / "orthanc.json").write_text(json.dumps(configuration))
    with (folder / "log.txt").open("wb") as log:
        process = subprocess.Popen([ORTHANC, folder / "orthanc.json"], stdout=log, stderr=log, cwd=folder)
    try:
        end = time.monotonic() + START_SECONDS
        while not listens(port):
            if process.poll() is not None or time.monotonic() > end:
                pytest.fail((folder / "log.txt").read_text()[-2000:])
            time.sleep(0.1)
        yield f":{port}/ORTHANC"
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture(scope="module")
def sent(orthanc, tmp_path_factory):
    """The files of a study and of the answer about it, after they were sent."""
    folder = tmp_path_factory.mktemp("sent")
    study = Study()
    names = {
        "PatientName": "Wang^XiaoDong=王^小东",
        "SpecificCharacterSet": "ISO_IR 192",
        "AccessionNumber": "ACC-4711",
    }
    study.add(*volumes(2, series=10, grid=THIN, AcquisitionNumber=lambda index, _: index + 1, **names))
    for image, syntax in zip(study.images, (RLELossless, JPEGLSLossless), strict=False):
        image.compress(syntax, generate_instance_uid=False)
    record = scan(study.write(folder / "study"), "none").volumes[1]
    stack = read_dicom(record)
    voxels = np.zeros(stack.stored.shape, bool)
    voxels[2:5, 4:9, 3:8] = True
    regions = {"L1": RegionOnSeries.on(stack, Mask(voxels, stack.geometry), "L1")}
    lesion = {"id": "L1", "probabilities": {"background": 0.2, "hcc": 0.8}, "predicted": "hcc", "extent_mm": 20.0}
    result = {
        "bundle": {"name": "hcc_detection", "version": "0.2.0", "weights_sha256": "ab" * 32},
        "study": {"code": "study-1", "lesions_from": "mask", "searched_by": None, "notes": []},
        "lesions": [lesion | {"present": {"T2": True}, "warnings": []}],
    }
    answer = write_dicom_answer(folder / "answer", result, regions, [header.path for header in record.files])
    images = sorted((folder / "study").iterdir())
    assert send(orthanc, images) == 16
    assert send(orthanc, answer) == 3
    return images, answer, stack, voxels


def by_instance(paths):
    return {dataset.SOPInstanceUID: dataset for dataset in map(pydicom.dcmread, paths)}


def test_everything_comes_back_with_equal_content(orthanc, sent, tmp_path, monkeypatch):
    images, answer, *_ = sent
    monkeypatch.setattr(pacs, "FETCHED", ("MR", "SEG", "SR", "OT"))  # an answer is not fetched otherwise
    monkeypatch.setattr(pacs, "STORED_CLASSES", (*pacs.STORED_CLASSES, COMPREHENSIVE_3D_SR))
    fetched = by_instance(fetch(orthanc, ACCESSION, tmp_path / "back").iterdir())
    given = by_instance([*images, *answer])
    assert set(fetched) == set(given)
    for uid, dataset in given.items():
        assert fetched[uid] == dataset  # every element, pixels among them
        assert fetched[uid].file_meta.TransferSyntaxUID == dataset.file_meta.TransferSyntaxUID


def test_a_fetched_study_can_be_read_with_its_regions(orthanc, sent, tmp_path):
    _, _, stack, voxels = sent
    folder = fetch(orthanc, ACCESSION, tmp_path / "back")
    catalogue = scan(folder, "none")
    assert sorted(read_dicom(volume).digest for volume in catalogue.volumes).count(stack.digest) == 1
    (seg,) = (path for path in folder.iterdir() if pydicom.dcmread(path).Modality == "SEG")
    mask = read_seg_mask(seg, 1, "L1", stack.geometry)
    assert int(mask.voxels.sum()) == int(voxels.sum())


def test_orthanc_refuses_what_it_does_not_know(orthanc, sent, tmp_path):
    for address, title, code in (
        (orthanc.replace("ORTHANC", "OTHER"), "MPMRI", "E_PACS_REFUSED"),
        (orthanc, "NOBODY", None),
        (":1/ORTHANC", "MPMRI", "E_PACS_CONNECT"),
    ):
        with pytest.raises(PacsError) as caught:
            fetch(address, ACCESSION, tmp_path / "back", own_title=title)
        assert code is None or caught.value.code == code
    with pytest.raises(PacsError, match="E_PACS_NONE"):
        fetch(orthanc, {"AccessionNumber": "another"}, tmp_path / "back")
