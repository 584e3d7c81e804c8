"""Crops with tumour and their mirror images without: where they lie, that they repeat, and what is refused."""

import json
import os
from itertools import combinations
from pathlib import Path

import nibabel
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpmri_monai.cohort import load_manifest
from mpmri_monai.errors import GeometryError, ManifestError
from mpmri_monai.volumes import read_nifti

RECIPES = Path(__file__).parents[2] / "data_manifests"
DATA = Path(os.environ.get("MPMRI_TEST_DATA") or RECIPES.parents[1] / "shared" / "data") / "brats2013"

SHAPE = (70, 76, 88)
"""Slices, rows and columns of the heads of this test."""
AFFINE = np.array([[-1.0, 0, 0, 0], [0, -1, 0, 75], [0, 0, 1, 0], [0, 0, 0, 1]])
FILES = {
    "flair": "Flair_subtrMeanDivStd.nii.gz",
    "t1ce": "T1c_subtrMeanDivStd.nii.gz",
    "labels": "OTMultiClass.nii.gz",
    "brain": "brainmask.nii.gz",
}
MIDDLE = {1: 87, 4: 86, 5: 88}
"""Sum of mirrored columns of each patient; the tumour lies in the low columns."""


@pytest.fixture(scope="module")
def brats(script):
    return script("brats_crops")


def save(path, voxels, affine=AFFINE):
    nibabel.save(nibabel.Nifti1Image(np.ascontiguousarray(voxels.transpose(2, 1, 0)), affine), path)


