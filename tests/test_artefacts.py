import errno

import pytest

from mpmri_monai import artefacts
from mpmri_monai.errors import OutputError


def test_a_failed_file_leaves_the_old_one_and_nothing_else(tmp_path):
    path = tmp_path / "result.json"
    artefacts.write_json(path, {"a": 1})
    with pytest.raises(ValueError, match="half"), artefacts.whole_file(path) as part:
        part.write_text("half")
        raise ValueError("half")
    assert artefacts.read_json(path) == {"a": 1}
    assert [item.name for item in tmp_path.iterdir()] == ["result.json"]


def test_nan_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        artefacts.write_json(tmp_path / "x.json", {"a": float("nan")})
    assert not list(tmp_path.iterdir())


def test_full_disk_is_one_clear_error(tmp_path):
    with pytest.raises(OutputError, match="full disk"), artefacts.whole_file(tmp_path / "x"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert not list(tmp_path.iterdir())


def test_folder_appears_whole_or_not_at_all(tmp_path):
    with pytest.raises(KeyboardInterrupt), artefacts.whole_folder(tmp_path / "cohort") as part:
        (part / "a").write_text("a")
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())
    with artefacts.whole_folder(tmp_path / "cohort") as part:
        (part / "a").write_text("a")
    assert (tmp_path / "cohort" / "a").read_text() == "a"
    with pytest.raises(OutputError, match="does not exist"), artefacts.whole_folder(tmp_path / "cohort"):
        pass


def test_digest_does_not_depend_on_the_order_of_keys():
    assert artefacts.digest({"a": 1, "b": [1, 2]}) == artefacts.digest({"b": [1, 2], "a": 1})
    assert artefacts.digest([1, 2]) != artefacts.digest([2, 1])
