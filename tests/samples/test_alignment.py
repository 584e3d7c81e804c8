from dataclasses import replace

import nibabel
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, map_coordinates

from mpmri_monai.cohort import Study, parse_manifest, save_manifest
from mpmri_monai.errors import MaskError
from mpmri_monai.samples import Settings, alignment, prepare, sample_study
from mpmri_monai.samples.alignment import align_sequences
from mpmri_monai.samples.commands import prepare_command
from mpmri_monai.samples.study import align_study, load_regions, load_sequences
from mpmri_monai.transforms import preprocessing
from mpmri_monai.volumes import Geometry, Mask

SEQUENCES = ("T2", "OUT", "S0", "S3")
BREATH_MM = {"T2": 8.0, "S0": -5.0, "S3": 0.0}
"""How far up the body lies during each sequence."""
FOUND_MM = 1.0
"""A motion counts as found this close to the truth."""
TISSUE = gaussian_filter(np.random.default_rng(0).normal(size=(70, 70, 70)), 3.5, mode="wrap")
TISSUE /= TISSUE.std()
RIGID = Settings(align="rigid", background=False)


def grid(shape, spacing):
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = -(np.array(shape) - 1) / 2 * spacing
    return Geometry(affine, shape)


GRIDS = {"T2": grid((48, 44, 16), (2.5, 2.5, 6.0)), "S0": grid((44, 44, 38), (2.5, 2.5, 2.5))}
GRIDS["S3"] = GRIDS["S0"]


def write_nifti(path, voxels, geometry):
    nibabel.save(nibabel.Nifti1Image(voxels.transpose(2, 1, 0), geometry.affine), path)


def tissue(points_mm):
    return map_coordinates(TISSUE, np.moveaxis(points_mm / 2.0 + 35, -1, 0), order=1, mode="wrap")


def acquired(sequence, make_grid):
    points = make_grid(GRIDS[sequence])
    points[..., 2] -= BREATH_MM[sequence]
    contrast = -1 if sequence == "T2" else 1
    noise = np.random.default_rng(7).normal(size=points.shape[:-1])
    return (500 + 100 * contrast * tissue(points) + 5 * noise).astype(np.int16)


@pytest.fixture
def cohort(tmp_path, make_grid, monkeypatch):
    """One study whose breath-holds differ; the lesion was drawn on S3. Motions are kept in ``tmp_path/cache``."""
    monkeypatch.setenv("MPMRI_CACHE", str(tmp_path / "cache"))
    for sequence in BREATH_MM:
        write_nifti(tmp_path / f"{sequence}.nii", acquired(sequence, make_grid), GRIDS[sequence])
    points = make_grid(GRIDS["S3"])
    ball = np.linalg.norm(points - np.array([6.0, -4.0, 3.0]), axis=-1) <= 12
    write_nifti(tmp_path / "lesions.nii", ball.astype(np.uint8), GRIDS["S3"])
    lesion = {"id": "L1", "region": {"mask": "lesions.nii", "value": 1}, "drawn_on": "S3", "labels": {"grade": "well"}}
    study = {"patient": "P1", "study": "P1-1", "site": "A", "lesions": [lesion]}
    content = {
        "schema": "mpmri-monai/manifest/1",
        "name": "moved",
        "sequences": list(SEQUENCES),
        "classes": {"grade": ["well", "poorly"]},
        "studies": [{**study, "images": {sequence: f"{sequence}.nii" for sequence in BREATH_MM}}],
    }
    return parse_manifest(content, tmp_path, where="test")


@pytest.fixture
def study(cohort):
    return cohort.studies[0]


def with_lesion(study, **fields):
    content = study.model_dump(mode="json", exclude_none=True)
    content["lesions"][0] = {
        name: value for name, value in {**content["lesions"][0], **fields}.items() if value is not None
    }
    return Study.model_validate(content)


def aligned(study, cohort):
    stacks = load_sequences(study, cohort.folder, SEQUENCES)
    return stacks, *align_sequences(study, stacks, load_regions(study, cohort.folder, stacks).lesions, None)


def test_motion_against_the_sequence_drawn_on_is_undone(study, cohort):
    samples = sample_study(study, cohort.folder, RIGID, SEQUENCES)
    assert len(samples) >= 3
    for sample in samples:
        np.testing.assert_allclose(sample.shift_mm[[0, 2]], [8, 5], atol=FOUND_MM)
        assert np.isnan(sample.shift_mm[1]) and sample.shift_mm[3] == 0
        assert not [flag for flag in sample.flags if flag.startswith("unaligned")]
        t2, s0, s3 = (sample.image[i].ravel() for i in (0, 2, 3))
        assert np.corrcoef(s0, s3)[0, 1] > 0.95
        assert np.corrcoef(t2, s3)[0, 1] < -0.9


