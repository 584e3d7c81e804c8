import nibabel
import numpy as np
import pytest

from mpmri_monai.cohort import Region
from mpmri_monai.errors import ManifestError, MaskError, MpmriError
from mpmri_monai.samples import Settings, sample_study
from mpmri_monai.samples.study import load_regions, load_sequences


def changed(study, **fields):
    return type(study).model_validate({**study.model_dump(mode="json", exclude_none=True), **fields})


def with_lesion(study, **fields):
    return changed(study, lesions=[{**study.lesions[0].model_dump(mode="json", exclude_none=True), **fields}])


def test_samples_of_a_study(cohort):
    samples = sample_study(cohort.studies[0], cohort.folder, Settings(), cohort.sequences)
    lesions = [sample for sample in samples if sample.kind == "lesion"]
    background = [sample for sample in samples if sample.kind == "background"]
    assert [sample.sample for sample in lesions] == [f"L1-{n:02d}" for n in range(len(lesions))]
    assert len(lesions) in (3, 4, 5)
    assert [sample.sample for sample in background] == [f"BG-1-{n:02d}" for n in range(len(background))]
    assert len(background) == len(lesions)
    assert {tuple(sample.present) for sample in samples} == {(True, False, True, True, True)}
    assert lesions[0].labels == {"grade": "poorly"}
    assert background[0].labels == {}


def test_signal_is_that_of_the_place(cohort):
    """The images of the cohort are x plus noise of mean 54.5."""
    samples = sample_study(cohort.studies[0], cohort.folder, Settings(), cohort.sequences)
    for sample in samples:
        np.testing.assert_allclose(sample.signal[sample.present], 54.5 + sample.position_mm[0], atol=2.5)
        assert sample.image.min() >= 0 and sample.image.max() <= 1


def test_without_liver_mask_no_background(cohort):
    study = changed(cohort.studies[0], organs={})
    assert {sample.kind for sample in sample_study(study, cohort.folder, Settings(), cohort.sequences)} == {"lesion"}


def test_background_can_be_left_out(cohort):
    settings = Settings(background=False)
    samples = sample_study(cohort.studies[0], cohort.folder, settings, cohort.sequences)
    assert {sample.kind for sample in samples} == {"lesion"}


def test_a_box_serves_as_a_lesion(cohort):
    study = with_lesion(cohort.studies[0], region={"center_mm": [8, 5, 0], "size_mm": [24, 24, 24]}, drawn_on=None)
    lesions = [s for s in sample_study(study, cohort.folder, Settings(), cohort.sequences) if s.kind == "lesion"]
    assert len(lesions) in (3, 4, 5)
    assert lesions[0].extent_mm == pytest.approx(24, abs=1)


def test_study_without_a_wanted_sequence(cohort):
    with pytest.raises(ManifestError, match="P0-1"):
        load_sequences(cohort.studies[0], cohort.folder, ("S5",))


def test_mask_of_another_grid_is_refused(cohort):
    study = with_lesion(cohort.studies[0], drawn_on="T2")
    with pytest.raises(MaskError, match="E_MASK_GRID"):
        sample_study(study, cohort.folder, Settings(), cohort.sequences)


def test_mask_drawn_on_a_missing_sequence_is_refused(cohort):
    study = with_lesion(cohort.studies[2], drawn_on="OUT")
    with pytest.raises(MaskError, match="drawn_on"):
        sample_study(study, cohort.folder, Settings(), cohort.sequences)


def test_grid_is_found_when_nobody_says_what_the_mask_was_drawn_on(cohort):
    study = cohort.studies[0]
    content = study.model_dump(mode="json", exclude_none=True)
    del content["lesions"][0]["drawn_on"]
    study = type(study).model_validate(content)
    stacks = load_sequences(study, cohort.folder, cohort.sequences)
    mask = load_regions(study, cohort.folder, stacks).lesions["L1"]
    assert mask.voxels.any() and mask.drawn_on == "S0"
    del stacks["S0"], stacks["S3"]
    with pytest.raises(MaskError, match="E_MASK_GRID"):
        load_regions(study, cohort.folder, stacks)


def test_empty_and_unreadable_masks_are_refused(cohort):
    study = with_lesion(cohort.studies[0], region={"mask": "P0/lesions.nii", "value": 9})
    with pytest.raises(MaskError, match="E_MASK_EMPTY"):
        sample_study(study, cohort.folder, Settings(), cohort.sequences)
    missing = with_lesion(cohort.studies[0], region={"mask": "P0/none.nii", "value": 1})
    with pytest.raises(MpmriError):
        sample_study(missing, cohort.folder, Settings(), cohort.sequences)


def test_liver_mask_of_another_grid_is_refused(cohort):
    """It would put the background samples wherever its own affine says."""
    study = cohort.studies[0]
    path = cohort.folder / "P0" / "liver.nii"
    image = nibabel.load(path)
    affine = image.affine.copy()
    affine[:3, 3] += [40.0, 0, 0]
    nibabel.save(nibabel.Nifti1Image(np.array(image.dataobj), affine), path)
    with pytest.raises(MaskError, match="E_MASK_GRID: study P0-1, liver"):
        sample_study(study, cohort.folder, Settings(), cohort.sequences)


