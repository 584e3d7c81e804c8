"""AdrenalMNIST3D as a cohort: the voxels, labels and parts of the file, and nothing else is taken."""

import json
import os
import zipfile
from pathlib import Path

import nibabel
import numpy as np
import pytest

from mpmri_monai.cohort import load_manifest, read_splits, roles_of
from mpmri_monai.errors import ManifestError, OutputError

RECIPES = Path(__file__).parents[2] / "data_manifests"
DATA = Path(os.environ.get("MPMRI_TEST_DATA") or RECIPES.parents[1] / "shared" / "data") / "adrenalmnist3d"
COUNTS = {"train": 5, "val": 2, "test": 3}


@pytest.fixture(scope="module")
def adrenal(script):
    return script("adrenal_mnist")


def arrays_of(side=28, counts=COUNTS):
    rng = np.random.default_rng(0)
    arrays = {}
    for part, count in counts.items():
        images = np.zeros((count, side, side, side), np.uint8)
        images[:, 8:20, 8:20, 8:20] = 255 * rng.integers(0, 2, (count, 12, 12, 12))
        arrays[f"{part}_images"] = images
        arrays[f"{part}_labels"] = (np.arange(count)[:, None] % 2).astype(np.uint8)
    return arrays


@pytest.fixture
def npz(tmp_path):
    np.savez_compressed(tmp_path / "shapes.npz", **arrays_of())
    return tmp_path / "shapes.npz"