@pytest.mark.parametrize(("drawn_on", "shift"), [("T2", -BREATH_MM["T2"]), ("S3", 0.0)])
def test_liver_goes_with_the_sequence_that_it_was_drawn_on(study, cohort, make_grid, drawn_on, shift):
    """Background is taken inside the liver, in the space of the sequence that the lesion was drawn on."""
    voxels = np.linalg.norm(make_grid(GRIDS[drawn_on]), axis=-1) <= 40
    write_nifti(cohort.folder / "liver.nii", voxels.astype(np.uint8), GRIDS[drawn_on])
    study = study.model_copy(update={"organs": {"liver": "liver.nii"}})
    stacks = load_sequences(study, cohort.folder, SEQUENCES)
    before = load_regions(study, cohort.folder, stacks)
    _, after, _ = align_study(study, stacks, before, RIGID)
    moved = after.organ.points_mm().mean(axis=0) - before.organ.points_mm().mean(axis=0)
    np.testing.assert_allclose(moved, [0, 0, shift], atol=FOUND_MM)
    assert after.lesions is before.lesions


def test_without_alignment_sequences_show_other_tissue(study, cohort):
    """The test above would pass without alignment otherwise."""
    for sample in sample_study(study, cohort.folder, Settings(background=False), SEQUENCES):
        assert sample.shift_mm is None
        assert np.corrcoef(sample.image[0].ravel(), sample.image[3].ravel())[0, 1] > -0.8


def test_nothing_is_resampled_and_the_reference_stays(study, cohort):
    stacks, moved, alignment = aligned(study, cohort)
    assert alignment.reference == "S3"
    assert moved["S3"] is stacks["S3"]
    for sequence in ("T2", "S0"):
        assert moved[sequence].stored is stacks[sequence].stored
        assert moved[sequence].geometry.shape == stacks[sequence].geometry.shape
    step = moved["T2"].geometry.affine[:3, 3] - stacks["T2"].geometry.affine[:3, 3]
    np.testing.assert_allclose(step[2], -8, atol=2 * FOUND_MM)  # at the corner of the image a turn adds to it


def test_sequences_on_one_grid_stay_together(study, cohort):
    """Drawn on T2: S3 goes onto S0 and both onto T2; where the way to T2 is refused, S3 still goes onto S0."""
    stacks = load_sequences(study, cohort.folder, SEQUENCES)
    box = with_lesion(study, region={"center_mm": [6, -4, 3], "size_mm": [20, 20, 20]}, drawn_on=None)
    _, found = align_sequences(box, stacks, {}, None)
    assert found.reference == "T2"
    for sequence, shift in (("S0", 13), ("S3", 8)):
        assert found.motions[sequence].refused is None
        assert found.motions[sequence].matrix[2, 3] == pytest.approx(shift, abs=FOUND_MM)
    noise = gaussian_filter(np.random.default_rng(3).normal(size=GRIDS["T2"].shape[::-1]), 2)
    _, lost = align_sequences(box, {**stacks, "T2": replace(stacks["T2"], stored=noise)}, {}, None)
    assert lost.motions["S0"].refused and lost.motions["S3"].refused
    np.testing.assert_array_equal(lost.motions["S0"].matrix, np.eye(4))
    assert lost.motions["S3"].matrix[2, 3] == pytest.approx(-5, abs=FOUND_MM)


def test_samples_name_the_voxels_as_acquired(study, cohort):
    """Images that two patients share are found by these digests, aligned or not."""
    plain = sample_study(study, cohort.folder, Settings(background=False), SEQUENCES)[0]
    assert sample_study(study, cohort.folder, RIGID, SEQUENCES)[0].voxels == plain.voxels


def test_no_pair_is_registered_twice(study, cohort, monkeypatch):
    before = sample_study(study, cohort.folder, RIGID, SEQUENCES)

    def never(*_):
        raise AssertionError("registered again")

    monkeypatch.setattr(alignment, "find_motion", never)
    after = sample_study(study, cohort.folder, RIGID, SEQUENCES)
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one.image, other.image)
        np.testing.assert_array_equal(one.shift_mm, other.shift_mm)


