import dataclasses
from itertools import pairwise

import numpy as np
import pytest
from matplotlib.contour import ContourSet

from mpmri_monai.report.contact_figure import draw_sheet
from mpmri_monai.report.contact_sheet import study_sheet
from mpmri_monai.report.contact_views import Panel, close_view, target_of, views_of, whole_slice
from mpmri_monai.report.style import png
from mpmri_monai.volumes import Geometry, Mask, Stack


def rows_of(sheet):
    return {row.name: row for row in sheet.rows}


def centre_of(panel, outline):
    """Middle of an outline in mm from the middle of the view, across and down."""
    left, right, bottom, top = panel.edges_mm
    rows, columns = outline.inside.shape
    row, column = np.argwhere(outline.inside).mean(axis=0)
    return left + (column + 0.5) * (right - left) / columns, top + (row + 0.5) * (bottom - top) / rows


def area_of(panel, outline):
    left, right, bottom, top = panel.edges_mm
    pixels = outline.inside.size
    return outline.inside.sum() * (right - left) * (bottom - top) / pixels


def test_every_sequence_is_seen_at_the_lesion_with_its_outline(looked_at):
    sheet = study_sheet(looked_at.manifest(looked_at.study(1, "well")))
    assert sheet.columns == ("through P1-L1", "P1-L1, close", "P1-L1, lower quarter", "P1-L1, upper quarter")
    assert [row.name for row in sheet.rows] == list(looked_at.sequences)
    for name in ("S0", "T2"):
        close = rows_of(sheet)[name].panels[1]
        assert centre_of(close, close.outlines[0]) == pytest.approx((0, 0), abs=1.5)
        height = 0.0 if name == "S0" else 2.0  # the last slice of T2 lies 2 mm below the middle of the lesion
        disc = np.pi * (looked_at.radius_mm**2 - height**2)
        assert area_of(close, close.outlines[0]) == pytest.approx(disc, rel=0.1)
        assert close.image[close.outlines[0].inside].mean() > 1.2 * close.image[~close.outlines[0].inside].mean()


def test_a_sequence_that_does_not_reach_the_place_shows_no_picture(looked_at):
    sheet = study_sheet(looked_at.manifest(looked_at.study(1, "well")))
    assert rows_of(sheet)["T2"].panels[3] == "not covered"
    assert any(caution.startswith("covers") for caution in rows_of(sheet)["T2"].cautions)
    assert rows_of(sheet)["IN"].panels == ()
    assert rows_of(sheet)["IN"].facts == ("absent",)


def test_phases_share_one_window_and_say_how_the_lesion_enhances(looked_at):
    rows = rows_of(study_sheet(looked_at.manifest(looked_at.study(1, "well"))))
    assert rows["S0"].window == rows["S1"].window == rows["S2"].window != rows["T2"].window
    assert [rows[name].facts[-1] for name in ("S0", "S1", "S2")] == [
        "lesion 1.00 × S0",
        "lesion 1.50 × S0",
        "lesion 3.00 × S0",
    ]


def test_without_a_lesion_the_depths_of_each_stack_are_shown(looked_at):
    sheet = study_sheet(looked_at.manifest(looked_at.study(1, "well", lesions=[])))
    assert len(sheet.columns) == 3
    assert [panel.caption for panel in rows_of(sheet)["S0"].panels] == [
        "slice 6 of 20",
        "slice 11 of 20",
        "slice 15 of 20",
    ]


def test_labels_of_a_study_without_lesions_are_told(looked_at):
    study = looked_at.study(1, "well", lesions=[]) | {"labels": {"grade": "poorly"}}
    assert study_sheet(looked_at.manifest(study)).lesions == ("grade: poorly",)


def test_a_mask_that_does_not_fit_is_said_and_the_images_are_shown_all_the_same(looked_at):
    study = looked_at.study(1, "well")
    (looked_at.folder / "P1" / "again.nii.gz").write_bytes((looked_at.folder / "P1" / "lesions.nii.gz").read_bytes())
    region = {"mask": "P1/again.nii.gz", "value": 1}
    study["lesions"].append({**study["lesions"][0], "id": "P1-L2", "region": region, "drawn_on": "T2"})
    sheet = study_sheet(looked_at.manifest(study))
    (problem,) = [problem for problem in sheet.problems if "E_MASK" in problem]
    assert "P1-L2" in problem and str(looked_at.folder) not in problem
    assert isinstance(rows_of(sheet)["S0"].panels[1], Panel)


