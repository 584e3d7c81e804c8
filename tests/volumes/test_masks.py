import os
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpmri_monai.catalogue import scan
from mpmri_monai.errors import MaskError
from mpmri_monai.volumes import Geometry, Mask, check_mask, fits, read_dicom, read_nifti_mask, read_seg_mask

DATA = Path(os.environ.get("MPMRI_TEST_DATA") or Path(__file__).parents[3] / "shared" / "data")


def labels(shape=(8, 9, 6)):
    """(column, row, slice) label map with regions 1 and 3."""
    found = np.zeros(shape, np.uint8)
    found[2:5, 3:7, 1:4] = 1
    found[6, 1, 4] = 3
    return found


def save(path, voxels, affine=None):
    nibabel.save(nibabel.Nifti1Image(voxels, np.diag([2.0, 2.0, 5.0, 1.0]) if affine is None else affine), path)
    return path


def test_nifti_mask_is_the_voxels_of_one_value(tmp_path):
    mask = read_nifti_mask(save(tmp_path / "mask.nii.gz", labels()), 1, "lesion")
    np.testing.assert_array_equal(mask.voxels, (labels() == 1).transpose(2, 1, 0))
    assert mask.volume_ml == pytest.approx(36 * 20 / 1000)
    points = mask.points_mm()
    assert points.shape == (36, 3)
    assert points.min(axis=0).tolist() == [4, 6, 5] and points.max(axis=0).tolist() == [8, 12, 15]
    assert read_nifti_mask(tmp_path / "mask.nii.gz", 3, "lesion").points_mm().tolist() == [[12, 2, 20]]


def test_labels_stored_as_floats_are_rounded_and_fractions_refused(tmp_path):
    path = save(tmp_path / "mask.nii", labels().astype(np.float32) * 0.99999997)
    assert read_nifti_mask(path, 3, "lesion").voxels.sum() == 1
    with pytest.raises(MaskError, match="fractions"):
        read_nifti_mask(save(path, labels() * np.float32(0.5)), 1, "lesion")
    with pytest.raises(MaskError, match=r"E_MASK_EMPTY.*0, 1e\+30, 3e\+30"):
        read_nifti_mask(save(path, labels() * np.float32(1e30)), 1, "lesion")


def test_absent_value_names_those_that_are_there(tmp_path):
    with pytest.raises(MaskError, match=r"E_MASK_EMPTY.*P1 L2.*value 2.*0, 1, 3"):
        read_nifti_mask(save(tmp_path / "mask.nii", labels()), 2, "P1 L2")
    with pytest.raises(MaskError, match=r"E_MASK_FILE.*no such file"):
        read_nifti_mask(tmp_path / "none.nii", 1, "P1 L2")


@pytest.fixture
def study(make, tmp_path):
    """An oblique DICOM volume, its data sets and a SEG with two segments that leaves out empty slices."""
    stored = np.random.default_rng(0).integers(0, 999, size=(6, 9, 8)).astype(np.uint16)
    frame = make.rotation(np.random.default_rng(3))
    images = make.write_volume(tmp_path / "study", stored, frame, (2.0, 1.5, 5.0), (10, 20, -30))
    (volume,) = scan(tmp_path / "study", "none").volumes
    ordered = [pydicom.dcmread(header.path) for header in volume.files]
    voxels = np.zeros((6, 9, 8, 2), np.uint8)
    voxels[2:4, 3:6, 1:5, 0] = 1
    voxels[3:5, 5:8, 4:7, 1] = 1
    path = make.write_seg(tmp_path / "seg.dcm", ordered, voxels)
    assert len(images) == 6
    return volume, voxels, path


def test_seg_mask_has_the_known_voxels_at_the_known_places(study):
    volume, voxels, path = study
    geometry = read_dicom(volume).geometry
    for segment in (1, 2):
        mask = read_seg_mask(path, segment, "lesion")
        index = geometry.to_index(mask.points_mm())
        np.testing.assert_allclose(index, np.round(index), atol=1e-3)
        found = {tuple(place) for place in np.round(index).astype(int)[:, ::-1].tolist()}
        assert found == {tuple(place) for place in np.argwhere(voxels[..., segment - 1]).tolist()}
        assert mask.partial and mask.voxels.shape[0] < 6
        check_mask(mask, geometry, "lesion")
        assert fits(mask, geometry)
        assert mask.geometry.normal == pytest.approx(geometry.normal, abs=1e-6)


def test_seg_knows_its_volume_and_absent_segments_are_named(study):
    volume, _, path = study
    with pytest.raises(MaskError, match=r"segment 5.*1, 2"):
        read_seg_mask(path, 5, "lesion")
    with pytest.raises(MaskError, match="E_MASK_FILE"):
        read_seg_mask(volume.files[0].path, 1, "lesion")
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(MaskError, match="E_MASK_FILE"):
        read_seg_mask(path, 1, "lesion")
    with pytest.raises(MaskError, match="no such file"):
        read_seg_mask(path.with_name("none"), 1, "lesion")


def test_seg_of_another_study_does_not_fit(study, make):
    volume, _, path = study
    geometry = read_dicom(volume).geometry
    mask = read_seg_mask(path, 1, "lesion")
    affine = geometry.affine.copy()
    affine[:3, 3] += affine[:3, 0] * 0.7
    with pytest.raises(MaskError, match="E_MASK_GRID"):
        check_mask(mask, Geometry(affine, geometry.shape), "lesion")


