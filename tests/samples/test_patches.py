"""Random patches: where they may lie, how many each study has, and that nothing but seed and name decides."""

import nibabel
import numpy as np
import pytest
from scipy import stats

from mpmri_monai.cohort import parse_manifest
from mpmri_monai.errors import ConfigError, GeometryError
from mpmri_monai.samples import Grid, Settings, prepare
from mpmri_monai.samples.patches import patch_positions, share_of
from mpmri_monai.samples.region import box_mask
from mpmri_monai.volumes import Geometry

GRID = Grid(slices=4, pixels=9, depth_mm=6, plane_mm=2, patches=40)
AXIAL = Geometry(np.diag([2.0, 2.0, 6.0, 1.0]), (40, 36, 12))


@pytest.fixture
def stacks(make_stack):
    """Bright in the half with x above 40 mm, and noisy everywhere."""
    values = np.random.default_rng(0).integers(0, 100, AXIAL.shape[::-1])
    values[..., 20:] += 900
    return {"T2": make_stack(values.astype(np.int16), AXIAL)}


def centres_of(stacks, count=200, organ=None, grid=GRID, seed=0, study="P1-1"):
    positions = patch_positions(study, count, stacks, organ, grid, seed)
    assert [position.number for position in positions] == list(range(1, count + 1))
    return np.array([position.plane.centre_mm for position in positions])


def test_patches_lie_inside_the_volume_on_its_slices(stacks):
    for position in patch_positions("P1-1", 200, stacks, None, GRID, 0):
        index = AXIAL.to_index(position.plane.points_mm())
        assert (index >= -0.01).all() and (index <= np.array(AXIAL.shape) - 0.99).all()
        np.testing.assert_allclose(index[..., 2], np.rint(index[..., 2]), atol=1e-9)
        assert position.mask.all() and (position.region, position.kind) == ("patch", "patch")


def test_centres_are_uniform_in_the_organ(stacks):
    """A box as organ: its whole width is used, and as often in each part (Kolmogorov-Smirnov)."""
    centres = centres_of(stacks, 1000, box_mask((40, 36, 33), (30, 20, 40)))
    for axis, low, width in ((0, 25, 30), (1, 26, 20)):
        assert stats.kstest(centres[:, axis], "uniform", (low, width)).pvalue > 1e-3
    heights, counts = np.unique(np.round(centres[:, 2], 6), return_counts=True)
    np.testing.assert_allclose(heights, [15, 21, 27, 33, 39, 45, 51])
    assert stats.chisquare(counts).pvalue > 1e-3


def test_without_an_organ_centres_lie_in_the_foreground(stacks):
    index = np.rint(AXIAL.to_index(centres_of(stacks))).astype(int)
    assert (index[:, 0] >= 20).all()
    assert index[:, 0].min() < 24 and index[:, 0].max() > 32


def test_seed_and_study_alone_decide(stacks):
    np.testing.assert_array_equal(centres_of(stacks), centres_of(stacks))
    np.testing.assert_array_equal(centres_of(stacks, 50), centres_of(stacks)[:50])
    assert not np.array_equal(centres_of(stacks), centres_of(stacks, seed=1))
    assert not np.array_equal(centres_of(stacks), centres_of(stacks, study="P2-1"))


@pytest.mark.parametrize("larger", [{"slices": 14}, {"pixels": 41}, {"plane_mm": 9.0}, {"depth_mm": 24.0}])
def test_a_patch_larger_than_the_volume_is_refused(stacks, larger):
    with pytest.raises(GeometryError, match=r"E_GRID: study P1-1: expected a volume that holds.*72 x 72 x 80 mm"):
        centres_of(stacks, grid=GRID.model_copy(update=larger))


def test_a_patch_as_large_as_the_volume_has_one_place(make_stack, make_geometry):
    geometry = make_geometry(np.random.default_rng(1), (9, 9, 4), (2.0, 2.0, 6.0), 20)
    stacks = {"T2": make_stack(np.arange(324).reshape(4, 9, 9).astype(np.int16), geometry)}
    centres = centres_of(stacks, 5, box_mask((0, 0, 0), (60, 60, 60)))
    np.testing.assert_allclose(centres, np.zeros((5, 3)), atol=1e-3)