def test_an_image_that_cannot_be_read_is_said_without_its_folder(looked_at):
    study = looked_at.study(1, "well")
    (looked_at.folder / "P1" / "S2.nii.gz").write_bytes(b"no image")
    sheet = study_sheet(looked_at.manifest(study))
    row = rows_of(sheet)["S2"]
    assert row.panels == () and "not readable" in row.facts[0]
    assert str(looked_at.folder) not in row.facts[0]


def make_stack(slices, spacing_mm, first_mm):
    geometry = Geometry(
        np.array([[-1.0, 0, 0, 30], [0, -1.0, 0, 30], [0, 0, spacing_mm, first_mm], [0, 0, 0, 1]]), (60, 60, slices)
    )
    return Stack(np.zeros((slices, 60, 60), np.int16), np.ones(slices), np.zeros(slices), geometry)


def make_target(name, centre_mm, half_mm):
    """A cube of 1 mm voxels."""
    side = 2 * half_mm + 1
    affine = np.eye(4)
    affine[:3, 3] = np.array(centre_mm) - half_mm
    return target_of(name, Mask(np.ones((side, side, side), bool), Geometry(affine, (side, side, side))))


def test_a_thin_lesion_between_two_slices_is_drawn_dotted_where_it_would_be():
    target = make_target("L1", (0.0, 0.0, 3.0), 1)
    panel = close_view(make_stack(3, 8.0, -8.0), views_of([target])[1], [target])
    assert panel.outlines[0].projected
    assert panel.outlines[0].inside.sum() == 9
    assert "3.0 mm off, beyond the mask" in panel.caption


def test_other_lesions_are_outlined_where_the_slice_meets_them():
    targets = [make_target("L1", (0.0, 0.0, 0.0), 5), make_target("L2", (15.0, 0.0, 0.0), 2)]
    views = views_of(targets)
    assert [view.title for view in views] == ["through L1", "L1, close", "L2, close"]
    panel = whole_slice(make_stack(5, 2.0, -4.0), targets)
    first, second = (centre_of(panel, outline) for outline in panel.outlines)
    assert first[0] - second[0] == pytest.approx(15.0)  # 15 mm to the right of the patient is on the left
    assert panel.left == "R"


def test_a_view_never_reaches_beyond_its_slice():
    target = make_target("L1", (28.0, 28.0, 0.0), 20)
    panel = close_view(make_stack(5, 2.0, -4.0), views_of([target])[1], [target])
    assert panel.field_mm == 60
    assert panel.image.shape[0] <= 60


def test_the_picture_is_the_same_for_the_same_study_and_draws_each_outline(looked_at):
    sheet = study_sheet(looked_at.manifest(looked_at.study(1, "well")))
    figure = draw_sheet(sheet)
    outlined = [axes for axes in figure.axes if any(isinstance(item, ContourSet) for item in axes.get_children())]
    assert len(outlined) == 4 * 3 + 3
    words = " ".join(text.get_text() for text in figure.texts)
    assert "P1-L1: well, 6.9 ml, drawn on S1" in words and "Not for diagnosis" in words
    assert png(figure) == png(draw_sheet(sheet))


def test_rows_do_not_overlap(looked_at):
    figure = draw_sheet(study_sheet(looked_at.manifest(looked_at.study(1, "well"))))
    boxes = sorted((axes.get_position() for axes in figure.axes), key=lambda box: (box.x0, -box.y0))
    for one, other in pairwise(boxes):
        assert one.x0 != other.x0 or one.y0 >= other.y1
    assert all(box.x0 >= 0 and box.x1 <= 1 and box.y0 >= 0 and box.y1 <= 1 for box in boxes)


def test_formulas_in_names_are_no_formulas(looked_at):
    sheet = study_sheet(looked_at.manifest(looked_at.study(1, "well")))
    png(draw_sheet(dataclasses.replace(sheet, problems=("costs $1 or $2 {",))))


def test_names_of_files_are_not_repeated(looked_at):
    study = looked_at.study(1, "well")
    (looked_at.folder / "P1" / "S2.nii.gz").unlink()
    study["lesions"].append({**study["lesions"][0], "id": "P1-L2", "region": {"mask": "P1/lesions.nii.gz", "value": 5}})
    sheet = study_sheet(looked_at.manifest(study))
    said = " ".join([*sheet.problems, *(fact for row in sheet.rows for fact in row.facts)])
    assert "P1-L2" in said and "no file for S2" in said
    assert "nii" not in said