def test_a_mask_of_another_kind_than_the_manifest_says_is_refused(cohort):
    study = with_lesion(cohort.studies[0], region=Region(mask="P0/lesions.nii", roi=1).model_dump(exclude_none=True))
    with pytest.raises(MaskError, match=r"E_MASK_FILE.*RTSTRUCT"):
        sample_study(study, cohort.folder, Settings(), cohort.sequences)


def test_what_is_odd_about_a_mask_is_said(cohort):
    """Half of the lesion copied to the other side of the volume, outside the liver."""
    study = cohort.studies[0]
    stacks = load_sequences(study, cohort.folder, cohort.sequences)
    assert load_regions(study, cohort.folder, stacks).cautions == {"L1": ()}
    path = cohort.folder / "P0" / "lesions.nii"
    image = nibabel.load(path)
    values = np.array(image.dataobj)
    values[:2, :2, :3] = 1
    nibabel.save(nibabel.Nifti1Image(values, image.affine), path)
    (caution,) = load_regions(study, cohort.folder, stacks).cautions["L1"]
    assert caution.code == "W_STRAY" and caution.message.startswith("12 of its ")


def test_order_and_orientation_of_storage_do_not_matter(cohort):
    """The same S0 stored with its slices and rows the other way round gives the same samples."""
    study = cohort.studies[0]
    before = sample_study(study, cohort.folder, Settings(background=False), cohort.sequences)
    path = cohort.folder / "P0" / "S0.nii"
    image = nibabel.load(path)
    values = np.asarray(image.dataobj)[:, ::-1, ::-1]
    _, rows, slices = values.shape
    flip = np.diag([1.0, -1.0, -1.0, 1.0])
    flip[1:3, 3] = rows - 1, slices - 1
    nibabel.save(nibabel.Nifti1Image(values, image.affine @ flip), cohort.folder / "P0" / "flipped.nii")
    flipped = changed(study, images={**study.model_dump(mode="json")["images"], "S0": "P0/flipped.nii"})
    after = sample_study(flipped, cohort.folder, Settings(background=False), cohort.sequences)
    for one, other in zip(before, after, strict=True):
        np.testing.assert_allclose(one.image, other.image, atol=1e-5)


GRID = Settings(grid={"slices": 4, "pixels": 16, "depth_mm": 6, "plane_mm": 2}, window="central", trim=0.05)


def test_grid_samples_of_a_study(cohort):
    lesion, background = sample_study(cohort.studies[0], cohort.folder, GRID, cohort.sequences)
    assert (lesion.sample, lesion.kind, lesion.labels) == ("L1-00", "lesion", {"grade": "poorly"})
    assert (background.sample, background.kind, background.labels) == ("BG-1-00", "background", {})
    for sample in (lesion, background):
        assert sample.image.shape == (5, *GRID.stored_shape) and sample.mask.shape == GRID.stored_shape
        assert sample.present.tolist() == [True, False, True, True, True]
        np.testing.assert_allclose(sample.signal[sample.present], 54.5 + sample.position_mm[0], atol=2.5)


def test_study_without_lesions_but_with_labels_is_one_sample(cohort):
    study = changed(cohort.studies[0], lesions=[], labels={"grade": "well"})
    (sample,) = sample_study(study, cohort.folder, GRID, cohort.sequences)
    assert (sample.lesion, sample.sample, sample.kind) == ("whole", "whole-00", "study")
    assert sample.labels == {"grade": "well"}
    assert sample_study(changed(study, labels={}), cohort.folder, GRID, cohort.sequences) == []
    assert sample_study(study, cohort.folder, Settings(), cohort.sequences) == [], "2.5D samples are of lesions"


def test_the_only_organ_counts_on_a_grid(cohort):
    """A brain is where a study without lesions is taken, and where background is; 2.5D samples know the liver alone."""
    path = cohort.folder / "P0" / "brain.nii"
    image = nibabel.load(cohort.folder / "P0" / "liver.nii")
    values = np.asarray(image.dataobj).copy()
    values[values.shape[0] // 2 :] = 0
    nibabel.save(nibabel.Nifti1Image(values.astype(np.float32) * 0.99999997, image.affine), path)
    brain = changed(cohort.studies[0], organs={"brain": "P0/brain.nii"})
    whole = changed(brain, lesions=[], labels={"grade": "well"})
    (sample,) = sample_study(whole, cohort.folder, GRID, cohort.sequences)
    assert sample.position_mm[0] == pytest.approx(-24, abs=3)
    kinds = [s.kind for s in sample_study(brain, cohort.folder, Settings(), cohort.sequences)]
    assert set(kinds) == {"lesion"}
    two = changed(whole, organs={"brain": "P0/brain.nii", "liver": "P0/liver.nii"})
    (sample,) = sample_study(two, cohort.folder, GRID, cohort.sequences)
    assert sample.position_mm[0] == pytest.approx(0, abs=3)


def test_nan_and_constant_volumes_are_refused(cohort):
    study, path = cohort.studies[0], cohort.folder / "P0" / "T2.nii"
    image = nibabel.load(path)
    for value, words in ((np.nan, "not finite"), (5.0, "E_WINDOW: sequence T2")):
        values = np.full(image.shape, value, np.float32)
        nibabel.save(nibabel.Nifti1Image(values, image.affine), path)
        with pytest.raises(MpmriError, match=words):
            sample_study(study, cohort.folder, GRID, cohort.sequences)
