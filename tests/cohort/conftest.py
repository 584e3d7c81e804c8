"""Small cohorts for the tests of this room, with a catalogue that answers from a table instead of DICOM headers."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mpmri_monai.catalogue import Catalogue, Problem, VolumeRecord
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
        self.answers: dict[str, Catalogue] = {}
        self.calls: list[tuple[str, str, Path | None]] = []

    def __call__(self, folder: Path, protocol: str = "liver", site_rules: Path | None = None) -> Catalogue:
        patient = Path(folder).parent.name
        self.calls.append((patient, protocol, site_rules))
        if not Path(folder).is_dir():
            raise CatalogueError(expected="a folder of DICOM files", found="no folder", code="E_EMPTY")
        return self._named(self.answers.get(patient, self.full()), Path(folder), patient)

    @staticmethod
    def _named(catalogue: Catalogue, folder: Path, patient: str) -> Catalogue:
        """The same with ids of this patient's own, as ids that come from the files' content are."""
        volumes = tuple(replace(volume, id=f"{volume.id}-{patient}") for volume in catalogue.volumes)
        roles = {name: f"{volume}-{patient}" for name, volume in catalogue.roles.items()}
        return replace(catalogue, folder=folder, roles=roles, volumes=volumes)

    @staticmethod
    def full(*without: str) -> Catalogue:
        """A catalogue with every sequence but those named."""
        roles = {name: f"v{name}" for name in SEQUENCES if name not in without}
        volumes = tuple(record(name) for name in roles)
        return Catalogue(Path(), "liver", roles, volumes, (), (), sequences=SEQUENCES)

    @classmethod
    def in_doubt(cls, code: str) -> Catalogue:
        """A catalogue that has every sequence and yet a problem."""
        return replace(cls.full(), problems=(Problem(code, "what it met", 3),))


def record(name: str, **changes: Any) -> VolumeRecord:
    """The volume of a sequence, 2 mm slices of 1 mm pixels."""
    fields = {
        "id": f"v{name}",
        "series_number": 1 + SEQUENCES.index(name),
        "role": name,
        "rows": 20,
        "columns": 24,
        "slices": 8,
        "spacing_mm": (1.0, 1.0, 2.0),
        "orientation": "axial",
        "echo_time_ms": 1.1,
        "component": "magnitude",
        "phase": None,
        "time_s": None,
        "split_by": (),
        "evidence": (),
        "warnings": (),
        "files": (),
        "affine": np.diag([1.0, 1.0, 2.0, 1.0]),
    }
    return VolumeRecord(**{**fields, **changes})


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