def test_kept_motion_that_is_damaged_is_found_anew(study, cohort):
    _, _, before = aligned(study, cohort)
    kept = sorted((cohort.folder / "cache" / "motions").iterdir())
    assert len(kept) == 2
    for file, text in zip(kept, ("{", '{"schema": "x", "matrix": [1, 2]}'), strict=True):
        file.write_text(text)
    _, _, after = aligned(study, cohort)
    for sequence, motion in before.motions.items():
        np.testing.assert_array_equal(motion.matrix, after.motions[sequence].matrix)


def test_sequence_whose_motion_is_refused_stays_and_is_flagged(study, cohort):
    noise = gaussian_filter(np.random.default_rng(3).normal(size=GRIDS["T2"].shape[::-1]), 2)
    write_nifti(cohort.folder / "T2.nii", (500 + 1000 * noise).astype(np.int16), GRIDS["T2"])
    stacks, moved, _ = aligned(study, cohort)
    np.testing.assert_array_equal(moved["T2"].geometry.affine, stacks["T2"].geometry.affine)
    for sample in sample_study(study, cohort.folder, RIGID, SEQUENCES):
        assert "unaligned:T2" in sample.flags and "unaligned:S0" not in sample.flags
        assert sample.shift_mm[0] == 0


def test_reference_of_a_box_gives_the_slices(study, cohort):
    box = with_lesion(study, region={"center_mm": [6, -4, 3], "size_mm": [20, 20, 20]}, drawn_on=None)
    assert aligned(box, cohort)[2].reference == "T2"


def test_grid_that_several_sequences_share_does_not_tell_the_reference(study, cohort):
    with pytest.raises(MaskError, match=r"E_ALIGN.*S0 and S3.*drawn_on"):
        aligned(with_lesion(study, drawn_on=None), cohort)


def test_lesions_drawn_on_two_sequences_are_refused(study, cohort):
    stacks = load_sequences(study, cohort.folder, SEQUENCES)
    content = study.model_dump(mode="json", exclude_none=True)
    content["lesions"].append({**content["lesions"][0], "id": "L2", "drawn_on": "T2"})
    masks = {
        name: Mask(np.ones(GRIDS[on].shape[::-1], bool), GRIDS[on], drawn_on=on)
        for name, on in (("L1", "S3"), ("L2", "T2"))
    }
    with pytest.raises(MaskError, match="E_ALIGN"):
        align_sequences(Study.model_validate(content), stacks, masks, None)


def test_transforms_give_the_samples_of_the_store(study, cohort):
    transformed = preprocessing(RIGID, SEQUENCES)({"study": study, "folder": cohort.folder})
    assert transformed["alignment"].reference == "S3"
    for one, other in zip(transformed["samples"], sample_study(study, cohort.folder, RIGID, SEQUENCES), strict=True):
        np.testing.assert_array_equal(one.image, other.image)
        np.testing.assert_array_equal(one.shift_mm, other.shift_mm)


def test_store_keeps_the_shifts(cohort):
    plain = prepare(cohort, Settings(background=False), cohort.folder / "cache", progress=False)
    store = prepare(cohort, RIGID, cohort.folder / "cache", progress=False)
    assert store.folder != plain.folder and store.digest() != plain.digest()
    assert not [name for name in plain.table if name.startswith("shift")]
    np.testing.assert_allclose(store.table["shift_T2"], 8, atol=FOUND_MM)
    assert store.table["shift_OUT"].isna().all()


def test_prepare_says_how_far_sequences_were_moved(cohort, capsys):
    path = cohort.folder / "manifest.json"
    save_manifest(cohort, path)
    assert prepare_command(path, cohort.folder / "cache", settings=RIGID) == 0
    told = capsys.readouterr().out
    assert "largest shift mm" in told and "--samples#align rigid" in told


def test_lesion_with_stray_voxels_is_flagged(study, cohort, make_grid):
    points = make_grid(GRIDS["S3"])
    voxels = (np.linalg.norm(points, axis=-1) <= 8).astype(np.uint8)
    voxels[np.linalg.norm(points - np.array([-10.0, 40, 0]), axis=-1) <= 6] = 2
    voxels[19, 2, 2:4] = 1  # 60 mm from the rest
    write_nifti(cohort.folder / "lesions.nii", voxels, GRIDS["S3"])
    content = study.model_dump(mode="json", exclude_none=True)
    content["lesions"].append({**content["lesions"][0], "id": "L2", "region": {"mask": "lesions.nii", "value": 2}})
    samples = sample_study(Study.model_validate(content), cohort.folder, Settings(background=False), SEQUENCES)
    assert {sample.lesion for sample in samples} == {"L1", "L2"}
    for sample in samples:
        assert ("stray" in sample.flags) == (sample.lesion == "L1")
