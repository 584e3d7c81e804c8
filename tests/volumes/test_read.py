import nibabel
import numpy as np
import pytest

from mpmri_monai.catalogue.files import StudyFile
from mpmri_monai.catalogue.nifti import nifti_volumes
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
    with pytest.raises(GeometryError, match="no such file"):
        read_volume(record)
