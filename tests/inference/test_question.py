"""Two questions are the same only when every file has the same part in them."""

import pytest

from mpmri_monai.inference.question import Question


@pytest.fixture
def files(tmp_path):
    found = [tmp_path / name for name in ("one.nii.gz", "other.nii.gz")]
    for path in found:
        path.write_bytes(b"the same size")
    return found


def test_files_that_change_their_parts_are_another_question(files):
    one, other = files
    asked, swapped = Question(nifti={"T2": one, "S4": other}), Question(nifti={"T2": other, "S4": one})
    assert asked.key() != swapped.key()
    assert asked.key() == Question(nifti={"S4": other, "T2": one}).key()
    asked, swapped = ({"lesion_mask": str(a), "liver": str(b)} for a, b in (files, files[::-1]))
    assert Question(study="s", **asked).key() != Question(study="s", **swapped).key()


def test_a_file_is_the_same_however_it_is_typed(files, monkeypatch):
    monkeypatch.chdir(files[0].parent)
    assert Question(study=files[0].name).key() == Question(study=str(files[0])).key()
