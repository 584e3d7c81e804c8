import nibabel
import numpy as np
import pytest
from monai.transforms import Compose

from mpmri_monai.cohort import Study
from mpmri_monai.errors import MaskError
from mpmri_monai.samples import Settings, sample_study
from mpmri_monai.transforms import preprocessing

SEQUENCES = ("T2", "OUT", "S0")


@pytest.fixture
def study(tmp_path):
    """A study in NIfTI with one lesion and a liver mask; no OUT."""
    rng = np.random.default_rng(0)
    affines = {"T2": np.diag([3.0, 3.0, 6.0, 1.0]), "S0": np.diag([2.5, 2.5, 2.5, 1.0])}
    shapes = {"T2": (40, 40, 8), "S0": (48, 48, 20)}
    for name, affine in affines.items():
        values = rng.integers(0, 900, shapes[name]).astype(np.int16)
        nibabel.save(nibabel.Nifti1Image(values, affine), tmp_path / f"{name}.nii")
    masks = np.zeros((2, *shapes["S0"]), np.uint8)
    masks[0, 10:18, 10:20, 6:14] = 3
    masks[1, 4:44, 4:44, 1:19] = 1
    for name, mask in zip(("lesions", "liver"), masks, strict=True):
        nibabel.save(nibabel.Nifti1Image(mask, affines["S0"]), tmp_path / f"{name}.nii")
    return Study(
        patient="P1",
        study="P1-1",
        site="A",
        images={"T2": "T2.nii", "S0": "S0.nii"},
        organs={"liver": "liver.nii"},
        lesions=[{"id": "L1", "region": {"mask": "lesions.nii", "value": 3}, "drawn_on": "S0"}],
    )


OTHER_SETTINGS = Settings(joint_dce=True, trim=0.05, through_plane="slab_mean", pixels=24, background=False)


GRID_SETTINGS = Settings(grid={"slices": 3, "pixels": 16, "plane_mm": 2.0}, window="central", trim=0.05)


@pytest.mark.parametrize(("settings", "least"), [(Settings(), 3), (OTHER_SETTINGS, 3), (GRID_SETTINGS, 2)])
def test_the_transforms_are_what_the_store_is_built_with(study, tmp_path, settings, least):
    transform = preprocessing(settings, SEQUENCES)
    assert isinstance(transform, Compose)
    data = transform({"study": study, "folder": tmp_path})
    expected = sample_study(study, tmp_path, settings, SEQUENCES)
    assert len(data["samples"]) == len(expected) >= least
    for one, other in zip(data["samples"], expected, strict=True):
        assert one.sample == other.sample
        for field in ("image", "mask", "present", "offset_mm", "signal", "level", "position_mm"):
            np.testing.assert_array_equal(getattr(one, field), getattr(other, field))


def test_every_step_leaves_its_result(study, tmp_path):
    data = {"study": study, "folder": tmp_path}
    result = preprocessing(Settings(), SEQUENCES)(data)
    assert list(result) == ["study", "folder", "stacks", "regions", "alignment", "windows", "positions", "samples"]
    assert list(data) == ["study", "folder"]
    assert list(result["windows"]) == ["T2", "S0"]
    assert result["windows"]["T2"].minimum < result["windows"]["T2"].maximum


def test_errors_reach_the_user_as_they_are(study, tmp_path, caplog):
    masks = nibabel.load(tmp_path / "lesions.nii")
    nibabel.save(nibabel.Nifti1Image(np.zeros(masks.shape, np.uint8), masks.affine), tmp_path / "lesions.nii")
    with pytest.raises(MaskError, match="E_MASK_EMPTY"):
        preprocessing(Settings(), SEQUENCES)({"study": study, "folder": tmp_path})
    assert str(tmp_path) not in caplog.text
