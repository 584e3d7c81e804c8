"""Real studies on a contact sheet: what a radiologist would see at once."""

import os
from pathlib import Path

import pytest

from mpmri_monai.catalogue import scan
from mpmri_monai.cohort import parse_manifest
from mpmri_monai.report import contact_page
from mpmri_monai.report.contact_page import sheet_of_study
from mpmri_monai.report.contact_sheet import study_sheet

DATA = Path(os.environ.get("MPMRI_TEST_DATA") or Path(__file__).parents[2].parent / "shared" / "data")


@pytest.fixture
def data():
    if not (DATA / "chaos_t2spir").is_dir():
        pytest.skip("the real data is not here; MPMRI_TEST_DATA names its folder")
    return DATA


@pytest.fixture
def drawn(monkeypatch):
    """The sheets that are drawn, without drawing them."""
    sheets = []
    monkeypatch.setattr(contact_page, "_write", lambda sheet, output: sheets.append(sheet))
    return sheets


def middle(outline):
    """Column of an outline's middle as a part of the picture's width, from the left."""
    columns = outline.inside.any(axis=0).nonzero()[0]
    return columns.mean() / outline.inside.shape[1]


@pytest.mark.parametrize("number", [1, 13, 33])
def test_organs_lie_on_their_sides_of_the_picture(data, number):
    organs = {"liver": 1, "right-kidney": 2, "left-kidney": 3, "spleen": 4}
    regions = {name: {"mask": f"label_{number}.nii.gz", "value": value} for name, value in organs.items()}
    content = {
        "schema": "mpmri-monai/manifest/1",
        "name": "chaos",
        "sequences": ["T2"],
        "classes": {},
        "studies": [
            {
                "patient": "c",
                "study": "c",
                "site": "x",
                "images": {"T2": f"image_{number}.nii.gz"},
                "lesions": [{"id": name, "region": region} for name, region in regions.items()],
            }
        ],
    }
    sheet = study_sheet(parse_manifest(content, data / "chaos_t2spir", "here"))
    assert sheet.problems == ()
    whole, *views = sheet.rows[0].panels
    assert sheet.columns[0] == "through liver" and whole.left == "R"
    assert middle(whole.outlines[0]) < 0.5
    for title, view in zip(sheet.columns[1:], views, strict=True):
        inside = view.outlines[0].inside
        # On fat-suppressed T2 kidneys and spleen are brighter than what surrounds them.
        if not title.startswith("liver"):
            assert view.image[inside].mean() > 1.3 * view.image[~inside].mean(), title


def test_phases_of_a_prostate_in_order_with_their_seconds(data, drawn, tmp_path):
    sheet_of_study(data / "prostatex_0218", tmp_path, protocol="prostate")
    (sheet,) = drawn
    rows = {row.name: row for row in sheet.rows}
    series = [rows[name].facts[0] for name in ("DCE0", "DCE1", "DCE2", "DCE3")]
    assert series == ["series 27", "series 40", "series 48", "series 66"]
    seconds = [int(rows[f"DCE{number}"].facts[1].split()[-2]) for number in range(4)]
    assert seconds == sorted(seconds)
    # The prostate lies in the middle of the middle slice.
    centre = [rows[f"DCE{number}"].panels[1].image[60:100, 60:100].mean() for number in range(4)]
    assert centre[0] < centre[1] < centre[3]
    assert {row.name.split(",")[0] for row in sheet.others} == {"series 7", "series 26", "series 36", "series 96"}


def test_segments_lie_on_the_prostate(data, drawn, tmp_path):
    folder = data / "qin_prostate_001"
    assert scan(folder, protocol="none").volumes
    sheet_of_study(folder, tmp_path, folder / "seg" / "1-1.dcm", protocol="none")
    (sheet,) = drawn
    assert sheet.columns == ("through L1", "L1, close", "L3, close")  # the gland and its zone are no lesions
    (row,) = sheet.rows
    zone = row.panels[0]
    inside = zone.outlines[0].inside
    assert zone.image[inside].mean() > 5 * zone.image[~inside].mean()
