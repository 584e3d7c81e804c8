import json

from mpmri_monai.cohort import save_manifest
from mpmri_monai.samples.commands import prepare_command


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
