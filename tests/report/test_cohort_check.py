import json

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from mpmri_monai.artefacts import write_json
from mpmri_monai.report import cohort_check
from mpmri_monai.report.check_command import check_command
from mpmri_monai.report.cohort_check import check_cohort, write_check


@pytest.fixture
def manifest(looked_at):
    return looked_at.manifest(looked_at.study(1, "well"), looked_at.study(2, "poorly"))


def messages(check, level):
    return [str(finding) for finding in check.findings if finding.level == level]


def test_tables_hold_geometry_and_how_much_of_each_lesion_is_covered(manifest):
    check = check_cohort(manifest)
    assert messages(check, "error") == []
    rows = check.sequences[check.sequences["study"] == "P1-1"].set_index("sequence")
    assert list(rows.index) == ["T2", "S0", "S1", "S2"]
    assert rows.loc["T2", ["columns", "rows", "slices"]].tolist() == [80, 72, 6]
    assert rows.loc["S0", ["column_mm", "row_mm", "slice_mm"]].tolist() == [2.0, 2.0, 3.0]
    # T2 reaches 2 mm above the middle of a ball of radius 12 mm: the cap above it is pi h^2 (3 r - h) / 3, h = 10.
    covered = 1 - (np.pi * 10**2 * (3 * 12 - 10) / 3) / (4 / 3 * np.pi * 12**3)
    lesion = check.lesions.set_index("lesion").loc["P1-L1"]
    assert lesion["covered_T2"] == pytest.approx(covered, abs=0.06)
    assert lesion["covered_S1"] == 1
    assert np.isnan(lesion["covered_IN"])
    assert lesion["volume_ml"] == pytest.approx(4 / 3 * np.pi * 1.2**3, rel=0.05)
    assert (lesion["grade"], lesion["drawn_on"]) == ("well", "S1")


def test_what_a_sequence_does_not_cover_is_a_warning(manifest):
    warnings = messages(check_cohort(manifest), "warning")
    assert any("P1-1: W_COVER: T2 covers" in warning and "of lesion P1-L1" in warning for warning in warnings)
    assert "P1-1: no IN" in warnings


def test_findings_about_masks_are_said(looked_at):
    study = looked_at.study(1, "well")
    voxels = np.zeros((20, 60, 64), np.uint8)
    voxels[10, 30, 30] = 1
    looked_at.write(looked_at.folder / "P1" / "lesions.nii.gz", voxels, looked_at.phases)
    warnings = messages(check_cohort(looked_at.manifest(study)), "warning")
    assert any("lesion P1-L1: W_TINY" in warning for warning in warnings)


def test_one_faulty_mask_does_not_hide_the_others(looked_at):
    study = looked_at.study(1, "well")
    study["lesions"].append({**study["lesions"][0], "id": "P1-L2", "region": {"mask": "P1/lesions.nii.gz", "value": 7}})
    check = check_cohort(looked_at.manifest(study))
    (error,) = messages(check, "error")
    assert "P1-L2" in error and "E_MASK_EMPTY" in error
    assert check.lesions["lesion"].tolist() == ["P1-L1"]


def test_an_image_that_cannot_be_read_is_an_error(manifest):
    (manifest.folder / "P1" / "S2.nii.gz").write_bytes(b"no image")
    check = check_cohort(manifest)
    assert any(error.startswith("P1-1: S2: ") for error in messages(check, "error"))
    assert len(check.sequences) == 7


def test_what_is_known_is_not_read_again_and_what_changed_is(manifest, looked_at, tmp_path, monkeypatch):
    first = check_cohort(manifest, tmp_path)
    opened = []
    original = cohort_check.open_study

    def noted(single):
        opened.append(single.studies[0].study)
        return original(single)

    monkeypatch.setattr(cohort_check, "open_study", noted)
    again = check_cohort(manifest, tmp_path)
    assert opened == []
    assert again.findings == first.findings
    pd.testing.assert_frame_equal(again.sequences, first.sequences)
    pd.testing.assert_frame_equal(again.lesions, first.lesions)
    looked_at.write(manifest.folder / "P2" / "S0.nii.gz", np.ones((20, 60, 64), np.int16), looked_at.phases)
    check_cohort(manifest, tmp_path)
    assert opened == ["P2-1"]


@pytest.mark.slow
def test_the_number_of_workers_changes_nothing(manifest):
    one, two = check_cohort(manifest), check_cohort(manifest, workers=2)
    assert one.findings == two.findings
    pd.testing.assert_frame_equal(one.lesions, two.lesions)


def test_tables_are_written_whole(manifest, tmp_path):
    check = check_cohort(manifest)
    paths = write_check(check, manifest, tmp_path / "out")
    assert [path.name for path in paths] == ["check.json", "sequences.csv", "lesions.csv"]
    content = json.loads(paths[0].read_text())
    assert content["lesions"][0]["covered_IN"] is None and len(content["sequences"]) == 8
    assert pd.read_csv(paths[1])["study"].nunique() == 2


def test_the_command_prints_geometry_coverage_and_the_next_command(manifest, tmp_path):
    path = manifest.folder / "manifest.json"
    write_json(path, manifest.content())
    console = Console(width=180, record=True, quiet=False, file=(tmp_path / "printed").open("w"))
    assert check_command(path, tmp_path / "out", None, 0, console) == 0
    printed = console.export_text()
    for words in ("Geometry", "2.00", "Lesions covered", "W_COVER", "no IN", "mpmri prepare", "lesions.csv"):
        assert words in printed
    (manifest.folder / "P1" / "lesions.nii.gz").unlink()
    assert check_command(path, None, None, 0, console) == 1
