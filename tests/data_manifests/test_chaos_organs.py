"""Patches of organs as a cohort: where they lie, that they repeat, and what is refused."""

import importlib.util
import json
import os
import sys
from itertools import combinations
from pathlib import Path

import nibabel
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mpmri_monai.cohort import load_manifest
from mpmri_monai.errors import ManifestError, MaskError
from mpmri_monai.samples import Settings, prepare
from mpmri_monai.volumes import read_nifti_mask

SCRIPT = Path(__file__).parents[2] / "data_manifests" / "chaos_organs.py"
DATA = Path(os.environ.get("MPMRI_TEST_DATA") or SCRIPT.parents[2] / "shared" / "data") / "chaos_t2spir"

ROWS, COLUMNS, SLICES = 80, 96, 8
AFFINE = np.array([[-1.5, 0, 0, 60], [0, 1.5, 0, -50], [0, 0, 7.5, 100], [0, 0, 0, 1.0]])
"""Columns to the left, rows to the front, slices upwards, as in CHAOS; a patch of 30 mm has 20 x 20 pixels."""
CORNERS = {1: (4, 2), 2: (4, 50), 3: (42, 2), 4: (42, 50)}
"""First row and column of the organs, each 34 x 40 pixels."""


@pytest.fixture(scope="module")
def organs():
    specification = importlib.util.spec_from_file_location("chaos_organs", SCRIPT)
    module = importlib.util.module_from_spec(specification)
    sys.modules["chaos_organs"] = module
    specification.loader.exec_module(module)
    return module


def save(path, voxels, affine=AFFINE):
    nibabel.save(nibabel.Nifti1Image(np.ascontiguousarray(voxels.transpose(2, 1, 0)), affine), path)


def labels_of(values=(1, 2, 3, 4), slices=range(1, 7)):
    voxels = np.zeros((SLICES, ROWS, COLUMNS), np.uint8)
    for value in values:
        row, column = CORNERS[value]
        voxels[list(slices), row : row + 34, column : column + 40] = value
    return voxels


@pytest.fixture
def data(tmp_path):
    """Three patients whose organs are blocks that fill six slices."""
    folder = tmp_path / "data"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in (1, 7, 12):
        save(folder / f"image_{number}.nii.gz", rng.integers(0, 900, (SLICES, ROWS, COLUMNS)).astype(np.int16))
        save(folder / f"label_{number}.nii.gz", labels_of())
    return folder


def test_every_organ_of_a_patient_gives_five_patches_that_are_mostly_it(organs, data, tmp_path):
    manifest = organs.write_organs(data, tmp_path / "out")
    assert manifest.classes == {"organ": ("liver", "kidney", "spleen")}
    assert [study.patient for study in manifest.studies] == ["C01", "C07", "C12"]
    for study in manifest.studies:
        names = [lesion.labels["organ"] for lesion in study.lesions]
        assert {name: names.count(name) for name in names} == {"liver": 5, "kidney": 10, "spleen": 5}
        label = data / f"label_{int(study.patient[1:])}.nii.gz"
        masks = {value: read_nifti_mask(label, value, "organ") for value in organs.ORGANS}
        for lesion in study.lesions:
            assert (
                share_inside(
                    lesion.region, [masks[v] for v, name in organs.ORGANS.items() if name == lesion.id.split("-")[0]]
                )
                >= 0.75
            )


def share_inside(region, masks):
    """Share of a box that lies in one of ``masks``, from points on a fine grid (an oracle of its own)."""
    axes = [c + (np.arange(40) + 0.5) / 40 * s - s / 2 for c, s in zip(region.center_mm, region.size_mm, strict=True)]
    points = np.stack(np.meshgrid(*axes[:2], [region.center_mm[2]], indexing="ij"), axis=-1)
    return max(float(mask.contains(points).mean()) for mask in masks)


def test_patches_of_one_organ_never_overlap(organs, data, tmp_path):
    study = organs.write_organs(data, tmp_path / "out").studies[0]
    for one, other in combinations(study.lesions, 2):
        apart = np.abs(np.subtract(one.region.center_mm, other.region.center_mm))
        assert (apart >= 7.5 - 1e-6).any() if one.labels == other.labels else True


