import errno
import json
import os
import shutil

import numpy as np
import pydicom
import pytest

from mpmri_monai.catalogue import scan, stored_pixels
from mpmri_monai.errors import CatalogueError, ConfigError

ROLES = ["T2", "IN", "OUT", "S0", "S1", "S2", "S3", "S4", "S5"]


def codes(catalogue):
    return [problem.code for problem in catalogue.problems]


def cautions(catalogue):
    return {caution.code for volume in catalogue.volumes for caution in volume.warnings}


@pytest.mark.parametrize("one_series", [True, False])
def test_liver_study_fills_every_role_with_the_right_images(make, scanned, one_series):
    catalogue = scanned(make.liver(one_series))
    assert list(catalogue.roles) == ROLES
    assert catalogue.ok and not catalogue.problems and not cautions(catalogue)
    for phase in range(6):
        volume = catalogue.volume(catalogue.roles[f"S{phase}"])
        assert (volume.role, volume.phase, volume.slices) == (f"S{phase}", phase, make.slices)
        assert volume.time_s == make.delays_s[phase] - make.delays_s[0]
        number = 10 if one_series else 10 + phase
        for k, header in enumerate(volume.files):
            assert stored_pixels(header)[0, 0] == 1000 * phase + 200 * k + 10 * number
    assert catalogue.volume(catalogue.roles["OUT"]).echo_time_ms == 1.15
    assert catalogue.volume(catalogue.roles["IN"]).echo_time_ms == 2.3
    catalogue.require(ROLES)


def test_names_order_and_folders_of_files_do_not_matter(make, tmp_path):
    images = make.liver()
    first = scan(make.write(tmp_path / "a", images, seed=1)).to_json()
    moved = make.write(tmp_path / "b", images, seed=2)
    for index, path in enumerate(sorted(moved.iterdir())):
        target = moved / f"sub{index % 3}" / f"{index}.dcm"
        target.parent.mkdir(exist_ok=True)
        shutil.move(path, target)
    (moved / "sub0" / "notes.txt").write_text("not DICOM")
    second = scan(moved).to_json()
    assert second.pop("set_aside") == [{"series_number": None, "why": "1 file(s) that are not DICOM"}]
    first.pop("set_aside")
    assert first == second


def test_json_is_as_the_contract_says_and_names_nobody(make, scanned):
    catalogue = scanned(make.liver())
    content = catalogue.to_json()
    required = ["schema", "protocol", "roles", "volumes", "set_aside", "problems"]
    assert list(content) == [*required, "decisions", "unresolved"]
    keys = (
        "id series_number role rows columns slices spacing_mm orientation echo_time_ms component phase time_s split_by"
    )
    assert set(content["volumes"][0]) == {*keys.split(), "files", "evidence", "warnings"}
    assert content["volumes"][0]["spacing_mm"] == [1.5, 1.25, 6.0]
    assert set(content["volumes"][0]["evidence"][0]) == {"rule", "value", "outcome"}
    text = json.dumps(content) + repr(catalogue)
    for secret in ("SECRET", "Secret", "2.25.", "20240102", "1010"):
        assert secret not in text.replace(str(catalogue.folder), "")


def test_reversed_slices_and_shuffled_instance_numbers_do_not_matter(make, scanned):
    images = make.liver()
    for index, dataset in enumerate(reversed(images)):
        dataset.InstanceNumber = (index * 7) % len(images)
    volume = (catalogue := scanned(images)).volume(catalogue.roles["S2"])
    assert [stored_pixels(header)[0, 0] for header in volume.files] == [2100 + 200 * k for k in range(make.slices)]


