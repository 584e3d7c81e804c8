"""Studies kept as NIfTI: roles by file names, and nothing from the names in what is stored or printed."""

import gzip
import json
import os

import nibabel
import numpy as np
import pytest

from mpmri_monai.catalogue import scan
from mpmri_monai.catalogue.containers.files import StudyFile
from mpmri_monai.catalogue.containers.nifti import nifti_volumes
from mpmri_monai.catalogue.containers.nifti_file import open_nifti
from mpmri_monai.errors import GeometryError

BRAIN = ("T1", "T1CE", "T2", "FLAIR")
AFFINE = np.array([[-1.5, 0, 0, 30], [0, -2.0, 0, 40], [0, 0, 3.0, -50], [0, 0, 0, 1]])


@pytest.fixture
def study(tmp_path):
    """Write one image a name, each with other voxels, and list them."""

    def write(*names, **shapes):
        files = []
        for number, name in enumerate(names):
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            voxels = np.full(shapes.get("shape", (5, 6, 7)), number, np.int16)
            nibabel.save(nibabel.Nifti1Image(voxels, shapes.get("affine", AFFINE)), path)
            files.append(StudyFile(path, name))
        return files

    return write


def roles(volumes):
    return {volume.role: volume.nifti.name for volume in volumes if volume.role}


def test_default_names(study):
    files = study("SECRET_t1.nii", "SECRET_t1ce.nii.gz", "sub/T2.nii.gz", "SECRET_flair.NII.GZ", "SECRET_mask.nii.gz")
    volumes, set_aside, problems = nifti_volumes(files, BRAIN)
    assert roles(volumes) == {
        "T1": "SECRET_t1.nii",
        "T1CE": "SECRET_t1ce.nii.gz",
        "T2": "T2.nii.gz",
        "FLAIR": "SECRET_flair.NII.GZ",
    }
    assert len(volumes) == 5 and not set_aside and not problems
    assert "SECRET" not in json.dumps([volume.to_json() for volume in volumes])


def test_what_a_volume_says_about_its_grid(study):
    (volume,), _, _ = nifti_volumes(study("T2.nii"), BRAIN)
    assert (volume.columns, volume.rows, volume.slices) == (5, 6, 7)
    assert volume.spacing_mm == pytest.approx((2.0, 1.5, 3.0))
    assert (volume.orientation, volume.files, volume.series_number) == ("axial", (), None)
    np.testing.assert_allclose(volume.affine, AFFINE)
    turned = AFFINE[:, [1, 2, 0, 3]]
    (volume,), _, _ = nifti_volumes(study("sub/T2.nii", affine=turned), BRAIN)
    assert volume.orientation == "sagittal" and volume.spacing_mm == pytest.approx((3.0, 2.0, 1.5))


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("*T2*", "x t2 y.nii.gz"),
        ("ax_t2.nii", "AX_T2.nii"),
        ("anat/*_t2w", "anat/sub-1_T2w.nii.gz"),
        ("t?w", "T2W.nii"),
    ],
)
def test_naming_table(study, pattern, name):
    volumes, _, problems = nifti_volumes(study(name, "other.nii"), BRAIN, {"T2": pattern})
    assert list(roles(volumes)) == ["T2"] and not problems


def test_a_sequence_of_the_table_has_no_default_name(study):
    volumes, _, _ = nifti_volumes(study("T2.nii"), BRAIN, {"T2": "*t2w*"})
    assert roles(volumes) == {}


def test_two_files_for_a_role_are_refused(study):
    volumes, _, problems = nifti_volumes(study("SECRETa_T2.nii", "SECRETb_T2.nii"), BRAIN)
    assert roles(volumes) == {} and len(volumes) == 2
    assert [problem.code for problem in problems] == ["E_ROLE"] and "2 files fit T2" in problems[0].message
    assert "SECRET" not in str(problems)


def test_a_name_that_fits_two_roles_is_refused(study):
    volumes, _, problems = nifti_volumes(study("t1ce.nii"), BRAIN, {"T1": "*t1*", "T1CE": "*t1ce*"})
    assert roles(volumes) == {}
    assert problems[0].code == "E_ROLE" and "fits T1 and T1CE" in problems[0].message


def test_a_person_settles_it_by_the_id_of_a_volume(study):
    files = study("a_T2.nii", "b_T2.nii", "c_T1.nii")
    volumes, _, _ = nifti_volumes(files, BRAIN)
    ids = {volume.nifti.name: volume.id for volume in volumes}
    for fixed in ({ids["b_T2.nii"]: "T2"}, {ids["a_T2.nii"]: "ignore"}):
        volumes, _, problems = nifti_volumes(files, BRAIN, fixed=fixed)
        assert roles(volumes) == {"T1": "c_T1.nii", "T2": "b_T2.nii"} and not problems
    _, _, problems = nifti_volumes(files, BRAIN, fixed=dict.fromkeys(ids.values(), "T2"))
    assert [problem.code for problem in problems] == ["E_ROLE"]


def test_one_image_under_two_names(study):
    files = study("T1.nii")
    copy = files[0].path.with_name("T2.nii")
    copy.write_bytes(files[0].path.read_bytes())
    _, _, problems = nifti_volumes([*files, StudyFile(copy, "T2.nii")], BRAIN)
    assert [problem.code for problem in problems] == ["E_DUP"]
    for files_in_order in ([*files, StudyFile(copy, "kept.nii")], [StudyFile(copy, "kept.nii"), *files]):
        volumes, _, problems = nifti_volumes(files_in_order, BRAIN)
        assert [volume.role for volume in volumes] == ["T1"] and not problems


