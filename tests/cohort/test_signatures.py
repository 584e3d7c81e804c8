import os

from mpmri_monai.cohort import parse_manifest
from mpmri_monai.cohort.signatures import files_of, signature_of


def test_every_file_of_a_study_has_a_part_in_its_signature(content, tmp_path):
    first, second = parse_manifest(content, tmp_path, "here").studies
    assert files_of(first) == ["P001/T2.nii.gz", "P001/dicom", "P001/lesions.nii.gz", "P001/liver.nii.gz"]
    assert files_of(second) == ["P002/T2.nii.gz"]
    (tmp_path / "P001" / "dicom" / "deep").mkdir(parents=True)
    file = tmp_path / "P001" / "dicom" / "deep" / "a"
    file.write_bytes(b"12")
    os.utime(file, ns=(0, 5))
    assert signature_of(files_of(first), tmp_path) == [("P001/dicom/deep/a", 2, 5)]
    os.utime(file, ns=(0, 6))
    assert signature_of(files_of(first), tmp_path) == [("P001/dicom/deep/a", 2, 6)]


def test_links_count_by_what_they_lead_to(tmp_path):
    study, target = tmp_path / "study", tmp_path / "elsewhere"
    study.mkdir()
    target.write_bytes(b"123")
    os.utime(target, ns=(0, 7))
    (study / "a").symlink_to(target)
    (study / "nowhere").symlink_to(tmp_path / "gone")
    assert signature_of(["study"], tmp_path) == [("study/a", 3, 7)]
