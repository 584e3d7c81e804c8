import numpy as np
import pytest

from mpmri_monai.catalogue import Caution
from mpmri_monai.volumes import Geometry, Mask, Stack, mask_cautions

GRID = Geometry(np.diag([2.0, 2.0, 4.0, 1.0]), (60, 50, 20))


def mask(*boxes, grid=GRID, **options):
    """Boxes of (slices, rows, columns)."""
    voxels = np.zeros(grid.shape[::-1], bool)
    for box in boxes:
        voxels[tuple(slice(*ends) for ends in box)] = True
    return Mask(voxels, grid, **options)


LESION = ((5, 9), (10, 20), (30, 42))


def only(found):
    (cautions,) = found.values()
    return [(caution.code, caution.message) for caution in cautions]


def test_nothing_to_say_about_a_plain_lesion():
    assert only(mask_cautions({"L1": mask(LESION)})) == []


def test_what_was_found_on_reading_is_passed_on():
    caution = Caution("W_GAP", "1 slice(s) between its contours have none")
    assert mask_cautions({"L1": mask(LESION, cautions=(caution,))}) == {"L1": (caution,)}


def test_parts_of_a_voxel_or_two():
    assert only(mask_cautions({"L1": mask(((5, 6), (10, 11), (30, 32)))})) == [
        ("W_TINY", "1 of its 1 parts have fewer than 3 voxels")
    ]
    near = ((5, 6), (10, 11), (45, 46))  # 8 mm from the lesion
    assert only(mask_cautions({"L1": mask(LESION, near)})) == [("W_TINY", "1 of its 2 parts have fewer than 3 voxels")]
    corner = ((9, 10), (20, 21), (42, 43))  # touches the lesion's corner
    assert only(mask_cautions({"L1": mask(LESION, corner)})) == []


def test_parts_far_away():
    """The nearest voxels are 30 columns of 2 mm apart."""
    far = ((5, 9), (10, 12), (0, 2))
    assert only(mask_cautions({"L1": mask(LESION, far)})) == [
        ("W_STRAY", "16 of its 496 voxels lie 58 mm or more from its largest part")
    ]
    close = ((5, 9), (10, 12), (20, 22))
    assert only(mask_cautions({"L1": mask(LESION, close)})) == []


def test_overlap_is_said_of_both():
    other = mask(((7, 12), (15, 25), (35, 50)))
    found = mask_cautions({"L1": mask(LESION), "L2": other, "L3": mask(((5, 9), (30, 40), (5, 15)))})
    shared = 2 * 5 * 7 * 16 / 1000
    assert found == {
        "L1": (Caution("W_OVERLAP", f"shares {shared:.2f} ml with L2"),),
        "L2": (Caution("W_OVERLAP", f"shares {shared:.2f} ml with L1"),),
        "L3": (),
    }


def test_overlap_of_masks_on_two_grids():
    finer = Geometry(np.diag([1.0, 1.0, 2.0, 1.0]), (120, 100, 40))
    whole = mask(((0, 40), (0, 100), (0, 120)), grid=finer)
    found = mask_cautions({"L1": mask(LESION), "all": whole})
    (caution,) = found["L1"]
    assert float(caution.message.split()[1]) == pytest.approx(mask(LESION).volume_ml, abs=0.01)


@pytest.mark.parametrize(("axis", "words"), [(2, "columns"), (1, "rows"), (0, "slices")])
def test_a_lesion_outside_the_liver_that_a_flip_would_bring_back(axis, words):
    """The liver has no mirror image of itself in any axis."""
    liver = mask(((2, 9), (5, 24), (31, 58)))
    lesion = mask(((3, 8), (8, 20), (35, 50)))
    flipped = Mask(np.flip(lesion.voxels, axis), GRID)
    assert only(mask_cautions({"L1": lesion}, liver)) == []
    ((code, message),) = only(mask_cautions({"L1": flipped}, liver))
    assert code == "W_OUTSIDE"
    assert message.endswith(f"of it lies in the organ; with its {words} the other way round it would be 100%")
    (before,) = only(mask_cautions({"L1": mask(((12, 15), (30, 40), (5, 20)))}, mask(((0, 2), (0, 5), (25, 30)))))
    assert before == ("W_OUTSIDE", "0% of it lies in the organ")


def test_a_lesion_in_the_air_is_noticed_and_one_in_a_dark_hole_of_the_body_is_not():
    _, row, column = np.indices(GRID.shape[::-1])
    body = (np.abs(row - 20) < 18) & (np.abs(column - 40) < 18)
    hole = (np.abs(row - 20) < 6) & (np.abs(column - 40) < 6)
    signal = np.where(body & ~hole, 400, 10) + np.random.default_rng(0).integers(0, 10, body.shape)
    stack = Stack(signal.astype(np.int16), np.ones(20), np.zeros(20), GRID)
    inside = mask(((5, 9), (17, 23), (37, 43)), drawn_on="T2")
    outside = Mask(np.flip(inside.voxels, 2), GRID, drawn_on="T2")
    assert only(mask_cautions({"L1": inside}, None, {"T2": stack})) == []
    assert only(mask_cautions({"L1": outside}, None, {"T2": stack})) == [
        ("W_OUTSIDE", "0% of it lies in the body; with its columns the other way round it would be 100%")
    ]
    assert only(mask_cautions({"L1": outside})) == []


def test_a_box_has_no_parts():
    box = Mask(np.ones((1, 1, 1), bool), Geometry(np.diag([30.0, 30.0, 30.0, 1.0]), (1, 1, 1)))
    assert only(mask_cautions({"L1": box})) == []


def box(middle, side):
    affine = np.diag([side, side, side, 1.0])
    affine[:3, 3] = middle
    return Mask(np.ones((1, 1, 1), bool), Geometry(affine, (1, 1, 1)))


def test_boxes_share_what_they_have_in_common():
    """One voxel as large as the box is no measure: 20 and 10 mm wide, they have 5 x 10 x 10 mm in common."""
    found = mask_cautions({"C1": box((0, 0, 0), 20.0), "C2": box((10, 0, 0), 10.0), "C3": box((0, 0, 30), 10.0)})
    assert [one.message for one in found["C1"]] == ["shares 0.50 ml with C2"]
    assert found["C3"] == ()


def test_of_a_box_it_is_said_where_its_middle_lies():
    found = mask_cautions({"L1": box((2.0, 2.0, 4.0), 20.0)}, organ=mask(LESION))
    assert only(found) == [("W_OUTSIDE", "its middle lies outside the organ")]
