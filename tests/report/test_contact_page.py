import os
import re

import pytest
from PIL import Image

from mpmri_monai.artefacts import write_json
from mpmri_monai.errors import CatalogueError, ConfigError
from mpmri_monai.report import contact_page
from mpmri_monai.report.contact_command import contact_sheet_command
from mpmri_monai.report.contact_page import sheet_of_study, sheets_of_cohort


@pytest.fixture
def manifest(looked_at):
    return looked_at.manifest(looked_at.study(1, "well"), looked_at.study(2, "poorly"))


def test_a_cohort_has_a_page_and_a_picture_a_study_and_an_index(manifest, tmp_path):
    index, failed = sheets_of_cohort(manifest, tmp_path / "out")
    assert failed == ()
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"index.html", "P1-1.html", "P1-1.png", "P2-1.html", "P2-1.png"}
    text = index.read_text()
    assert 'href="P2-1.html"' in text and "P1-L1: well" in text and "<td>IN</td>" in text
    page = (tmp_path / "out" / "P1-1.html").read_text()
    assert "data:image/png;base64," in page and "Not for diagnosis" in page
    assert re.search(r'alt="T2: [^"]*IN: absent; S0', page)
    assert "http" not in page.replace("http-equiv", "")


def test_nothing_that_is_written_tells_where_the_files_lie(manifest, tmp_path):
    (looked := manifest.folder / "P1" / "S2.nii.gz").write_bytes(b"no image")
    sheets_of_cohort(manifest, tmp_path / "out")
    for path in (tmp_path / "out").iterdir():
        assert str(manifest.folder).encode() not in path.read_bytes()
    assert "not readable" in (tmp_path / "out" / "P1-1.html").read_text()
    assert looked.is_file()
    with Image.open(tmp_path / "out" / "P1-1.png") as picture:
        assert set(picture.info) <= {"dpi"}


def test_what_has_not_changed_is_not_drawn_again(manifest, tmp_path, monkeypatch):
    out, cache = tmp_path / "out", tmp_path / "cache"
    sheets_of_cohort(manifest, out, cache)
    drawn = []
    monkeypatch.setattr(contact_page, "_write", lambda sheet, output: drawn.append(sheet.name))
    index = (out / "index.html").read_text()
    sheets_of_cohort(manifest, out, cache)
    assert drawn == [] and (out / "index.html").read_text() == index
    (out / "P2-1.png").unlink()
    sheets_of_cohort(manifest, out, cache)
    assert drawn == ["P2-1"]
    os.utime(manifest.folder / "P1" / "S0.nii.gz", (0, 0))
    sheets_of_cohort(manifest, out, cache)
    assert drawn == ["P2-1", "P1-1", "P2-1"]  # the picture of P2-1 is still not there


def test_the_command_takes_a_manifest_and_refuses_what_it_says_itself(manifest, tmp_path, capsys):
    path = manifest.folder / "manifest.json"
    write_json(path, manifest.content())
    assert contact_sheet_command(path, tmp_path / "out", workers=0) == 0
    assert capsys.readouterr().out.strip().endswith("index.html")
    with pytest.raises(ConfigError, match="--mask --protocol"):
        contact_sheet_command(path, tmp_path / "out", mask=tmp_path / "m.nii", protocol="brain")


def test_a_folder_without_a_study_is_refused(tmp_path):
    (tmp_path / "study").mkdir()
    with pytest.raises(CatalogueError):
        sheet_of_study(tmp_path / "study", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_study_that_cannot_be_used_whole_ends_with_a_status_of_its_own(manifest, tmp_path, capsys):
    path, cache = manifest.folder / "manifest.json", tmp_path / "cache"
    write_json(path, manifest.content())
    (manifest.folder / "P1" / "S2.nii.gz").write_bytes(b"no image")
    for _ in range(2):  # also where the sheets were drawn before
        assert contact_sheet_command(path, tmp_path / "out", cache=cache, workers=0) == 1
        assert "P1-1" in capsys.readouterr().err
    assert "S2 cannot be read" in (tmp_path / "out" / "P1-1.html").read_text()
