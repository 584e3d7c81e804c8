import gzip
from contextlib import suppress

import nibabel
import numpy as np
import pytest

from mpmri_monai.catalogue.containers import nifti_file
from mpmri_monai.errors import GeometryError
from mpmri_monai.volumes import read_nifti

AFFINE = np.array([[-1.5, 0, 0.2, 30], [0, -2.0, 0, 40], [0.2, 0, 3.0, -50], [0, 0, 0, 1]])


def save(path, voxels, affine=AFFINE, slope=None, **header):
    image = nibabel.Nifti1Image(voxels, affine)
    image.header.set_xyzt_units(header.get("units", "mm"))
    if slope:
        image.header.set_slope_inter(*slope)
    nibabel.save(image, path)
    return path


@pytest.mark.parametrize("name", ["image.nii", "image.nii.gz"])
@pytest.mark.parametrize("kind", ["u1", "i2", "u2", "f4", ">i2"])
def test_voxels_and_geometry(tmp_path, name, kind):
    voxels = np.random.default_rng(0).integers(0, 200, size=(5, 6, 7)).astype(kind)
    stack = read_nifti(save(tmp_path / name, voxels))
    np.testing.assert_array_equal(stack.stored, voxels.transpose(2, 1, 0))
    np.testing.assert_allclose(stack.geometry.affine, AFFINE, atol=1e-6)
    assert stack.geometry.shape == (5, 6, 7)


def test_scale_is_kept_apart_from_stored_values(tmp_path):
    path = save(tmp_path / "image.nii", np.random.default_rng(0).normal(size=(4, 5, 6)), slope=None)
    image = nibabel.load(path)
    image.set_data_dtype(np.int16)
    nibabel.save(image, tmp_path / "scaled.nii")
    stack = read_nifti(tmp_path / "scaled.nii")
    assert stack.stored.dtype.kind == "i" and stack.slope[0] != 1
    expected = nibabel.load(tmp_path / "scaled.nii").get_fdata()
    np.testing.assert_allclose(stack.block(2, slice(None), slice(None)), expected[:, :, 2].T, atol=1e-4)


def test_a_single_fourth_dimension_is_dropped(tmp_path):
    assert read_nifti(save(tmp_path / "image.nii", np.ones((4, 5, 6, 1), np.int16))).geometry.shape == (4, 5, 6)


def test_what_is_no_3d_image_in_mm_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "image.nii"
    with pytest.raises(GeometryError, match="no such file"):
        read_nifti(path)
    path.write_bytes(b"nonsense" * 100)
    with pytest.raises(GeometryError, match="cannot read"):
        read_nifti(path)
    with pytest.raises(GeometryError, match="4 x 5 x 6 x 2"):
        read_nifti(save(path, np.ones((4, 5, 6, 2), np.int16)))
    with pytest.raises(GeometryError, match="not finite"):
        read_nifti(save(path, np.full((4, 5, 6), np.nan, np.float32)))
    with pytest.raises(GeometryError, match="meter"):
        read_nifti(save(path, np.ones((4, 5, 6), np.int16), units="meter"))
    with pytest.raises(GeometryError, match=r"E_NOGEOM.*sform and qform"):
        read_nifti(save(path, np.ones((4, 5, 6), np.int16), affine=None))
    monkeypatch.setattr(nifti_file, "MAX_VOXEL_BYTES", 239)
    with pytest.raises(GeometryError, match="E_LIMIT"):
        read_nifti(save(path, np.ones((4, 5, 6), np.int16)))


@pytest.mark.parametrize("name", ["image.nii", "image.nii.gz"])
def test_truncated_file_is_named(tmp_path, name):
    path = save(tmp_path / name, np.random.default_rng(0).integers(0, 9999, size=(20, 20, 20)).astype(np.int16))
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(GeometryError, match=f"{name}.*ends early"):
        read_nifti(path)


def test_damage_in_a_compressed_file_does_not_pass(tmp_path):
    """nibabel stops reading before the checksum, so that most damage would give other voxels without a word."""
    path = save(tmp_path / "image.nii.gz", np.random.default_rng(0).integers(0, 99, size=(20, 20, 9)).astype(np.int16))
    whole, right = path.read_bytes(), read_nifti(path).digest
    for place in range(20, len(whole), 97):
        damaged = bytearray(whole)
        damaged[place] ^= 0x11
        path.write_bytes(damaged)
        with suppress(GeometryError):
            assert read_nifti(path).digest == right, place


def test_sform_and_qform_that_differ_are_refused(tmp_path):
    """Some readers take the one and some the other: a mask drawn in one program would lie elsewhere in another."""
    image = nibabel.Nifti1Image(np.ones((4, 5, 6), np.int16), AFFINE)
    image.set_sform(AFFINE, 1)
    image.set_qform(AFFINE, 1)
    nibabel.save(image, tmp_path / "same.nii")
    np.testing.assert_allclose(read_nifti(tmp_path / "same.nii").geometry.affine, AFFINE, atol=1e-5)
    flipped = AFFINE @ np.diag([-1.0, 1, 1, 1])
    image.set_qform(flipped, 1)
    nibabel.save(image, tmp_path / "differ.nii")
    with pytest.raises(GeometryError, match=r"differ.nii.*E_NOGEOM|E_NOGEOM.*differ.nii"):
        read_nifti(tmp_path / "differ.nii")


def test_broken_geometry_names_the_file(tmp_path):
    path = save(tmp_path / "image.nii", np.ones((4, 5, 6), np.int16))
    content = bytearray(path.read_bytes())
    content[280:328] = bytes(48)  # the sform
    path.write_bytes(content)
    with pytest.raises(GeometryError, match=r"E_NOGEOM: image.nii"):
        read_nifti(path)
    content[123] = 7  # a unit of length that does not exist
    path.write_bytes(content)
    with pytest.raises(GeometryError, match=r"E_NOGEOM: image.nii.*unit"):
        read_nifti(path)


def test_a_header_that_promises_too_much_is_refused_before_anything_is_allocated(tmp_path):
    path = save(tmp_path / "image.nii", np.ones((4, 5, 6), np.int16))
    content = bytearray(path.read_bytes())
    content[42:48] = np.array([30000, 30000, 2000], "<i2").tobytes()
    path.write_bytes(content)
    with pytest.raises(GeometryError, match="E_LIMIT"):
        read_nifti(path)
    (tmp_path / "image.nii.gz").write_bytes(gzip.compress(bytes(content)))
    with pytest.raises(GeometryError, match="E_LIMIT"):
        read_nifti(tmp_path / "image.nii.gz")
