"""Which lesions a mask file holds, as answers and contact sheets name them."""

import nibabel
import numpy as np
import pytest

from mpmri_monai.errors import MaskError
from mpmri_monai.samples import lesions
from mpmri_monai.volumes import MaskRegion


def save(path, *values):
    voxels = np.zeros((4, 4, 4), np.uint8)
    voxels.flat[: len(values)] = values
    nibabel.save(nibabel.Nifti1Image(voxels, np.eye(4)), path)
    return path


def named(found):
    return [(lesion.id, lesion.region.mask, lesion.region.value or lesion.region.segment) for lesion in found]


def test_lesions_of_one_file_keep_their_numbers(tmp_path):
    path = save(tmp_path / "mask.nii", 2, 5)
    assert named(lesions.lesions_of(path)) == [("L2", str(path), 2), ("L5", str(path), 5)]
    assert {lesion.drawn_on for lesion in lesions.lesions_of(path, "S3")} == {"S3"}
    assert {lesion.drawn_on for lesion in lesions.lesions_of(path)} == {None}


def test_lesions_of_several_files_are_counted(tmp_path):
    paths = [save(tmp_path / name, 1) for name in ("a.nii", "b.nii.gz")]
    assert named(lesions.lesions_of(tmp_path)) == [("L1", str(paths[0]), 1), ("L2", str(paths[1]), 1)]


def test_an_organ_is_no_lesion(monkeypatch, tmp_path):
    organ, lesion = MaskRegion(tmp_path, "segment", 1, anatomy=True), MaskRegion(tmp_path, "segment", 2)
    monkeypatch.setattr(lesions, "mask_regions", lambda _: (organ, lesion))
    assert named(lesions.lesions_of(tmp_path)) == [("L2", str(tmp_path), 2)]
    monkeypatch.setattr(lesions, "mask_regions", lambda _: (organ,))
    assert named(lesions.lesions_of(tmp_path)) == [("L1", str(tmp_path), 1)]


def test_a_mask_that_is_not_there_is_named(tmp_path):
    with pytest.raises(MaskError, match="no such file"):
        lesions.lesions_of(tmp_path / "none.dcm")
