import shutil
from pathlib import Path

import nibabel
import numpy as np
import pytest

from mpmri_monai.catalogue import scan
from mpmri_monai.catalogue.containers.files import StudyFile
from mpmri_monai.catalogue.containers.nifti import nifti_volumes
from mpmri_monai.errors import GeometryError
from mpmri_monai.volumes import read_volume


def test_a_nifti_volume_is_read_on_the_grid_that_the_catalogue_names(tmp_path):
    affine = np.array([[-1.5, 0, 0.2, 30], [0, -2.0, 0, 40], [0.2, 0, 3.0, -50], [0, 0, 0, 1]])
    voxels = np.random.default_rng(0).integers(0, 200, size=(5, 6, 7)).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(voxels, affine), tmp_path / "T2.nii.gz")
    (record,), _, _ = nifti_volumes([StudyFile(tmp_path / "T2.nii.gz", "T2.nii.gz")], ["T2"])
    stack = read_volume(record)
    np.testing.assert_array_equal(stack.stored, voxels.transpose(2, 1, 0))
    assert stack.geometry.shape == (record.columns, record.rows, record.slices)
    np.testing.assert_array_equal(stack.geometry.affine, record.affine)
    columns, rows, slices = stack.geometry.spacing_mm
    assert record.spacing_mm == pytest.approx((rows, columns, slices))
    (tmp_path / "T2.nii.gz").unlink()
    with pytest.raises(GeometryError, match=f"volume {record.id}.*no such file") as caught:
        read_volume(record)
    assert "T2.nii" not in str(caught.value)


def test_a_volume_of_an_archive_is_read_without_its_catalogue(make, tmp_path, monkeypatch):
    monkeypatch.setenv("MPMRI_CACHE", str(tmp_path / "cache"))
    stored = np.random.default_rng(0).integers(0, 900, size=(6, 7, 5)).astype(np.uint16)
    make.write_volume(tmp_path / "study", stored, np.eye(3), (1, 2, 3), (0, 0, 0))
    archive = Path(shutil.make_archive(str(tmp_path / "study"), "gztar", tmp_path / "study"))
    (listed,) = scan(tmp_path / "study", "none").volumes
    record = scan(archive, "none").volume(listed.id)
    np.testing.assert_array_equal(read_volume(record).stored, stored)
    unpacked = record.files[0].path.parent
    del record
    assert not unpacked.exists()
