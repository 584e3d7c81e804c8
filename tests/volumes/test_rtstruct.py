import warnings

import contourpy
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from mpmri_monai.errors import MaskError
from mpmri_monai.volumes import Geometry, Stack, check_mask, mask_regions, read_region, read_rtstruct_mask

LPS = np.array([-1.0, -1.0, 1.0])


def grid(make, seed=1, shape=(20, 16, 9), spacing=(1.5, 1.2, 4.0)):
    """An oblique grid."""
    frame = make.rotation(np.random.default_rng(seed))
    return Geometry(make.affine_of(frame, spacing, (12, -40, 25)), shape)


def drawn(geometry, k, outline):
    """Contour in LPS+ mm of (column, row) points on slice ``k``."""
    outline = np.asarray(outline, float)
    return geometry.to_mm(np.column_stack([outline, np.full(len(outline), k)])) * LPS


def box(low, high):
    return [[low, low], [high, low], [high, high], [low, high]]


def outlines(geometry, voxels):
    """Contours of a mask (slice, row, column), half-way between its pixels and the others."""
    return [
        drawn(geometry, k, line[:-1])
        for k, plane in enumerate(voxels)
        for line in contourpy.contour_generator(z=np.pad(plane, 1).astype(float)).lines(0.5)
        for line in [line - 1]
    ]


@settings(max_examples=25)
@given(st.integers(0, 10**6))
def test_any_mask_on_any_grid_comes_back(make, tmp_path_factory, seed):
    rng = np.random.default_rng(seed)
    geometry = grid(make, seed)
    noise = ndimage.gaussian_filter(rng.normal(size=geometry.shape[::-1]), 1.5)
    voxels = noise > np.quantile(noise, 0.8)
    path = make.write_rtstruct(
        tmp_path_factory.mktemp("rt") / "contours.dcm",
        {7: outlines(geometry, voxels), 2: [drawn(geometry, 4, box(3, 9))]},
    )
    mask = read_rtstruct_mask(path, 7, geometry, "lesion")
    np.testing.assert_array_equal(mask.voxels, voxels)
    assert not mask.partial
    check_mask(mask, geometry, "lesion")
    assert read_rtstruct_mask(path, 2, geometry, "lesion").voxels.sum() == 49


def test_holes_and_islands_on_one_slice(make, tmp_path):
    geometry = grid(make)
    rings = [drawn(geometry, 3, box(low - 0.5, 15.5 - low)) for low in (1, 3, 5)]
    mask = read_rtstruct_mask(make.write_rtstruct(tmp_path / "rt", {1: rings}), 1, geometry, "lesion")
    assert mask.voxels.sum() == mask.voxels[3].sum() == 14**2 - 10**2 + 6**2
    named = [(points, {"ContourGeometricType": "CLOSEDPLANAR_XOR"}, None) for points in rings]
    again = read_rtstruct_mask(make.write_rtstruct(tmp_path / "rt", {1: named}), 1, geometry, "lesion")
    np.testing.assert_array_equal(again.voxels, mask.voxels)


@pytest.mark.parametrize(
    ("points", "tags", "code", "found"),
    [
        (box(2, 8)[:1], {"ContourGeometricType": "POINT"}, "E_MASK_FILE", "type POINT"),
        (box(2, 8), {"ContourGeometricType": "OPEN_PLANAR"}, "E_MASK_FILE", "type OPEN_PLANAR"),
        (box(2, 8), {"ContourGeometricType": "PLANTED"}, "E_MASK_FILE", "type unknown"),
        (box(2, 8)[:2], {}, "E_MASK_FILE", "one of 2"),
        (box(2, 8), {"NumberOfContourPoints": 5}, "E_MASK_FILE", "12 coordinates"),
        (box(-3, 8), {}, "E_MASK_OUT", "some outside"),
        (box(2.2, 2.8), {}, "E_MASK_EMPTY", "none"),
    ],
)
def test_what_encloses_no_region_is_refused_by_name(make, tmp_path, points, tags, code, found):
    geometry = grid(make)
    path = make.write_rtstruct(tmp_path / "rt", {1: [(drawn(geometry, 3, points), tags, None)]})
    with pytest.raises(MaskError, match=f"{code}: P1 L1: .*{found}") as raised:
        read_rtstruct_mask(path, 1, geometry, "P1 L1")
    assert "PLANTED" not in str(raised.value)


def test_contours_of_another_image_are_refused(make, tmp_path):
    geometry = grid(make)
    column, row, k = geometry.affine[:3, :3].T
    tilted = np.stack([column, row + 0.25 * k, k], axis=1)
    between = [drawn(geometry, k, box(2, 8)) for k in (1.0, 1.4, 2.0, 2.4, 3.0)]
    sparse = [drawn(geometry, k, box(2, 8)) for k in (1, 4, 7)]
    beyond = [drawn(geometry, -0.6, box(2, 8))]
    other = Geometry(np.vstack([np.column_stack([tilted, geometry.affine[:3, 3]]), [0, 0, 0, 1]]), geometry.shape)
    across = [drawn(other, 3, box(2, 8))]
    turned = [geometry.to_mm([[2, 2, 2.8], [8, 2, 3.2], [8, 8, 3.2], [2, 8, 2.8]]) * LPS]
    coarser = [drawn(geometry, k, box(2, 8)) for k in (1, 3.73)]
    for contours, code, found in (
        (between, "E_MASK_GRID", "differ by 1.60 mm"),
        (turned, "E_MASK_GRID", "runs through 0.40 slice"),
        (coarser, "E_MASK_GRID", "differ by 1.08 mm"),
        (sparse, "E_MASK_GRID", "12.00 mm apart or more"),
        (beyond, "E_MASK_OUT", "outside"),
        (across, "E_MASK_GRID", "up to 1.00 slice"),
    ):
        path = make.write_rtstruct(tmp_path / "rt", {1: contours})
        with pytest.raises(MaskError, match=f"{code}.*{found}"):
            read_rtstruct_mask(path, 1, geometry, "lesion")