def test_ids_do_not_change_when_files_are_renamed(study, tmp_path):
    files = study("a_T1.nii", "b_T2.nii")
    before = {volume.role: volume.id for volume in nifti_volumes(files, BRAIN)[0]}
    moved = [StudyFile(file.path.rename(tmp_path / f"z{file.name}"), f"z{file.name}") for file in reversed(files)]
    assert {volume.role: volume.id for volume in nifti_volumes(moved, BRAIN)[0]} == before


def test_what_cannot_be_read_is_a_problem_only_where_it_has_a_role(study):
    files = study("SECRET_T1.nii", "SECRET_fmri.nii", shape=(4, 5, 6, 2))
    volumes, set_aside, problems = nifti_volumes(files, BRAIN)
    assert not volumes
    assert [str(problem) for problem in problems] == ["E_NIFTI: the file of T1: shape 4 x 5 x 6 x 2 of int16"]
    assert "4 x 5 x 6 x 2" in set_aside[0].why and "SECRET" not in str(set_aside)


def test_a_file_that_is_mostly_a_hole_is_not_read(study):
    """Its content makes the volume's id, and a file system makes a terabyte of nothing."""
    (file,) = study("T2.nii")
    os.truncate(file.path, 2**40)
    with pytest.raises(GeometryError, match="E_LIMIT"):
        open_nifti(file.path)


def test_no_voxel_is_read(study):
    """A header that promises gigabytes is refused, and one that promises less than the file holds is not."""
    (file,) = study("T2.nii")
    content = bytearray(file.path.read_bytes())
    content[42:48] = np.array([30000, 30000, 2000], "<i2").tobytes()
    bomb = file.path.with_name("bomb.nii.gz")
    bomb.write_bytes(gzip.compress(bytes(content)))
    with pytest.raises(GeometryError, match="E_LIMIT"):
        open_nifti(bomb)
    content[42:48] = np.array([500, 500, 2], "<i2").tobytes()
    file.path.write_bytes(content)
    with pytest.raises(GeometryError, match="ends early"):
        open_nifti(file.path)


def test_extensions_are_not_read_without_limit(study, monkeypatch):
    """nibabel reads everything between header and voxels; the offset of the voxels is a number in the file."""
    (file,) = study("T2.nii")
    content = bytearray(file.path.read_bytes())
    content[108:112] = np.array([2.0**30], "<f4").tobytes()
    content[348:352] = b"\1\0\0\0"
    content[352:360] = np.array([2**30 - 352, 4], "<i4").tobytes()
    monkeypatch.setattr(nibabel, "load", lambda path: pytest.fail("read"))
    file.path.write_bytes(content)
    with pytest.raises(GeometryError, match=r"E_LIMIT.*16 MiB before the voxels"):
        open_nifti(file.path)


def test_a_study_is_scanned(study, tmp_path):
    study("P1_SECRET/X_T2.nii.gz", "P1_SECRET/X_S0.nii", "P1_SECRET/liver.nii.gz")
    (tmp_path / "P1_SECRET" / "X_T2.json").write_text("{}")
    catalogue = scan(tmp_path / "P1_SECRET")
    assert {role: catalogue.volume(name).nifti.name for role, name in catalogue.roles.items()} == {
        "T2": "X_T2.nii.gz",
        "S0": "X_S0.nii",
    }
    assert len(catalogue.volumes) == 3 and not catalogue.problems and catalogue.missing
    content = json.dumps(catalogue.to_json())
    assert "SECRET" not in content and '"files": 1' in content
    assert {volume.role for volume in scan(tmp_path, "none").volumes} == {None}


def test_rules_of_a_site_name_files_and_settle_one_study(study, tmp_path):
    study("study/x_t2w.nii", "study/old_t2w.nii", "study/x_S0.nii")
    rules = tmp_path / "site.yaml"
    rules.write_text('schema: mpmri-monai/site-rules/1\nnifti: {T2: "*t2w"}\n')
    catalogue = scan(tmp_path / "study", site_rules=rules)
    assert list(catalogue.roles) == ["S0"] and [problem.code for problem in catalogue.problems] == ["E_ROLE"]
    old = next(volume.id for volume in catalogue.volumes if volume.nifti.name == "old_t2w.nii")
    with rules.open("a") as file:
        file.write(f"volumes: {{{old}: ignore}}\n")
    catalogue = scan(tmp_path / "study", site_rules=rules)
    assert catalogue.volume(catalogue.roles["T2"]).nifti.name == "x_t2w.nii" and not catalogue.problems
    assert [decision.role for decision in catalogue.decisions] == ["T2", "S0"]
    assert "which the site's rules ignore" in str(catalogue.set_aside)


@pytest.mark.parametrize("length", [4, 100, 347])
def test_a_file_that_ends_inside_its_header_is_refused(study, length):
    (file,) = study("p_T2.nii")
    file.path.write_bytes(file.path.read_bytes()[:length])
    with pytest.raises(GeometryError, match="cannot read"):
        open_nifti(file.path)


def test_voxels_that_begin_nowhere_are_refused(study):
    (file,) = study("p_T2.nii")
    content = bytearray(file.path.read_bytes())
    content[108:112] = np.float32(np.inf).tobytes()
    file.path.write_bytes(content)
    with pytest.raises(GeometryError, match="cannot read"):
        open_nifti(file.path)
