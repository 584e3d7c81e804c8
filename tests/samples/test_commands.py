import json

import pytest

from mpmri_monai.artefacts import write_json
from mpmri_monai.cohort import save_manifest
from mpmri_monai.errors import MpmriError
from mpmri_monai.samples import Settings, prepare
from mpmri_monai.samples.commands import bundle_settings, prepare_command


def test_tells_what_is_in_the_store_and_what_comes_next(cohort, tmp_path, capsys):
    path = cohort.folder / "manifest.json"
    save_manifest(cohort, path)
    assert prepare_command(path, tmp_path / "cache") == 0
    told = capsys.readouterr().out
    for word in ("T2", "S3", "poorly", "background", "Store:", "monai.bundle run training", str(path)):
        assert word in told
    assert f"--manifest {path} --fusion T2-IN-OUT-S0-S3\n" in told  # it lacks a sequence of the bundle's own fusion


def test_of_another_question_the_next_command_says_which(cohort, tmp_path, capsys):
    path = cohort.folder / "organs.json"
    path.write_text(json.dumps(cohort.content()).replace('"grade"', '"organ"'))
    assert prepare_command(path, tmp_path / "cache") == 0
    assert f"--manifest {path} --task organ --fusion" in capsys.readouterr().out


def test_exit_status_says_that_a_study_was_left_out(cohort, tmp_path, capsys):
    path = cohort.folder / "manifest.json"
    save_manifest(cohort, path)
    (cohort.folder / "P2" / "S0.nii").unlink()
    assert prepare_command(path, tmp_path / "cache") == 1
    assert "P2-1" in capsys.readouterr().out


@pytest.fixture
def bundle(tmp_path):
    """A bundle whose training takes samples on a grid."""
    samples = {"grid": {"slices": 4, "pixels": 16, "depth_mm": 6.0, "plane_mm": 2.0}, "window": "central", "trim": 0.05}
    write_json(tmp_path / "bundle" / "configs" / "train.json", {"samples": samples})
    return tmp_path / "bundle"


def test_samples_for_a_bundle(cohort, tmp_path, bundle, capsys, monkeypatch):
    from typer.testing import CliRunner

    from mpmri_monai.cli import app

    path = cohort.folder / "manifest.json"
    save_manifest(cohort, path)
    monkeypatch.setenv("MPMRI_CACHE", str(tmp_path / "cache"))
    result = CliRunner().invoke(app, ["prepare", str(path), "--bundle", str(bundle), "--workers", "0"])
    assert result.exit_code == 0, result.output
    told = " ".join(result.output.split())
    assert "6 samples" in told, "three lesions and three background balls"
    assert f"--config_file {bundle}/configs/train.json --manifest {path}" in told
    store = prepare(cohort, bundle_settings(bundle), tmp_path / "cache", progress=False)
    assert store.images([0]).shape[2:] == (8, 26, 26)


def test_patches_are_counted_without_classes(cohort, tmp_path, capsys):
    path = cohort.folder / "manifest.json"
    save_manifest(cohort, path)
    assert prepare_command(path, tmp_path / "cache", settings=Settings(grid={"pixels": 16, "patches": 7})) == 0
    told = capsys.readouterr().out
    assert "7 samples" in told and "poorly" not in told


@pytest.mark.parametrize("content", [None, {}, {"samples": {"grid": {"slice": 3}}}])
def test_a_bundle_without_usable_samples_is_refused(tmp_path, content):
    if content is not None:
        write_json(tmp_path / "configs" / "train.json", content)
    with pytest.raises(MpmriError, match="sample"):
        bundle_settings(tmp_path)