def block(low, high):
    voxels = np.zeros(SHAPE, bool)
    voxels[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = True
    return voxels


def write_patient(data, number, middle):
    folder = data / "train" / f"brats_2013_pat{number:04d}_1"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(number)
    brain = block((1, 1, middle - 85), (69, 75, 86))
    tumour = block((8, 8, 8), (62, 68, 30))
    for name in ("flair", "t1ce"):
        save(folder / FILES[name], rng.normal(0, 1, SHAPE).astype(np.float32))
    save(folder / FILES["labels"], np.where(tumour, rng.integers(1, 5, SHAPE), 0).astype(np.float32))
    save(folder / FILES["brain"], brain * 0.9999999701976776)
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Three patients whose brain and tumour are blocks."""
    folder = tmp_path_factory.mktemp("brats")
    for number, middle in MIDDLE.items():
        write_patient(folder, number, middle)
    return folder


@pytest.fixture
def one(tmp_path):
    """One patient, to be broken."""
    write_patient(tmp_path / "data", 4, 86)
    return tmp_path / "data"


@pytest.fixture(scope="module")
def cohort(brats, data, tmp_path_factory):
    return brats.write_crops(data, tmp_path_factory.mktemp("out") / "crops", seed=3)


def voxels_of(lesion):
    """Voxels (slice, row, column) of a crop, by the affine of this test."""
    x, y, z = lesion.region.center_mm
    first = np.array([z, 75 - y, -x]) - 12
    return tuple(slice(int(a), int(a) + 25) for a in first)


def test_half_of_the_crops_are_centred_on_tumour_and_their_mirror_images_hold_none(cohort):
    assert cohort.classes == {"tumour": ("absent", "present")} and cohort.sequences == ("FLAIR", "T1CE")
    assert [study.patient for study in cohort.studies] == ["B01", "B04", "B05"]
    for study, middle in zip(cohort.studies, MIDDLE.values(), strict=True):
        folder = Path(cohort.path(study.images["FLAIR"])).parent
        tumour = read_nifti(folder / FILES["labels"]).stored > 0
        brain = read_nifti(folder / FILES["brain"]).stored > 0.5
        by_label = {name: [s for s in study.lesions if s.labels["tumour"] == name] for name in ("present", "absent")}
        assert {name: len(found) for name, found in by_label.items()} == {"present": 12, "absent": 12}
        for here, there in zip(by_label["present"], by_label["absent"], strict=True):
            assert here.region.size_mm == there.region.size_mm == (25, 25, 25)
            assert tumour[voxels_of(here)][12, 12, 12] and not tumour[voxels_of(there)].any()
            assert min(brain[voxels_of(here)].mean(), brain[voxels_of(there)].mean()) >= 0.9
            assert -here.region.center_mm[0] - there.region.center_mm[0] == middle
            assert here.region.center_mm[1:] == there.region.center_mm[1:]
        for first, second in combinations(by_label["present"], 2):
            assert np.abs(np.subtract(first.region.center_mm, second.region.center_mm)).max() >= 13


def test_brain_masks_are_clean_and_images_are_not_copied(cohort, data):
    assert load_manifest(cohort.folder / "manifest.json") == cohort
    for study in cohort.studies:
        mask = nibabel.load(cohort.path(study.organs["brain"]))
        assert mask.get_data_dtype() == np.uint8 and np.array_equal(np.unique(mask.dataobj), [0, 1])
        for name in study.images.values():
            assert data.resolve() in cohort.path(name).resolve().parents
    names = {path.name for path in cohort.folder.iterdir()}
    assert names == {"manifest.json", "recipe.json", "B01_brain.nii.gz", "B04_brain.nii.gz", "B05_brain.nii.gz"}


def test_equal_seeds_give_equal_crops_and_a_patient_s_do_not_depend_on_the_others(brats, cohort, one, tmp_path):
    alone = brats.write_crops(one, tmp_path / "same", seed=3)
    assert alone.studies[0].lesions == cohort.studies[1].lesions
    other = brats.write_crops(one, tmp_path / "other", seed=4)
    assert other.studies[0].lesions != alone.studies[0].lesions
    same, others = (json.loads((tmp_path / name / "recipe.json").read_text()) for name in ("same", "other"))
    assert same["content"] != others["content"] and same["patients"] == 1


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(10, 30), st.integers(-6, 6))
def test_the_mirror_of_a_symmetric_brain_is_found_wherever_it_lies(brats, seed, width, shift):
    half = np.random.default_rng(seed).random((6, 7, width)) < 0.6
    half[..., -1] = True
    brain = np.zeros((6, 7, 2 * width + 12), bool)
    first = 6 + shift
    brain[..., first : first + 2 * width] = np.concatenate([half, half[..., ::-1]], axis=2)
    assert brats.mirror_sum(brain) == 2 * first + 2 * width - 1


def broken(data, what):
    folder = next(data.rglob("brats_2013_pat*_1"))
    if what == "no such folder":
        return data / "nothing"
    if what == "a file is missing":
        (folder / FILES["t1ce"]).unlink()
    elif what == "a patient twice":
        write_patient(data / "again", 4, 86)
    elif what == "an unknown part":
        save(folder / FILES["labels"], block((8, 8, 8), (62, 68, 30)) * np.float32(5))
    elif what == "a soft brain mask":
        save(folder / FILES["brain"], block((1, 1, 1), (69, 75, 86)) * 0.7)
    elif what == "another grid":
        save(folder / FILES["t1ce"], np.zeros(SHAPE, np.float32), AFFINE + np.eye(4, k=3) * 2)
    elif what == "other steps":
        for name in FILES.values():
            save(folder / name, np.zeros(SHAPE, np.float32), AFFINE @ np.diag([2.0, 2, 2, 1]))
    elif what == "a small tumour":
        save(folder / FILES["labels"], block((20, 20, 15), (24, 24, 19)).astype(np.float32))
    elif what == "no tumour":
        save(folder / FILES["labels"], np.zeros(SHAPE, np.float32))
    elif what == "tumour on both sides":
        save(folder / FILES["labels"], block((8, 8, 8), (62, 68, 80)).astype(np.float32))
    elif what == "a damaged file":
        (folder / FILES["flair"]).write_bytes(b"head")
    return data


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("no such folder", "one folder brats_2013_pat<n>_1 a patient.*found none"),
        ("a file is missing", "patient 4.*no T1c_subtrMeanDivStd.nii.gz"),
        ("a patient twice", "patient 4.*two folders"),
        ("an unknown part", "patient 4, label map: expected the values 0, 1, 2, 3, 4"),
        ("a soft brain mask", "patient 4, brain mask: expected the values 0, 1"),
        ("another grid", "patient 4, T1CE: expected all volumes of a patient on one grid"),
        ("other steps", "expected voxels of 1 mm.*2.00 x 2.00 x 2.00 mm"),
        ("a small tumour", "patient 4: expected a tumour with room for 12 crops.*room for 1"),
        ("no tumour", "room for 0"),
        ("tumour on both sides", "room for 0"),
        ("a damaged file", r"Flair_subtrMeanDivStd.nii.gz"),
    ],
)
def test_other_content_is_refused_and_nothing_is_written(brats, one, tmp_path, what, message):
    with pytest.raises((ManifestError, GeometryError), match=message):
        brats.write_crops(broken(one, what), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_command_calls_it_a_smoke_test_and_an_error_is_one_sentence(brats, one, tmp_path, capsys):
    brats.main(one, tmp_path / "out")
    assert "smoke test" in capsys.readouterr().out
    with pytest.raises(brats.typer.Exit) as caught:
        brats.main(tmp_path / "nothing", tmp_path / "other")
    assert caught.value.exit_code == 2
    assert capsys.readouterr().err.startswith("error: ")


@pytest.mark.slow
def test_the_real_data_gives_what_the_recipe_says(brats, tmp_path):
    if not DATA.is_dir():
        pytest.skip("the real data is not here; MPMRI_TEST_DATA names its folder")
    manifest = brats.write_crops(DATA, tmp_path / "out")
    assert len(manifest.studies) == 6 and sum(len(study.lesions) for study in manifest.studies) == 144
    kept = json.loads((RECIPES / "brats_crops.json").read_text())
    assert json.loads((tmp_path / "out" / "recipe.json").read_text()) == kept
