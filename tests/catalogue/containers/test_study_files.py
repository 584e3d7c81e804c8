"""Studies in folders, archives and single files: the same catalogue wherever the files come from."""

import io
import os
import shutil
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest
from pydicom.uid import RLELossless

from mpmri_monai.catalogue import scan
from mpmri_monai.catalogue.containers.study_files import read_study
from mpmri_monai.errors import CatalogueError
from mpmri_monai.volumes import read_dicom


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("MPMRI_CACHE", str(folder))
    return folder


def plain(contents):
    """Headers without the paths of their files."""
    return sorted(tuple(str(getattr(h, s)) for s in h.__slots__ if s != "path") for h in contents.images)


def zipped(folder, archive, compression=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(archive, "w", compression) as target:
        for path in sorted(folder.rglob("*")):
            target.write(path, f"NAME^SECRET/{path.relative_to(folder)}")
    return archive


def tarred(folder, archive, mode):
    with tarfile.open(archive, mode) as target:
        target.add(folder, arcname=".")
    return archive


@pytest.mark.parametrize("kind", ["zip", "stored zip", "tar", "tar.gz", "tar.xz", "tar.bz2"])
def test_an_archive_holds_what_its_folder_holds(make, tmp_path, kind):
    folder = make.write(tmp_path / "study", make.t2())
    archive = tmp_path / "any name"
    if kind.endswith("zip"):
        zipped(folder, archive, zipfile.ZIP_STORED if "stored" in kind else zipfile.ZIP_DEFLATED)
    else:
        tarred(folder, archive, "w:" + kind[4:])
    assert plain(read_study(archive)) == plain(read_study(folder))


def test_a_single_file_is_a_study(make, tmp_path):
    folder = make.write(tmp_path / "study", make.t2()[:1])
    (path,) = folder.iterdir()
    assert plain(read_study(path)) == plain(read_study(folder))


def test_unpacked_files_are_private_nameless_and_go_with_the_contents(make, tmp_path, own_cache):
    contents = read_study(zipped(make.write(tmp_path / "study", make.t2()), tmp_path / "a.zip"))
    paths = [image.path for image in contents.images]
    assert all(path.is_file() and path.is_relative_to(own_cache / "unpacked") for path in paths)
    assert (own_cache / "unpacked").stat().st_mode & 0o777 == 0o700
    assert not any("SECRET" in str(path) for path in (own_cache).rglob("*"))
    assert "SECRET" not in repr(contents)
    del contents
    assert not any(path.exists() for path in paths)
    assert [path.name for path in (own_cache / "unpacked").iterdir()] == ["lock"]


def test_what_is_passed_over_is_counted_by_kind(make, tmp_path):
    folder = make.write(tmp_path / "study", make.t2())
    zipped(folder, folder / "again.zip")
    (folder / "notes.txt").write_text("not DICOM" * 100)
    (folder / ".DS_Store").write_bytes(b"x")
    (folder / ".hidden").mkdir()
    (folder / "lesions.nii.gz").write_bytes(b"x")
    (folder / "link").symlink_to(tmp_path)
    os.mkfifo(folder / "pipe")
    found = set(read_study(folder).passed_over)
    assert found == {
        "1 file(s) that are not DICOM",
        "1 archive(s) within the study, which are not opened",
        "2 hidden file(s) or folder(s)",
        "1 NIfTI file(s) beside DICOM images, which are not taken for images",
        "1 link(s), which are not followed",
        "1 device(s) or other special file(s)",
    }
    (folder / ".hidden").rmdir()
    archived = read_study(tarred(folder, tmp_path / "a.tar", "w"))
    assert set(archived.passed_over) == {text.replace("2 hidden", "1 hidden") for text in found}


def test_several_studies_are_numbered_by_time_whatever_the_files_are_called(make, tmp_path):
    early, late, other = make.t2(), make.t2(slices=4), make.t2(slices=5)
    for dataset in early:
        dataset.AcquisitionDate = "20230101"
    for dataset in late:
        dataset.AcquisitionDate, dataset.StudyInstanceUID = "20230111", "2.25.2"
    for dataset in other:
        dataset.AcquisitionDate, dataset.StudyInstanceUID, dataset.PatientID = "20230131", "2.25.3", "OTHER-ID"
    for index, dataset in enumerate([*early, *late, *other]):
        dataset.SOPInstanceUID = f"2.25.8{index:03}"
    folders = [make.write(tmp_path / str(seed), [*other, *late, *early], seed) for seed in range(2)]
    for folder in folders:
        with pytest.raises(CatalogueError, match=r"E_MULTIPATIENT.*2 patients and 3 studies.*--study") as caught:
            read_study(folder)
        assert "1 has 6 images in 1 series; 2 has 4 images in 1 series, 10 days later; 3 has 5" in str(caught.value)
        assert not any(secret in str(caught.value) for secret in ("SECRET", "OTHER", "2.25.", "2023"))
        sizes = [len(read_study(folder, study_number=number).images) for number in (1, 2, 3)]
        assert sizes == [6, 4, 5]
        for number in (0, 4):
            with pytest.raises(CatalogueError, match=r"E_STUDY.*1 to 3"):
                read_study(folder, study_number=number)


def test_a_file_that_does_not_say_whose_it_is_stays_with_every_study(make, tmp_path):
    folder = make.write(tmp_path / "study", make.t2())
    (folder / "empty").touch()
    assert len(read_study(folder, study_number=1).unreadable) == 1


def test_nifti_files_are_the_study_only_without_dicom_images(make, tmp_path):
    (tmp_path / "sub").mkdir()
    for name in ("T2.nii.gz", "sub/S0.NII", "notes.json"):
        (tmp_path / name).write_bytes(b"x" * 10)
    contents = read_study(tmp_path)
    assert {file.name for file in contents.nifti} == {"T2.nii.gz", "sub/S0.NII"}
    assert contents.passed_over == ("1 file(s) that are not DICOM",)
    archived = read_study(tarred(tmp_path, tmp_path.parent / "n.tar.gz", "w:gz"))
    assert {file.name.removeprefix("./") for file in archived.nifti} == {"T2.nii.gz", "sub/S0.NII"}
    assert all(file.path.name.endswith((".nii", ".nii.gz")) for file in archived.nifti)
    (single,) = read_study(tmp_path / "T2.nii.gz").nifti
    assert single.name == "T2.nii.gz"


def test_nothing_to_read_is_an_error(tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(CatalogueError, match=r"E_EMPTY.*no files"):
        read_study(empty)
    with pytest.raises(CatalogueError, match=r"E_EMPTY.*no files"):
        read_study(zipped(empty, tmp_path / "empty.zip"))
    with pytest.raises(CatalogueError, match=r"E_FOLDER.*nothing there"):
        read_study(tmp_path / "no such folder")
    (tmp_path / "readme.txt").write_text("hello" * 100)
    with pytest.raises(CatalogueError, match=r"E_FOLDER.*a file of another kind"):
        read_study(tmp_path / "readme.txt")
    shutil.move(tmp_path / "empty.zip", empty)
    with pytest.raises(CatalogueError, match=r"E_EMPTY.*1 archive\(s\) within the study"):
        read_study(empty)


def test_a_dicom_file_that_begins_like_an_archive_is_dicom(make, tmp_path):
    (path,) = make.write(tmp_path / "study", make.t2()[:1]).iterdir()
    content = bytearray(path.read_bytes())
    content[:4] = b"PK\x03\x04"
    path.write_bytes(content)
    assert len(read_study(path).images) == len(read_study(path.parent).images) == 1


def test_an_archive_that_was_dicom_by_name_only(tmp_path):
    path = tmp_path / "image.dcm"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as target:
        target.writestr("a.txt", "no image")
    path.write_bytes(buffer.getvalue())
    with pytest.raises(CatalogueError, match=r"E_EMPTY.*1 files, none of them DICOM"):
        read_study(path)


def test_folders_nested_as_deep_as_they_can_be_and_names_of_any_bytes(make, tmp_path):
    (path,) = make.write(tmp_path / "one", make.t2()[:1]).iterdir()
    folder, here = tmp_path / "study", Path.cwd()
    folder.mkdir()
    try:
        os.chdir(folder)
        for _ in range(1100):
            Path("a").mkdir()
            os.chdir("a")
        shutil.copy(path, os.fsdecode(b"\xff\xfe"))
    finally:
        os.chdir(here)
    assert len(read_study(folder).images) == 1
    subprocess.run(["rm", "-r", folder], check=True)  # too deep for shutil.rmtree


def test_a_special_file_is_no_study(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(CatalogueError, match=r"E_FOLDER.*special file"):
        read_study(tmp_path / "pipe")


def test_a_file_cut_between_patient_and_study_is_damaged_and_no_second_patient(tmp_path, make):
    study = make.write(tmp_path / "study", make.t2())
    path = min(study.iterdir())
    content = path.read_bytes()
    path.write_bytes(content[: content.index(b"SECRET-ID") + 12])
    assert "E_TRUNCATED" in {problem.code for problem in scan(study, "none").problems}


def test_nothing_of_a_file_reaches_the_log(make, tmp_path, caplog):
    """pydicom tells its logger what it found wrong, and a program that trains has set up one."""
    images = make.t2()
    for image in images:
        image.compress(RLELossless, generate_instance_uid=False)
        image.PatientName, image.SpecificCharacterSet = "Wang", "WANGSET"
    study = make.write(tmp_path / "study", images)
    caplog.clear()
    catalogue = scan(study)
    read_dicom(catalogue.volumes[0])
    assert not caplog.records