def test_clutter_is_set_aside_with_the_reason(make, scanned):
    localizer = [
        make.image(1, k, plane, ImageOrientationPatient=axes)
        for plane, axes in enumerate(([1, 0, 0, 0, 1, 0], [0, 1, 0, 0, 0, -1], [1, 0, 0, 0, 0, -1]))
        for k in range(3)
    ]
    subtraction = [make.image(20, k, ImageType=["DERIVED", "PRIMARY", "SUB"]) for k in range(4)]
    projection = [make.image(21, k, ImageType=["DERIVED", "SECONDARY", "PROJECTION IMAGE"]) for k in range(4)]
    derived = [make.image(22, k, ImageType=["DERIVED", "PRIMARY", "OTHER"]) for k in range(4)]
    report = make.image(30, 0, SOPClassUID="1.2.840.10008.5.1.4.1.1.88.34")
    coloured = make.image(31, 0, SamplesPerPixel=3)
    single = make.image(32, 0)
    catalogue = scanned([*make.liver(), *localizer, *subtraction, *projection, *derived, report, coloured, single])
    why = {entry.series_number: entry.why for entry in catalogue.set_aside}
    assert catalogue.ok
    assert why[1] == "localizer"
    assert "subtraction" in why[20] and "projection" in why[21] and "derived" in why[22]
    assert "(SR)" in why[30] and "colours" in why[31] and "one slice" in why[32]


def test_protocol_none_lists_derived_images_too(make, scanned):
    derived = [make.image(22, k, ImageType=["DERIVED", "PRIMARY", "OTHER"]) for k in range(4)]
    catalogue = scanned(derived, "none")
    assert [volume.slices for volume in catalogue.volumes] == [4]
    assert catalogue.roles == {} and catalogue.ok


def test_derived_images_without_geometry_are_set_aside_and_others_refused(make, scanned):
    lost = [make.image(23, k, ImagePositionPatient=None) for k in range(3)]
    assert codes(scanned([*make.liver(), *lost])) == ["E_NOGEOM"]
    for dataset in lost:
        dataset.ImageType = ["DERIVED", "SECONDARY"]
    assert scanned([*make.liver(), *lost]).ok


def test_links_are_not_followed_and_counted(make, tmp_path):
    make.write(tmp_path / "elsewhere", make.dual_echo())
    folder = make.write(tmp_path / "study", make.t2())
    (folder / "link").symlink_to(tmp_path / "elsewhere")
    catalogue = scan(folder)
    assert list(catalogue.roles) == ["T2"]
    assert [entry.why for entry in catalogue.set_aside] == ["1 link(s), which are not followed"]


def test_segmentation_knows_its_volume(make, scanned):
    images = make.t2()
    seg = make.image(50, 0, SOPClassUID="1.2.840.10008.5.1.4.1.1.66.4")
    reference, item = pydicom.Dataset(), pydicom.Dataset()
    item.ReferencedSOPInstanceUID = images[2].SOPInstanceUID
    reference.ReferencedInstanceSequence = [item]
    seg.ReferencedSeriesSequence = [reference]
    catalogue = scanned([*images, seg], "none")
    (found,) = catalogue.objects
    assert (found.kind, found.series_number, found.volume) == ("SEG", 50, catalogue.volumes[0].id)


def test_two_patients_or_studies_are_refused_without_naming_them(make, scanned):
    images = make.t2()
    images[0].PatientID = "OTHER-ID"
    with pytest.raises(CatalogueError, match=r"E_MULTIPATIENT.*2 patients and 1 study") as caught:
        scanned(images)
    assert "OTHER-ID" not in str(caught.value) and "SECRET" not in str(caught.value)
    images[0].PatientID, images[0].StudyInstanceUID = images[1].PatientID, "2.25.99"
    with pytest.raises(CatalogueError, match="1 patient and 2 studies"):
        scanned(images)


def test_two_patients_without_study_uid_are_refused(make, scanned):
    images = make.t2()
    for dataset in images:
        dataset.StudyInstanceUID = ""
    images[0].PatientID = "OTHER-ID"
    with pytest.raises(CatalogueError, match="E_MULTIPATIENT"):
        scanned(images)


