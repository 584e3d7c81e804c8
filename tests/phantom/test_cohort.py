from __future__ import annotations

import json
from pathlib import Path

import pytest

from mpmri_monai.cohort import load_manifest
from mpmri_monai.errors import ConfigError, OutputError
from mpmri_monai.phantom import presets, write_cohort
from mpmri_monai.phantom.truth import read_truth
from mpmri_monai.sequences import SEQUENCES

RECIPES = Path(__file__).parents[2] / "data_manifests"


@pytest.fixture(scope="module")
def cohort(tmp_path_factory, quick):
    patch = pytest.MonkeyPatch()
    patch.setitem(presets.PRESETS, "small", quick)
    yield write_cohort(tmp_path_factory.mktemp("cohort") / "one", "small", patients=4, workers=0, progress=False)
    patch.undo()


def test_the_manifest_names_every_patient_sequence_and_lesion(cohort):
    manifest, truth = load_manifest(cohort), read_truth(cohort.parent / "truth.csv")
    assert [study.patient for study in manifest.studies] == ["P001", "P002", "P003", "P004"]
    for study in manifest.studies:
        assert set(study.images) == set(SEQUENCES)
    lesions = {
        (study.patient, lesion.id): lesion.labels["grade"] for study in manifest.studies for lesion in study.lesions
    }
    assert lesions == {(row.patient, row.lesion): row.label for row in truth.itertuples()}


def test_equal_recipe_equal_bytes_whatever_the_number_of_workers(cohort, tmp_path):
    again = write_cohort(tmp_path / "two", "small", patients=4, workers=2, progress=False)
    first, second = cohort.parent, again.parent
    names = sorted(path.relative_to(first) for path in first.rglob("*") if path.is_file())
    assert names == sorted(path.relative_to(second) for path in second.rglob("*") if path.is_file())
    assert all((first / name).read_bytes() == (second / name).read_bytes() for name in names)


def test_another_seed_gives_other_content(cohort, tmp_path):
    again = write_cohort(tmp_path / "three", "small", patients=3, seed=1, workers=0, progress=False)
    contents = [json.loads((path.parent / "recipe.json").read_text())["content"] for path in (cohort, again)]
    assert contents[0] != contents[1]


def test_the_manifest_and_tables_hold_no_identifier(cohort):
    for name in ("manifest.json", "labels.csv", "truth.csv", "recipe.json"):
        text = (cohort.parent / name).read_text()
        assert not any(word in text for word in ("Phantom^", "PHANTOM-", "2.25.", "INV0"))


def test_nothing_is_overwritten_and_nonsense_is_refused(cohort, tmp_path):
    with pytest.raises(OutputError):
        write_cohort(cohort.parent, "small", patients=3, workers=0, progress=False)
    for wrong in ({"patients": 2}, {"seed": -1}):
        with pytest.raises(ConfigError):
            write_cohort(tmp_path / "wrong", "small", workers=0, progress=False, **wrong)
    assert list(tmp_path.iterdir()) == []


def test_a_failure_leaves_nothing_behind(tmp_path, monkeypatch, quick):
    monkeypatch.setitem(presets.PRESETS, "small", quick)

    def full_disk(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("mpmri_monai.phantom.study.write_nifti", full_disk)
    with pytest.raises(OutputError, match="full disk"):
        write_cohort(tmp_path / "cohort", "small", patients=3, workers=0, progress=False)
    assert list(tmp_path.iterdir()) == []


def test_every_preset_that_ships_has_its_recipe():
    recipes = [json.loads(path.read_text()) for path in sorted(RECIPES.glob("*phantom_*.json"))]
    shipped = {(recipe["preset"], recipe["patients"], recipe["seed"]) for recipe in recipes}
    assert {
        (preset.name, preset.patients, preset.seed) for preset in presets.PRESETS.values() if preset.name != "small"
    } <= shipped


@pytest.mark.slow
def test_the_tiny_recipe_gives_the_recorded_content(tmp_path):
    recipe = json.loads((RECIPES / "hcc_phantom_tiny.json").read_text())
    manifest = write_cohort(
        tmp_path / "tiny", recipe["preset"], patients=recipe["patients"], seed=recipe["seed"], workers=0, progress=False
    )
    assert json.loads((manifest.parent / "recipe.json").read_text()) == recipe


@pytest.fixture(scope="module")
def brains(tmp_path_factory, brain, source):
    """Manifests of a small labelled and a small unlabelled cohort of brains."""
    folder, made = tmp_path_factory.mktemp("brains"), {}
    with pytest.MonkeyPatch.context() as patch:
        for name, chosen in (("brain", brain), ("brain-source", source)):
            patch.setitem(presets.PRESETS, name, chosen)
            made[name] = write_cohort(folder / name, name, patients=4, workers=0, progress=False)
    return made


def test_the_brain_cohort_has_one_sequence_one_region_a_patient_and_both_classes(brains):
    manifest = load_manifest(brains["brain"])
    assert (manifest.name, manifest.protocol, manifest.sequences) == ("phantom_brain", "brain", ("T2",))
    assert manifest.classes == {"brain": ("healthy", "unhealthy")}
    assert [study.patient for study in manifest.studies] == ["B001", "B002", "B003", "B004"]
    labels = [lesion.labels["brain"] for study in manifest.studies for lesion in study.lesions]
    assert sorted(labels) == ["healthy", "healthy", "unhealthy", "unhealthy"]
    assert read_truth(manifest.path(manifest.truth))["label"].tolist() == labels
    for study in manifest.studies:
        assert manifest.path(study.organs["brain"]).is_file()


def test_the_source_cohort_has_images_alone_and_patients_of_its_own(brains):
    source = load_manifest(brains["brain-source"])
    assert (source.classes, source.truth, source.sequences) == ({}, None, ("T2",))
    assert all(study.images and not study.lesions and not study.labels for study in source.studies)
    assert not list(brains["brain-source"].parent.rglob("lesions*"))
    assert not (brains["brain-source"].parent / "truth.csv").exists()
    patients = [{study.patient for study in load_manifest(path).studies} for path in brains.values()]
    assert not patients[0] & patients[1]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["brain", "brain_source"])
def test_the_tiny_brain_recipes_give_the_recorded_content(tmp_path, name):
    recipe = json.loads((RECIPES / f"phantom_{name}_tiny.json").read_text())
    manifest = write_cohort(
        tmp_path / "tiny", recipe["preset"], patients=recipe["patients"], seed=recipe["seed"], workers=0, progress=False
    )
    assert json.loads((manifest.parent / "recipe.json").read_text()) == recipe