def test_an_organ_without_room_is_refused(stacks):
    with pytest.raises(GeometryError, match=r"E_GRID.*organ"):
        centres_of(stacks, organ=box_mask((2, 2, 2), (3, 3, 3)))


def test_constant_volumes_are_refused(make_stack):
    with pytest.raises(ConfigError, match="E_WINDOW"):
        centres_of({"T2": make_stack(np.full(AXIAL.shape[::-1], 3), AXIAL)})


@pytest.mark.parametrize(("patches", "studies"), [(20, 4), (22, 4), (3, 5), (1, 1)])
def test_the_cohort_shares_its_patches_evenly(patches, studies):
    shares = [share_of(patches, place, studies) for place in range(studies)]
    assert sum(shares) == patches and max(shares) - min(shares) <= 1 and shares == sorted(shares, reverse=True)


@pytest.fixture
def unlabelled(tmp_path):
    """Three studies of one sequence, with nothing else; the last is too small for a patch."""
    rng = np.random.default_rng(5)
    entries = []
    for number, shape in enumerate([(40, 36, 12), (30, 30, 10), (40, 40, 2)]):
        values = rng.integers(0, 1000, shape).astype(np.int16)
        nibabel.save(nibabel.Nifti1Image(values, np.diag([2.0, 2.0, 6.0, 1.0])), tmp_path / f"{number}.nii")
        study = {"patient": f"P{number}", "study": f"P{number}-1", "site": "A", "images": {"T2": f"{number}.nii"}}
        entries.append(study)
    content = {"schema": "mpmri-monai/manifest/1", "name": "source", "sequences": ["T2"], "classes": {}}
    return parse_manifest({**content, "studies": entries}, tmp_path, where="test")


def test_store_of_patches(unlabelled, tmp_path):
    settings = Settings(grid=GRID, window="central", trim=0.05)
    store = prepare(unlabelled, settings, tmp_path / "0", progress=False)
    assert list(store.failed) == ["P2-1"] and "E_GRID" in store.failed["P2-1"]
    assert store.table.groupby("study").size().to_dict() == {"P0-1": 14, "P1-1": 13}
    assert set(store.table["kind"]) == {"patch"} and set(store.table["lesion"]) == {"patch"}
    assert store.table["sample"].tolist()[:2] == ["patch-00001", "patch-00002"]
    assert store.table["present_T2"].all() and (store.table["flags"] == "").all()
    images = store.images(range(27))
    assert images.shape == (27, 1, 4, 9, 9) and store.masks([0]).all()
    np.testing.assert_allclose(store.table["level_T2"], images.mean(axis=(1, 2, 3, 4)), atol=1e-6)
    assert store.bytes_for(range(27), ("T2",)) == images.nbytes
    spread = prepare(unlabelled, settings, tmp_path / "2", workers=2, progress=False)
    assert spread.digest() == store.digest() and spread.table.equals(store.table)


def test_a_study_that_gets_another_share_is_read_again(unlabelled, tmp_path):
    """Fewer studies in the manifest leave more patches to each."""
    settings = Settings(grid=GRID)
    assert len(prepare(unlabelled, settings, tmp_path, progress=False).table) == 27
    fewer = unlabelled.model_copy(update={"studies": unlabelled.studies[:2]})
    assert len(prepare(fewer, settings, tmp_path, progress=False).table) == 40


def test_lesion_masks_are_not_read(cohort, tmp_path):
    """They may be missing; the liver, the only organ, holds the centres."""
    for path in cohort.folder.rglob("lesions.nii"):
        path.unlink()
    store = prepare(cohort, Settings(grid=GRID), tmp_path, progress=False)
    assert len(store.table) == 40 and not store.failed
    assert (np.abs(store.table[["x_mm", "y_mm"]]) <= 47).all(axis=None)
    assert set(store.table["label_grade"]) == {""}
