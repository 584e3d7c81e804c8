"""What is refused, before and while a copy is made; nothing is left behind then."""

import pydicom
import pytest

from mpmri_monai.catalogue.sharing.deidentify import deidentify, deidentify_command
from mpmri_monai.errors import CatalogueError, ConfigError, MpmriError, OutputError


def nothing_left(folder, *kept):
    assert sorted(path.name for path in folder.iterdir()) == sorted(kept)


def test_the_key_stays_outside(tmp_path, make):
    study = make.write(tmp_path / "study", make.t2())
    with pytest.raises(ConfigError, match="E_KEY"):
        deidentify(study, tmp_path / "out", tmp_path / "out" / "key")
    nothing_left(tmp_path, "study")


def test_the_key_is_not_in_the_copy(copied, make, tmp_path):
    _, out, _ = copied(make.t2())
    key = (tmp_path / "key").read_text().strip()
    assert all(key.encode() not in path.read_bytes() for path in out.iterdir())
    assert all(bytes.fromhex(key) not in path.read_bytes() for path in out.iterdir())


@pytest.mark.parametrize("out", ["study/out", "study"])
def test_the_copy_stays_outside_the_original(tmp_path, make, out):
    study = make.write(tmp_path / "study", make.t2())
    with pytest.raises(MpmriError):
        deidentify(study, tmp_path / out, tmp_path / "key")
    nothing_left(tmp_path, "study")


def test_a_folder_that_exists_is_not_touched(tmp_path, make):
    study = make.write(tmp_path / "study", make.t2())
    (tmp_path / "out").mkdir()
    with pytest.raises(OutputError):
        deidentify(study, tmp_path / "out", tmp_path / "key")
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize("code", ["", "a b", "../x", "SECRET-ID", "x-secret-id", "Secret1", "P" * 17])
def test_a_code_that_names_the_patient_is_refused(tmp_path, make, code):
    study = make.write(tmp_path / "study", make.t2())
    with pytest.raises(ConfigError, match="E_CODE"):
        deidentify(study, tmp_path / "out", tmp_path / "key", code)
    nothing_left(tmp_path, "study")


def test_a_study_without_a_patient_id_needs_a_code(tmp_path, make):
    study = make.write(tmp_path / "study", [make.image(3, k, PatientID="") for k in range(4)])
    with pytest.raises(ConfigError, match="--patient"):
        deidentify(study, tmp_path / "out", tmp_path / "key")
    deidentify(study, tmp_path / "out", tmp_path / "key", "P1")


def test_the_command_says_what_was_done(tmp_path, make, capsys):
    study = make.write(tmp_path / "study", [*make.liver(), make.image(52, 0, BurnedInAnnotation="YES")])
    assert deidentify_command(study, tmp_path / "out", tmp_path / "key", "P7", "liver", None) == 0
    printed = capsys.readouterr().out
    assert "patient P7" in printed
    assert "left out: 1 images with burned-in text" in printed
    assert "SECRET" not in printed.upper()


# -- what stops a copy half way --------------------------------------------------------


def test_a_sequence_with_burned_in_text_is_refused_and_nothing_is_left(tmp_path, make):
    images = make.liver()
    images[0].BurnedInAnnotation = "YES"
    study = make.write(tmp_path / "study", images)
    with pytest.raises(CatalogueError, match="E_DEIDENTIFY"):
        deidentify(study, tmp_path / "out", tmp_path / "key")
    nothing_left(tmp_path, "study", "key")


def test_a_file_that_cannot_be_read_does_not_vanish_from_its_series(tmp_path, make):
    study = make.write(tmp_path / "study", make.t2(slices=8))
    last = max(study.iterdir(), key=lambda path: pydicom.dcmread(path).InstanceNumber)
    last.write_bytes(last.read_bytes()[:-50])
    with pytest.raises(CatalogueError, match="E_TRUNCATED"):
        deidentify(study, tmp_path / "out", tmp_path / "key")
    nothing_left(tmp_path, "study")


def test_what_would_change_the_catalogue_is_refused(tmp_path, make, monkeypatch):
    study = make.write(tmp_path / "study", make.t2())
    monkeypatch.delitem(deidentify.__globals__["Cleaner"].__init__.__globals__["KINDS"], 0x00180081)  # EchoTime
    with pytest.raises(CatalogueError, match="volumes"):
        deidentify(study, tmp_path / "out", tmp_path / "key")
    nothing_left(tmp_path, "study", "key")


def test_damaged_values_stop_the_copy_without_being_quoted(tmp_path, make):
    images = make.t2()
    for image in images:
        image.add_new(0x00081140, "LO", "Wang")  # a sequence by the standard
    study = make.write(tmp_path / "study", images)
    with pytest.raises(CatalogueError, match="series 3") as caught:
        deidentify(study, tmp_path / "out", tmp_path / "key")
    assert "Wang" not in str(caught.value)
    nothing_left(tmp_path, "study", "key")
