"""A small study in DICOM, an answer about two of its lesions, and the regions of these."""

from types import SimpleNamespace

import numpy as np
import pytest

from faults.builder import THIN, Study, volumes
from mpmri_monai.catalogue import scan
from mpmri_monai.report.dicom_answer import RegionOnSeries
from mpmri_monai.volumes import Mask, read_dicom

PLANTED = {"PatientName": "Wang^Xiaodong", "AccessionNumber": "ACC-4711", "PatientID": "PID-0815"}


def lesion(name, **more):
    """One lesion's part of result.json."""
    answer = {
        "id": name,
        "probabilities": {"well": 0.1, "moderately": 0.25, "poorly": 0.65},
        "predicted": "poorly",
        "present": {"T2": True, "OUT": False},
        "extent_mm": 20.1,
        "warnings": ["the lesion measures 80 mm; training saw 10 to 60 mm"],
        "range_warnings": [],
        "abstained_because": None,
    }
    return answer | more


def result(*lesions):
    """result.json as far as its DICOM objects read it."""
    return {
        "schema": "mpmri-monai/result/1",
        "research_use_only": True,
        "bundle": {"name": "hcc_grade", "version": "0.2.0", "weights_sha256": "0123456789abcdef" * 4},
        "study": {"code": "study-1", "lesions_from": "mask", "searched_by": None, "notes": []},
        "calibration": {"temperature": None, "conformal_sets": {"kind": "conformal_by_class", "coverage": 0.9}},
        "lesions": list(lesions),
    }


def written(folder, *found):
    """A study of these volumes on disk, catalogued."""
    study = Study()
    study.add(*found)
    return scan(study.write(folder), "none").volumes


def stacked(record):
    """A volume's voxels, its files, and a way to put voxels on it."""
    stack = read_dicom(record)

    def region(voxels):
        return RegionOnSeries.on(stack, Mask(voxels, stack.geometry), "lesion")

    return SimpleNamespace(
        stack=stack, files=[header.path for header in record.files], region=region, shape=stack.stored.shape
    )


def ellipsoid(shape, centre, radius):
    """Voxels (slice, row, column) within ``radius`` voxels of ``centre``."""
    index = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    return np.linalg.norm((index - centre) / radius, axis=-1) <= 1


@pytest.fixture
def make():
    """The builders above."""
    return SimpleNamespace(lesion=lesion, result=result, written=written, stacked=stacked, ellipsoid=ellipsoid)


@pytest.fixture
def planted():
    """What identifies the patient of the study."""
    return PLANTED


@pytest.fixture
def phases(tmp_path, make, planted):
    """Three phases of one series; the answer is about the middle one."""
    found = volumes(3, series=10, grid=THIN, AcquisitionNumber=lambda index, _: index + 1, **planted)
    return [make.stacked(record) for record in make.written(tmp_path / "study", *found)]


@pytest.fixture
def answered(phases):
    """Two overlapping lesions on the middle phase, with the answer about them."""
    series = phases[1]
    regions = {
        "L1": series.region(ellipsoid(series.shape, (3, 6, 5), (2.2, 4, 3))),
        "L2": series.region(ellipsoid(series.shape, (4, 9, 7), (1.2, 3, 3))),
    }
    found = lesion("L2", predicted=None, abstained_because="the answer is uncertain", warnings=[], agreement=0.5)
    found["conformal_set"] = ["moderately", "poorly"]
    answer = result(lesion("L1"), found)
    return SimpleNamespace(result=answer, regions=regions, files=series.files, series=series)
