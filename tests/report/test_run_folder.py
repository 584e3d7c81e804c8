import pytest

from mpmri_monai.errors import EvaluationError, ManifestError
from mpmri_monai.report.run_folder import read_run


def test_a_finished_run_is_read_with_the_digests_of_its_parts(tmp_path, store, build):
    build.run(tmp_path / "run", store)
    folder = read_run(tmp_path / "run")
    assert len(folder.history) == 30 and folder.config["seed"] == 3
    assert set(folder.digests) == {"config.json", "splits.csv", "predictions.csv", "metrics.json"}


@pytest.mark.parametrize(
    ("name", "error"),
    [("metrics.json", EvaluationError), ("predictions.csv", EvaluationError), ("splits.csv", ManifestError)],
)
def test_an_unfinished_run_is_refused(tmp_path, store, build, name, error):
    build.run(tmp_path / "run", store)
    (tmp_path / "run" / name).unlink()
    with pytest.raises(error):
        read_run(tmp_path / "run")


@pytest.mark.parametrize("name", ["metrics.json", "config.json", "environment.json", "history.csv"])
@pytest.mark.parametrize("content", ["", "[1]", "\x00"])
def test_damaged_files_are_refused_by_name(tmp_path, store, build, name, content):
    build.run(tmp_path / "run", store)
    (tmp_path / "run" / name).write_text(content)
    with pytest.raises(EvaluationError, match=name):
        read_run(tmp_path / "run")


def test_a_run_without_training_record_is_read(tmp_path, store, build):
    build.run(tmp_path / "run", store)
    for name in ("history.csv", "config.json", "environment.json"):
        (tmp_path / "run" / name).unlink()
    folder = read_run(tmp_path / "run")
    assert folder.history.empty and folder.config == {} and folder.environment == {}