GRID = Geometry(np.diag([2.0, 2.0, 5.0, 1.0]), (8, 9, 6))


def mask_on(geometry):
    columns, rows, slices = geometry.shape
    voxels = np.zeros((slices, rows, columns), bool)
    voxels[1:3, 2:6, 3:6] = True
    return Mask(voxels, geometry)


def test_mask_checks():
    check_mask(mask_on(GRID), GRID, "lesion")
    with pytest.raises(MaskError, match="E_MASK_EMPTY"):
        check_mask(Mask(np.zeros((6, 9, 8), bool), GRID), GRID, "lesion")
    finer = Geometry(np.diag([1.0, 1.0, 2.5, 1.0]), (16, 18, 12))
    with pytest.raises(
        MaskError, match=r"E_MASK_GRID: lesion.*16 x 18 x 12 voxels of 1.00 x 1.00 x 2.50 mm.*8 x 9 x 6"
    ):
        check_mask(mask_on(finer), GRID, "lesion")
    affine = GRID.affine.copy()
    affine[0, 3] = 1.2
    with pytest.raises(MaskError, match=r"E_MASK_GRID.*8 x 9 x 6 voxels of 2.00 x 2.00 x 5.00 mm up to 1.20 mm off"):
        check_mask(mask_on(Geometry(affine, GRID.shape)), GRID, "lesion")
    affine[0, 3] = -9.0
    with pytest.raises(MaskError, match=r"E_MASK_OUT.*33% of its voxels outside"):
        check_mask(mask_on(Geometry(affine, GRID.shape)), GRID, "lesion")


@given(axis=st.integers(0, 2))
def test_a_flip_that_the_affine_tells_is_the_same_mask(axis):
    affine = GRID.affine.copy()
    affine[:3, 3] += affine[:3, axis] * (GRID.shape[axis] - 1)
    affine[:3, axis] *= -1
    mask = Mask(np.flip(mask_on(GRID).voxels, 2 - axis), Geometry(affine, GRID.shape))
    check_mask(mask, GRID, "lesion")
    assert sorted(mask.points_mm().tolist()) == sorted(mask_on(GRID).points_mm().tolist())


@pytest.mark.parametrize(
    ("signs", "words"),
    [
        ((-1, 1, 1), "left and right are exchanged in"),
        ((1, -1, 1), "front and back are exchanged in"),
        ((1, 1, -1), "head and foot are exchanged in"),
        ((-1, -1, 1), "LPS in place of RAS"),
    ],
)
def test_a_mirrored_affine_is_refused_and_named(signs, words):
    affine = GRID.affine.copy()
    affine[:3, 3] = 10, 20, 30
    image = Geometry(affine, GRID.shape)
    with pytest.raises(MaskError, match=f"E_MASK_(OUT|GRID).*What to do: it seems that .*{words}"):
        check_mask(mask_on(Geometry(np.diag([*signs, 1.0]) @ affine, GRID.shape)), image, "lesion")


@pytest.mark.parametrize(("axis", "words"), [(0, "columns"), (1, "rows"), (2, "slices")])
def test_an_axis_that_runs_the_other_way_is_refused_and_named(axis, words):
    turn = np.diag([-1.0 if axis == k else 1.0 for k in range(4)])
    affine = GRID.affine.copy()
    affine[:3, 3] = 10, 20, 30
    with pytest.raises(MaskError, match=f"its {words} run the other way"):
        check_mask(mask_on(Geometry(affine @ turn, GRID.shape)), Geometry(affine, GRID.shape), "lesion")


def test_a_mask_without_geometry_is_refused(tmp_path):
    image = nibabel.Nifti1Image(labels(), np.eye(4))
    image.set_sform(None, 0)
    image.set_qform(None, 0)
    nibabel.save(image, tmp_path / "mask.nii")
    with pytest.raises(MaskError, match=r"E_NOGEOM: P1 L2.*no geometry"):
        read_nifti_mask(tmp_path / "mask.nii", 1, "P1 L2")


def test_a_mask_of_several_volumes_is_refused(tmp_path):
    with pytest.raises(MaskError, match=r"E_MASK_FILE.*8 x 9 x 6 x 2"):
        read_nifti_mask(save(tmp_path / "mask.nii", np.stack([labels()] * 2, axis=3)), 1, "lesion")


def test_points_in_a_mask():
    mask = mask_on(GRID)
    points = GRID.to_mm([[2.51, 2, 1], [2.49, 2, 1], [5.49, 5.49, 2.49], [5.51, 5, 2], [-50, 0, 0], [3, 3, 90]])
    assert mask.contains(points).tolist() == [True, False, True, False, False, False]
    assert mask.contains(mask.points_mm()).all()


def test_real_seg_lies_on_its_adc_map():
    folder = DATA / "qin_prostate_001"
    if not folder.is_dir():
        pytest.skip("no qin_prostate_001: set MPMRI_TEST_DATA to the folder of real data")
    catalogue = scan(folder, "none")
    geometry = read_dicom(catalogue.volumes[0]).geometry
    for segment in (1, 2, 3, 4):
        mask = read_seg_mask(catalogue.objects[0].path, segment, "region")
        check_mask(mask, geometry, "region")
        assert 0.05 < mask.volume_ml < 100