def test_every_shape_is_the_array_that_it_came_from(adrenal, npz, tmp_path):
    manifest = adrenal.write_shapes(npz, tmp_path / "out")
    assert load_manifest(tmp_path / "out" / "manifest.json") == manifest
    assert manifest.classes == {"adrenal": ("normal", "hyperplasia")} and manifest.sequences == ("SHAPE",)
    arrays = arrays_of()
    images = np.concatenate([arrays[f"{part}_images"] for part in COUNTS])
    labels = np.concatenate([arrays[f"{part}_labels"][:, 0] for part in COUNTS])
    assert len(manifest.studies) == len({study.patient for study in manifest.studies}) == 10
    for study, image, label in zip(manifest.studies, images, labels, strict=True):
        shape = nibabel.load(manifest.path(study.images["SHAPE"]))
        assert shape.header.get_zooms() == (1, 1, 1) and nibabel.aff2axcodes(shape.affine) == ("L", "P", "S")
        assert np.array_equal(np.asarray(shape.dataobj).transpose(2, 1, 0), image // 255)
        assert study.labels == {"adrenal": ("normal", "hyperplasia")[label]} and not study.lesions


def test_the_official_parts_are_the_roles(adrenal, npz, tmp_path):
    manifest = adrenal.write_shapes(npz, tmp_path / "out")
    roles = roles_of(read_splits(tmp_path / "out" / "splits.csv"))
    assert [roles[study.patient] for study in manifest.studies] == ["train"] * 5 + ["val"] * 2 + ["test"] * 3


def test_what_is_chosen_is_chosen_without_the_test_part(adrenal, tmp_path):
    np.savez(tmp_path / "shapes.npz", **arrays_of(counts={"train": 40, "val": 4, "test": 6}))
    manifest = adrenal.write_shapes(tmp_path / "shapes.npz", tmp_path / "out")
    official = roles_of(read_splits(tmp_path / "out" / "splits.csv"))
    choosing = roles_of(read_splits(tmp_path / "out" / "choosing.csv"))
    of_role = {role: {name for name in choosing if choosing[name] == role} for role in ("train", "val", "test")}
    assert set(choosing) == {name for name, role in official.items() if role != "test"}
    assert of_role["test"] == {name for name, role in official.items() if role == "val"}
    labels = {study.patient: study.labels["adrenal"] for study in manifest.studies}
    assert sorted(labels[name] for name in of_role["val"]) == ["hyperplasia"] * 2 + ["normal"] * 2


def test_the_recipe_tells_other_content_apart(adrenal, npz, tmp_path):
    adrenal.write_shapes(npz, tmp_path / "one")
    adrenal.write_shapes(npz, tmp_path / "again")
    arrays = arrays_of()
    arrays["test_labels"][0] = 1
    np.savez(tmp_path / "other.npz", **arrays)
    adrenal.write_shapes(tmp_path / "other.npz", tmp_path / "two")
    one, again, two = (json.loads((tmp_path / name / "recipe.json").read_text()) for name in ("one", "again", "two"))
    assert one == again and one["content"] != two["content"]
    assert one["shapes"] == COUNTS and one["side"] == 28


def broken(npz, what):
    arrays = arrays_of()
    if what == "no file":
        return npz.with_name("nothing.npz")
    if what == "no archive":
        npz.write_bytes(b"shapes")
        return npz
    if what == "damaged":
        npz.write_bytes(npz.read_bytes()[:-2000])
        return npz
    if what == "other arrays":
        arrays["extra"] = np.zeros(3)
    elif what == "another side":
        arrays = arrays_of(side=32)
    elif what == "two sides":
        arrays["val_images"] = arrays_of(side=64, counts={"val": 2})["val_images"]
    elif what == "grey values":
        arrays["train_images"][0, 9, 9, 9] = 128
    elif what == "an empty shape":
        arrays["test_images"][1] = 0
    elif what == "a third class":
        arrays["train_labels"][0] = 2
    elif what == "labels of another length":
        arrays["train_labels"] = arrays["train_labels"][1:]
    elif what == "no shape":
        arrays |= {"val_images": arrays["val_images"][:0], "val_labels": arrays["val_labels"][:0]}
    elif what == "planes instead of volumes":
        arrays["train_images"] = arrays["train_images"][:, 0]
    np.savez(npz, **arrays)
    return npz


@pytest.mark.parametrize(
    "what",
    [
        "no file",
        "no archive",
        "damaged",
        "other arrays",
        "another side",
        "two sides",
        "grey values",
        "an empty shape",
        "a third class",
        "labels of another length",
        "no shape",
        "planes instead of volumes",
    ],
)
def test_other_content_is_refused_and_nothing_is_written(adrenal, npz, tmp_path, what):
    with pytest.raises(ManifestError, match=r"E_DATA.*AdrenalMNIST3D"):
        adrenal.write_shapes(broken(npz, what), tmp_path / "out")
    assert not (tmp_path / "out").exists()


class Harmful:
    def __reduce__(self):
        return os.mkdir, ("was-run",)


def test_objects_in_the_file_are_never_unpickled(adrenal, npz, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez(npz, **arrays_of() | {"test_labels": np.array([Harmful()] * 3, object)})
    with pytest.raises(ManifestError, match="E_DATA"):
        adrenal.write_shapes(npz, tmp_path / "out")
    assert not (tmp_path / "was-run").exists()


def test_a_file_that_unpacks_to_too_much_is_refused_before_it_is_read(adrenal, npz, tmp_path, monkeypatch):
    with zipfile.ZipFile(npz) as archive:
        unpacked = sum(member.file_size for member in archive.infolist())
    monkeypatch.setattr(adrenal, "MOST_BYTES", unpacked - 1)
    monkeypatch.setattr(adrenal.np, "load", None)
    with pytest.raises(ManifestError, match="MiB"):
        adrenal.write_shapes(npz, tmp_path / "out")


def test_a_folder_that_is_there_is_left_alone(adrenal, npz, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    with pytest.raises(OutputError):
        adrenal.write_shapes(npz, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine.txt"]


def test_the_command_says_what_there_is_and_what_is_wrong(adrenal, npz, tmp_path, capsys):
    adrenal.main(npz, tmp_path / "out")
    said = capsys.readouterr().out
    assert (
        "10 shapes" in said
        and "--task adrenal --fusion SHAPE --split#file" in said
        and "--samples#grid#pixels 28" in said
    )
    with pytest.raises(adrenal.typer.Exit) as caught:
        adrenal.main(tmp_path / "nothing.npz", tmp_path / "other")
    assert caught.value.exit_code == 2
    assert capsys.readouterr().err.startswith("error: ")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["adrenalmnist3d.npz", "adrenalmnist3d_64.npz"])
def test_the_real_data_gives_what_the_recipe_says(adrenal, tmp_path, name):
    if not DATA.is_dir():
        pytest.skip("the real data is not here; MPMRI_TEST_DATA names its folder")
    adrenal.write_shapes(DATA / name, tmp_path / "out")
    found = json.loads((tmp_path / "out" / "recipe.json").read_text())
    kept = json.loads((RECIPES / f"adrenal_mnist_{found['side']}.json").read_text())
    assert found == kept and found["shapes"] == {"train": 1188, "val": 98, "test": 298}