def test_a_subfolder_that_cannot_be_read_is_not_passed_over(make, tmp_path, monkeypatch):
    folder = make.write(tmp_path, make.t2())
    (folder / "closed").mkdir()
    plain = os.scandir

    def scandir(path):
        if str(path).endswith("closed"):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return plain(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(CatalogueError, match=r"E_FOLDER.*permission denied in a folder within") as caught:
        scan(folder)
    assert "closed" not in str(caught.value), "names of folders may be names of patients"


def test_empty_missing_and_foreign_folders_are_refused(tmp_path):
    with pytest.raises(CatalogueError, match=r"E_EMPTY.*no files"):
        scan(tmp_path)
    (tmp_path / "readme.txt").write_text("hello" * 100)
    with pytest.raises(CatalogueError, match=r"E_EMPTY.*1 files, none of them DICOM"):
        scan(tmp_path)
    with pytest.raises(CatalogueError, match=r"E_FOLDER.*nothing there"):
        scan(tmp_path / "no such folder")
    with pytest.raises(CatalogueError, match=r"E_FOLDER.*a file"):
        scan(tmp_path / "readme.txt")
    with pytest.raises(ConfigError, match="liver"):
        scan(tmp_path, protocol="lever")


def test_missing_slice_is_named(make, scanned):
    images = make.t2(slices=8)
    del images[3]
    catalogue = scanned(images)
    assert [(p.code, p.message, p.series_number) for p in catalogue.problems] == [
        ("E_MISSING", "1 slice(s) missing after slice 3 of 7", 3)
    ]
    assert not catalogue.volumes


def test_missing_slice_of_one_phase_is_refused(make, scanned):
    images = make.dynamic()
    del images[2 * make.slices + 3]
    catalogue = scanned(images)
    assert codes(catalogue) == ["E_INCOMPLETE"]
    assert "7 hold 6, 1 hold 5" in catalogue.problems[0].message


def test_lost_end_of_one_phase_is_seen_by_its_siblings(make, scanned):
    images = make.dynamic(one_series=False)
    del images[3 * make.slices + make.slices - 1]
    catalogue = scanned(images)
    assert codes(catalogue) == ["E_SHORT"]
    assert catalogue.problems[0].message == "phase 4 of 6 has 7 slices, the other phases have 8"
    assert catalogue.problems[0].series_number == 13
    assert not catalogue.roles


def test_repeated_slab_with_equal_pixels_is_dropped(make, scanned):
    images = make.t2()
    again = make.t2()
    for index, dataset in enumerate(again):
        dataset.SOPInstanceUID += "1"
        dataset.InstanceNumber = 100 + index
    catalogue = scanned([*images, *again])
    assert list(catalogue.roles) == ["T2"] and not catalogue.problems
    assert cautions(catalogue) == {"W_DUP"}


def test_copied_files_are_dropped_from_a_dynamic_series(make, scanned):
    images = make.dynamic()
    catalogue = scanned([*images, *images[5:7]])
    assert len(catalogue.roles) == 6 and cautions(catalogue) == {"W_DUP"}


def test_repeated_slice_with_other_pixels_is_refused(make, scanned):
    images = make.t2()
    other = make.image(3, 2, 5, ScanningSequence="SE", EchoTime=85.0)
    other.ImagePositionPatient = images[2].ImagePositionPatient
    catalogue = scanned([*images, other])
    assert codes(catalogue) == ["E_INCOMPLETE"] and not catalogue.roles


def test_uneven_spacing_and_shear_are_refused(make, scanned):
    images = make.t2()
    images[3].ImagePositionPatient[2] += 1.0
    assert codes(scanned(images)) == ["E_SPACING"]


def test_shear_is_refused(make, scanned):
    images = make.t2()
    for k, dataset in enumerate(images):
        dataset.ImagePositionPatient = [-50 + 0.5 * k, -60, 6.0 * k]
    assert codes(scanned(images)) == ["E_SHEAR"]


def test_slow_drift_of_spacing_is_refused(make, scanned):
    images = make.t2(slices=30)
    for k, dataset in enumerate(images):
        dataset.ImagePositionPatient = [-50, -60, 6.0 * k + 0.003 * k * k]
    assert codes(scanned(images)) == ["E_SPACING"]


def test_jitter_of_positions_is_accepted_and_spacing_is_the_mean(make, scanned):
    images = make.liver()
    generator = np.random.default_rng(0)
    for dataset in images:
        dataset.ImagePositionPatient[2] += generator.uniform(-0.01, 0.01)
    catalogue = scanned(images)
    assert catalogue.ok
    assert abs(catalogue.volume(catalogue.roles["S1"]).spacing_mm[2] - 2.2) < 0.02 / (make.slices - 1)


def test_one_slice_with_another_matrix_is_one_problem(make, scanned):
    images = make.t2()
    images[2] = make.image(3, 2, Rows=6, ScanningSequence="SE", EchoTime=85.0)
    catalogue = scanned(images)
    assert [(p.code, p.message) for p in catalogue.problems] == [
        ("E_GRID", "1 of 6 images have another matrix, pixel spacing or frame of reference")
    ]
    assert not catalogue.volumes


def test_orientation_spelled_in_two_ways_is_one_grid(make, scanned):
    images = make.t2()
    images[1].ImageOrientationPatient = [1, 0, 0.000001, 0, 1, 0]
    assert len(scanned(images).volumes) == 1


@pytest.mark.parametrize("kept", [None, 700, 400, 200, 0])
def test_truncated_file_makes_its_series_unusable(make, tmp_path, kept):
    folder = make.write(tmp_path / "study", make.liver())
    for path in folder.iterdir():
        dataset = pydicom.dcmread(path)
        if dataset.SeriesNumber == 3 and dataset.InstanceNumber == 6:  # the last slice: spacing stays even
            content = path.read_bytes()
            path.write_bytes(content[: len(content) - 100 if kept is None else kept])
    catalogue = scan(folder)
    assert [problem.code for problem in catalogue.problems] == ["E_TRUNCATED"]
    assert not catalogue.ok
    with pytest.raises(CatalogueError, match="E_TRUNCATED"):
        catalogue.require(ROLES)
    if kept is None:
        assert "T2" not in catalogue.roles and catalogue.problems[0].series_number == 3


def test_broken_series_without_a_possible_role_is_only_set_aside(make, scanned):
    diffusion = [
        make.image(40, k, ScanningSequence=["EP", "SE"], EchoTime=60.0, InstanceNumber=k + 1)
        for k in (0, 1, 2, 4, 5, 6)
    ]
    catalogue = scanned([*make.liver(), *diffusion])
    assert catalogue.ok
    assert any(entry.series_number == 40 and "E_MISSING" in entry.why for entry in catalogue.set_aside)
    assert codes(scanned(diffusion, "none")) == ["E_MISSING"]


def test_unknown_volume_and_missing_role_are_named(make, scanned):
    catalogue = scanned(make.t2())
    assert not catalogue.ok and catalogue.missing == tuple(ROLES[1:])
    catalogue.require(["T2"])
    with pytest.raises(CatalogueError, match="no volume for OUT"):
        catalogue.require(["T2", "OUT"])
    with pytest.raises(CatalogueError, match="vffff"):
        catalogue.volume("vffff")


def test_a_volume_that_is_gone_says_what_is_wrong_with_the_study(make, scanned):
    images = make.t2(slices=8)
    del images[3]
    with pytest.raises(CatalogueError, match=r"E_VOLUME.*E_MISSING \(series 3\)"):
        scanned(images).volume("vffff")


def test_obliquity_is_named(make, scanned):
    angle = np.radians(20)
    normal = np.array([0, -np.sin(angle), np.cos(angle)])
    images = [
        make.image(
            3,
            k,
            ImageOrientationPatient=[1, 0, 0, 0, float(np.cos(angle)), float(np.sin(angle))],
            ImagePositionPatient=(normal * 3 * k).tolist(),
        )
        for k in range(5)
    ]
    (volume,) = scanned(images, "none").volumes
    assert volume.orientation == "oblique axial"
    np.testing.assert_allclose(volume.affine[:3, 2], [0, 3 * np.sin(angle), 3 * np.cos(angle)], atol=1e-9)
    assert volume.spacing_mm == pytest.approx((1.5, 1.25, 3.0))


def test_volumes_whose_images_carry_one_identifier_keep_ids_of_their_own(make, scanned):
    images = make.dual_echo()
    for dataset in images:
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = "2.25.1234"
    catalogue = scanned(images)
    assert list(catalogue.roles) == ["IN", "OUT"] and len(set(catalogue.roles.values())) == 2


@pytest.mark.parametrize("one_series", [True, False])
def test_sequences_in_another_frame_of_reference_are_named(make, scanned, one_series):
    images = make.liver(one_series=one_series)
    assert "W_FRAME" not in {caution.code for volume in scanned(images).volumes for caution in volume.warnings}
    for image in images:
        if image.SeriesNumber == 3:
            image.FrameOfReferenceUID = "2.25.55"
    catalogue = scanned(images)
    warned = {volume.role: caution.message for volume in catalogue.volumes for caution in volume.warnings}
    assert set(warned) == {"T2"} and "IN OUT S0 S1 S2 S3 S4 S5" in warned["T2"] and catalogue.ok
