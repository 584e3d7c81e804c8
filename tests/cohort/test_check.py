from dataclasses import replace

import pytest

from mpmri_monai.cohort import (
    build_manifest,
    check_manifest,
    parse_manifest,
    refuse_shared_images,
    save_manifest,
)
from mpmri_monai.errors import LeakageError


@pytest.fixture
def manifest(cohort, scanner):
    return build_manifest(cohort, cohort / "labels.csv", "small")[0]


def errors(manifest):
    return [str(finding) for finding in check_manifest(manifest) if finding.level == "error"]


def test_sound_cohort_has_no_finding(manifest):
    assert check_manifest(manifest) == []


def test_missing_files_are_named(manifest, cohort):
    (cohort / "P001" / "liver.nii.gz").unlink()
    (cohort / "P002" / "lesions.nii.gz").unlink()
    (cohort / "P003" / "dicom").rmdir()
    found = errors(manifest)
    assert len(found) == 3
    assert "P001-1: no file for the liver" in found
    assert "P002-1: no file for lesion P002-L1" in found


def test_changed_dicom_files_are_noticed(manifest, scanner):
    volumes = tuple(volume for volume in scanner.full().volumes if volume.id != "vS4")
    roles = {name: volume for name, volume in scanner.full().roles.items() if name != "S4"}
    scanner.answers["P002"] = replace(scanner.full(), roles=roles, volumes=volumes)
    assert errors(manifest) == ["P002-1: no volume vS4-P002 (S4); its files changed since the manifest was made"]


def test_problem_of_the_catalogue_is_an_error(manifest, scanner):
    scanner.answers["P002"] = scanner.in_doubt("E_SHORT")
    (error,) = errors(manifest)
    assert error.startswith("P002-1: E_SHORT")


def test_another_choice_of_the_catalogue_is_a_warning(manifest, scanner):
    roles = {**scanner.full().roles, "T2": "vS0", "S0": "vT2"}
    scanner.answers["P002"] = replace(scanner.full(), roles=roles)
    warnings = [str(finding) for finding in check_manifest(manifest)]
    assert "P002-1: W_ROLE: the catalogue now takes vS0-P002 for T2, the manifest vT2-P002" in warnings
    assert len(warnings) == 2


def test_missing_truth_is_an_error(cohort, scanner):
    manifest, _ = build_manifest(cohort, cohort / "labels.csv", "small", truth="truth.csv")
    assert errors(manifest) == ["truth: no file truth.csv"]


def test_absent_sequence_and_label_and_class_are_warnings(content, tmp_path, scanner):
    del content["studies"][0]["lesions"][0]["labels"]["grade"]
    content["studies"][0]["images"].pop("S0")
    findings = check_manifest(parse_manifest(content, tmp_path, "here"))
    warnings = [str(finding) for finding in findings if finding.level == "warning"]
    assert warnings == [
        "grade: no lesion of class moderately",
        "grade: no lesion of class poorly",
        "P001-1: no IN, S0",
        "P001-1: lesion P001-L1 has no grade label",
        "P002-1: no IN, S0",
    ]
    assert [finding.level for finding in findings] == sorted(finding.level for finding in findings)


def test_image_shared_by_two_patients_is_a_leak(content, tmp_path, scanner):
    content["studies"][1]["images"]["T2"] = "P002/../P001/T2.nii.gz"
    found = errors(parse_manifest(content, tmp_path, "here"))
    assert "P001, P002: E_SHARED: these patients share an image" in found


def test_copied_dicom_folder_under_another_patient_is_a_leak(content, tmp_path, scanner):
    content["studies"][1]["images"]["S0"] = {"dicom": "P002/copy", "volume": "v1"}
    manifest = parse_manifest(content, tmp_path, "here")
    assert "P001, P002: E_SHARED: these patients share an image" in errors(manifest)
    with pytest.raises(LeakageError, match="P001, P002"):
        refuse_shared_images(manifest)


def test_saved_elsewhere_it_still_checks(manifest, tmp_path):
    assert check_manifest(save_manifest(manifest, tmp_path / "elsewhere" / "m.json")) == []


def test_a_mask_file_of_several_patients_is_a_warning(manifest):
    content = manifest.content()
    content["studies"][1]["lesions"][0]["region"]["mask"] = content["studies"][0]["lesions"][0]["region"]["mask"]
    found = [str(finding) for finding in check_manifest(parse_manifest(content, manifest.folder, "here"))]
    assert found == ["P001, P002: W_MASK_SHARED: the lesions of 2 patients are in one mask file"]