def test_a_contour_a_little_off_its_slice_belongs_to_it(make, tmp_path):
    geometry = grid(make)
    path = make.write_rtstruct(tmp_path / "rt", {1: [drawn(geometry, 3.4, box(2, 8)), drawn(geometry, 4.4, box(2, 8))]})
    mask = read_rtstruct_mask(path, 1, geometry, "lesion")
    assert np.flatnonzero(mask.voxels.any(axis=(1, 2))).tolist() == [3, 4]
    assert [str(caution.message) for caution in mask.cautions] == [
        "its contours lie 0.40 slice spacings off the slices"
    ]


def test_points_with_one_decimal_on_thin_slices(make, tmp_path):
    geometry = grid(make, spacing=(0.7, 0.7, 0.6))
    contours = [np.round(drawn(geometry, k, box(1.5, 9.5)), 1) for k in (3, 4, 5)]
    mask = read_rtstruct_mask(make.write_rtstruct(tmp_path / "rt", {1: contours}), 1, geometry, "lesion")
    assert np.flatnonzero(mask.voxels.any(axis=(1, 2))).tolist() == [3, 4, 5]
    assert mask.voxels.sum() == pytest.approx(3 * 64, rel=0.1)


@pytest.mark.parametrize("second", [box(4.5, 10.5), box(1.5, 8.5), box(1.6, 8.6)[2:] + box(1.6, 8.6)[:2]])
def test_contours_that_cross_or_are_there_twice_are_refused(make, tmp_path, second):
    """By the even-odd rule, what they share would be a hole."""
    geometry = grid(make)
    path = make.write_rtstruct(tmp_path / "rt", {1: [drawn(geometry, 3, box(1.5, 8.5)), drawn(geometry, 3, second)]})
    with pytest.raises(MaskError, match=r"E_MASK_FILE.*cross, or are there twice"):
        read_rtstruct_mask(path, 1, geometry, "lesion")


def test_values_are_not_quoted_in_warnings(make, tmp_path):
    geometry = grid(make)
    path = make.write_rtstruct(tmp_path / "rt", {1: [(drawn(geometry, 3, box(2, 8)), {}, "2.25.77")]})
    path.write_bytes(path.read_bytes().replace(b"2.25.77\0", b"PLAN^TED"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (region,) = mask_regions(path)
        stack = Stack(np.zeros(geometry.shape[::-1], np.uint8), np.ones(9), np.zeros(9), geometry)
        assert read_region(region, {"T2": stack}, "lesion", "T2").voxels.any()


def test_markers_are_no_regions(make, tmp_path):
    geometry = grid(make)
    marker = (drawn(geometry, 3, [[4, 4]]), {"ContourGeometricType": "POINT"}, None)
    path = make.write_rtstruct(tmp_path / "rt", {1: [marker], 2: [drawn(geometry, 3, box(2, 8))]})
    assert [region.number for region in mask_regions(path)] == [2]


def test_slices_left_out_and_contours_below_a_pixel_are_said(make, tmp_path):
    geometry = grid(make)
    contours = [drawn(geometry, k, box(2, 8)) for k in (1, 2, 5)] + [drawn(geometry, 6, box(2.2, 2.8))]
    mask = read_rtstruct_mask(make.write_rtstruct(tmp_path / "rt", {1: contours}), 1, geometry, "lesion")
    assert [(caution.code, caution.message[:15]) for caution in mask.cautions] == [
        ("W_GAP", "2 slice(s) betw"),
        ("W_SUBPIXEL", "on 1 slice(s) i"),
    ]


def test_absent_regions_and_other_files_are_named(make, tmp_path):
    geometry = grid(make)
    path = make.write_rtstruct(tmp_path / "rt", {4: [drawn(geometry, 3, box(2, 8))], 5: []})
    for roi in (3, 5):
        with pytest.raises(MaskError, match=f"E_MASK_FILE.*contours of ROI {roi}; found contours of ROI 4"):
            read_rtstruct_mask(path, roi, geometry, "lesion")
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(MaskError, match="E_MASK_FILE"):
        read_rtstruct_mask(path, 4, geometry, "lesion")
    make.write_volume(tmp_path / "study", np.zeros((1, 4, 4), np.uint16), np.eye(3), (1, 1, 1), (0, 0, 0))
    (image,) = (tmp_path / "study").iterdir()
    with pytest.raises(MaskError, match="another kind of DICOM object"):
        read_rtstruct_mask(image, 4, geometry, "lesion")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("old", "new"),
    [(b"\x06\x30\x84\0IS\x02\x005 ", b"\x06\x30\x84\0IS\x02\0iu"), (b"\x08\0\x16\0UI", b"\x08\0\x16\0U-")],
)
def test_damaged_values_are_no_bare_traceback(make, tmp_path, old, new):
    geometry = grid(make)
    path = make.write_rtstruct(tmp_path / "rt", {5: [drawn(geometry, 3, box(2, 8))]})
    content = path.read_bytes()
    assert content.count(old) == 1
    path.write_bytes(content.replace(old, new))
    with pytest.raises(MaskError, match="E_MASK_FILE"):
        read_rtstruct_mask(path, 5, geometry, "lesion")