def test_the_same_seed_gives_the_same_patches_and_another_gives_others(organs, data, tmp_path):
    first, again, other = (
        organs.write_organs(data, tmp_path / name, seed) for name, seed in (("a", 3), ("b", 3), ("c", 4))
    )
    assert first.studies == again.studies
    assert [s.lesions for s in first.studies] != [s.lesions for s in other.studies]
    recipes = [json.loads((tmp_path / name / "recipe.json").read_text()) for name in "abc"]
    assert recipes[0] == recipes[1] and recipes[0]["content"] != recipes[2]["content"]


def test_a_patient_s_patches_do_not_depend_on_the_other_patients(organs, data, tmp_path):
    alone = organs.write_organs(data, tmp_path / "all").studies[1]
    for kind in ("image", "label"):
        (data / f"{kind}_1.nii.gz").unlink()
    assert organs.write_organs(data, tmp_path / "fewer").studies[0].lesions == alone.lesions


def test_each_patch_is_one_sample_and_no_liver_mask_is_needed(organs, data, tmp_path):
    organs.write_organs(data, tmp_path / "out")
    manifest = load_manifest(tmp_path / "out" / "manifest.json")
    store = prepare(manifest, Settings(), tmp_path / "cache", progress=False)
    assert (store.failed, len(store.table)) == ({}, 60)
    assert store.table["present_T2"].all() and (store.table["kind"] == "lesion").all()
    assert store.table["extent_mm"].to_numpy() == pytest.approx(30)
    assert store.table["offset_T2"].max() == pytest.approx(0, abs=0.01)


def broken(data, what):
    if what == "no such folder":
        return data / "nothing"
    if what == "an image without its label map":
        (data / "label_7.nii.gz").unlink()
    elif what == "a label map without its image":
        (data / "image_7.nii.gz").unlink()
    elif what == "an organ is missing":
        save(data / "label_7.nii.gz", labels_of(values=(1, 2, 4)))
    elif what == "an unknown value":
        voxels = labels_of()
        voxels[0, 0, 0] = 63
        save(data / "label_7.nii.gz", voxels)
    elif what == "too few slices":
        save(data / "label_7.nii.gz", labels_of(slices=range(1, 5)))
    elif what == "another grid":
        save(data / "label_7.nii.gz", labels_of(), AFFINE + np.array([[0, 0, 0, 30]] + [[0] * 4] * 3))
    return data


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("no such folder", "0 images and 0 label maps"),
        ("an image without its label map", "without their partner: 7"),
        ("a label map without its image", "without their partner: 7"),
        ("an organ is missing", "patient 7: expected the label values 1, 2, 3, 4; found 1, 2, 4"),
        ("an unknown value", "found 1, 2, 3, 4, 63"),
        ("too few slices", "patient 7, liver: expected an organ with room for 5 patches.*found room in 4 slices"),
        ("another grid", "patient 7, liver"),
    ],
)
def test_other_content_is_refused_and_nothing_is_written(organs, data, tmp_path, what, message):
    with pytest.raises((ManifestError, MaskError), match=message):
        organs.write_organs(broken(data, what), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_error_is_one_sentence(organs, data, tmp_path, capsys):
    with pytest.raises(organs.typer.Exit) as caught:
        organs.main(data / "nothing", tmp_path / "out")
    assert caught.value.exit_code == 2
    assert capsys.readouterr().err.startswith("error: ")


@given(arrays(np.bool_, st.tuples(st.integers(4, 9), st.integers(4, 9))), st.integers(1, 4), st.integers(1, 4))
def test_window_sums_are_those_of_each_window(organs, plane, rows, columns):
    sums = organs._window_sums(plane, rows, columns)
    windows = np.lib.stride_tricks.sliding_window_view(plane, (rows, columns))
    assert np.array_equal(sums, windows.sum(axis=(2, 3)))


@pytest.mark.slow
def test_the_real_data_gives_what_the_recipe_says(organs, tmp_path):
    if not DATA.is_dir():
        pytest.skip("the real data is not here; MPMRI_TEST_DATA names its folder")
    manifest = organs.write_organs(DATA, tmp_path)
    assert sum(len(study.lesions) for study in manifest.studies) == 400
    kept = json.loads((SCRIPT.parent / "chaos_organs.json").read_text())
    assert json.loads((tmp_path / "recipe.json").read_text()) == kept
