"""Small cohorts for the tests of this room, with a catalogue that answers from a table instead of DICOM headers."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest

from mpmri_monai.errors import CatalogueError
from mpmri_monai.sequences import SEQUENCES

CONTENT = {
    "schema": "mpmri-monai/manifest/1",
    "name": "two",
    "sequences": ["T2", "IN", "S0"],
    "classes": {"grade": ["well", "moderately", "poorly"]},
    "studies": [
        {
            "patient": "P001",
            "study": "P001-1",
            "site": "A",
            "labels": {},
            "images": {"T2": "P001/T2.nii.gz", "S0": {"dicom": "P001/dicom", "volume": "v1"}},
            "organs": {"liver": "P001/liver.nii.gz"},
            "lesions": [
                {
                    "id": "P001-L1",
                    "region": {"mask": "P001/lesions.nii.gz", "value": 1},
                    "drawn_on": "S0",
                    "labels": {"grade": "poorly"},
                }
            ],
        },
        {
            "patient": "P002",
            "study": "P002-1",
            "site": "B",
            "labels": {},
            "images": {"T2": "P002/T2.nii.gz"},
            "lesions": [
                {
                    "id": "P002-L1",
                    "region": {"center_mm": [1.0, 2.0, 3.0], "size_mm": [10.0, 10.0, 12.0]},
                    "labels": {"grade": "well"},
                }
            ],
        },
    ],
}


@pytest.fixture
def content() -> dict:
    """A manifest's content, free to change."""
    return copy.deepcopy(CONTENT)


class FakeScanner:
    """Stands in for `catalogue.scan`; ``answers`` says what the study of each patient holds, if not everything."""

    def __init__(self) -> None:
        self.answers: dict[str, SimpleNamespace] = {}

    def __call__(self, folder: Path, protocol: str = "liver") -> SimpleNamespace:
        if not Path(folder).is_dir():
            raise CatalogueError(expected="a folder of DICOM files", found="no folder", code="E_EMPTY")
        patient = Path(folder).parent.name
        return self._named(self.answers.get(patient, self.full()), patient)

    @staticmethod
    def _named(catalogue: SimpleNamespace, patient: str) -> SimpleNamespace:
        """The same with ids of this patient's own, as ids that come from the files' content are."""
        volumes = tuple(SimpleNamespace(id=f"{volume.id}-{patient}") for volume in catalogue.volumes)
        roles = {name: f"{volume}-{patient}" for name, volume in catalogue.roles.items()}
        return SimpleNamespace(roles=roles, volumes=volumes, require=catalogue.require)

    @staticmethod
    def full(*without: str) -> SimpleNamespace:
        """A catalogue with every sequence but those named."""
        roles = {name: f"v{name}" for name in SEQUENCES if name not in without}
        volumes = tuple(SimpleNamespace(id=volume) for volume in roles.values())
        return SimpleNamespace(roles=roles, volumes=volumes, require=lambda sequences: None)

    @classmethod
    def in_doubt(cls, code: str) -> SimpleNamespace:
        """A catalogue that has every sequence and yet a problem."""

        def require(sequences: Sequence[str]) -> None:
            raise CatalogueError(expected="a study without a problem", found=f"{code}: what it met", code=code)

        catalogue = cls.full()
        catalogue.require = require
        return catalogue


@pytest.fixture
def scanner(monkeypatch) -> FakeScanner:
    fake = FakeScanner()
    monkeypatch.setattr("mpmri_monai.cohort.build.scan", fake)
    monkeypatch.setattr("mpmri_monai.cohort.check.scan", fake)
    return fake


@pytest.fixture
def cohort(tmp_path) -> Path:
    """A cohort folder of three studies with masks and a label table; P003 has two lesions."""
    folder = tmp_path / "cohort"
    lines = ["patient,study,site,folder,lesion,mask,value,segment,drawn_on,liver,grade"]
    for number, grades in enumerate((["well"], ["moderately"], ["poorly", "well"]), start=1):
        patient = f"P{number:03d}"
        (folder / patient / "dicom").mkdir(parents=True)
        for name in ("lesions.nii.gz", "liver.nii.gz"):
            (folder / patient / name).write_bytes(b"")
        for index, grade in enumerate(grades, start=1):
            where = f"{patient},{patient}-1,A,{patient}/dicom,{patient}-L{index},{patient}/lesions.nii.gz"
            lines.append(f"{where},{index},,S3,{patient}/liver.nii.gz,{grade}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    return folder
