"""Studies of real scanners, from public collections. What is expected was read from headers and pictures."""

import os
from pathlib import Path

import pytest

from mpmri_monai.catalogue import scan
from mpmri_monai.errors import CatalogueError

DATA = Path(os.environ.get("MPMRI_TEST_DATA") or Path(__file__).parents[3] / "shared" / "data")


def study(name: str) -> Path:
    if not (DATA / name).is_dir():
        pytest.skip(f"no {name}: set MPMRI_TEST_DATA to the folder of real data")
    return DATA / name


def test_siemens_dynamic_phases_are_in_time_order_over_series():
    catalogue = scan(study("prostatex_0218"), "none")
    phases = [volume for volume in catalogue.volumes if volume.time_s is not None]
    assert [(volume.series_number, volume.phase) for volume in phases] == list(
        zip((27, 36, 40, 48, 66, 96), range(6), strict=True)
    )
    nominal_s = (8.0, 45.9, 62.8, 96.5, 172.4, 298.9)
    for volume, nominal in zip(phases, nominal_s, strict=True):
        assert abs(volume.time_s - (nominal - nominal_s[0])) < 6
        assert (volume.rows, volume.columns, volume.slices) == (160, 160, 20)
    dual = [volume for volume in catalogue.volumes if volume.series_number == 7]
    assert [(volume.echo_time_ms, volume.slices) for volume in dual] == [(2.4, 36), (4.8, 36)]
    diffusion = [volume for volume in catalogue.volumes if volume.series_number == 8]
    assert len(diffusion) == 4 and {volume.split_by for volume in diffusion} == {("DiffusionBValue",)}
    (t2,) = [volume for volume in catalogue.volumes if volume.series_number == 5]
    assert t2.spacing_mm == pytest.approx((0.625, 0.625, 3.6), abs=0.01) and t2.orientation == "oblique axial"
    assert [entry.why for entry in catalogue.set_aside if entry.series_number == 3] == ["localizer"]


def test_ge_time_points_that_only_instance_numbers_tell_apart():
    catalogue = scan(study("ge_mr750_multiphase"), "none")
    for number in (4, 7):
        volumes = [volume for volume in catalogue.volumes if volume.series_number == number]
        assert [volume.phase for volume in volumes] == list(range(10))
        assert all(volume.slices == 15 and volume.spacing_mm[2] == pytest.approx(5.0) for volume in volumes)
        assert all(volume.warnings[0].code == "W_INORDER" for volume in volumes)
        first = [min(header.instance_number for header in volume.files) for volume in volumes]
        assert first == [1 + 15 * point for point in range(10)]


def test_a_prostate_study_of_siemens():
    """Looked at in the pictures: arteries are bright from series 36 on, the prostate from series 40 on."""
    catalogue = scan(study("prostatex_0218"), "prostate")
    numbers = {role: catalogue.volume(volume).series_number for role, volume in catalogue.roles.items()}
    assert numbers == {"T2": 5, "ADC": 9, "HBV": 8, "DCE0": 27, "DCE1": 40, "DCE2": 48, "DCE3": 66}
    assert catalogue.ok and catalogue.volume(catalogue.roles["HBV"]).files[0].b_value == 800


def test_a_derived_ge_map_that_only_its_description_names():
    """An ADC map written with b-value 1400 and without a word about its kind must not pass for the b-value image."""
    assert not scan(study("qin_prostate_001"), "prostate").roles
    rules = Path(__file__).parents[2] / "data_manifests" / "site_rules" / "prostate_ge_functool.yaml"
    catalogue = scan(study("qin_prostate_001"), "prostate", rules)
    assert {role: catalogue.volume(volume).series_number for role, volume in catalogue.roles.items()} == {"ADC": 901}


def test_ge_adc_map_and_the_segmentation_drawn_on_it():
    catalogue = scan(study("qin_prostate_001"), "none")
    (volume,) = catalogue.volumes
    assert (volume.rows, volume.columns, volume.slices) == (256, 256, 20)
    assert volume.spacing_mm == pytest.approx((0.7031, 0.7031, 3.0), abs=1e-3)
    assert [(found.kind, found.volume) for found in catalogue.objects] == [("SEG", volume.id)]
    # Its header holds the b-value of the images that it was computed from, and does not say that it is an ADC map.
    assert not {"ADC", "HBV"} & set(scan(study("qin_prostate_001"), "prostate").roles)


def test_philips_enhanced_file_of_signals_and_a_field_map():
    signal, field_map = scan(study("enhanced_mr") / "Philips", "none").volumes
    for volume in (signal, field_map):
        assert (volume.rows, volume.columns, volume.slices) == (64, 64, 32)
        assert volume.spacing_mm == pytest.approx((4.0, 4.0, 4.0), abs=1e-3)
    assert (signal.component, signal.echo_time_ms, signal.files[0].image_kind) == ("magnitude", 1.52, "")
    assert (field_map.component, field_map.files[0].image_kind) == ("real", "map")
    assert {header.scaling for header in signal.files} == {"Philips"}
    assert {(header.slope, header.intercept) for header in field_map.files} == {(0.24420024420024, -500.0)}
    # The file holds the position of every frame twice; the private one lies half a voxel off.
    assert signal.files[0].position == pytest.approx((-127.243, -119.777, -38.355), abs=1e-3)


def test_siemens_enhanced_files_of_one_time_point_each():
    volumes = scan(study("enhanced_mr") / "Siemens", "none").volumes
    assert [volume.phase for volume in volumes] == [0, 1, 2, 3]
    for volume in volumes:
        assert len({header.path for header in volume.files}) == 1
        assert [header.frame for header in volume.files] == list(range(6))
        assert volume.files[0].scanning_sequence == ("GR", "EP")


def test_slices_that_somebody_took_out_of_a_3d_series():
    """Instance numbers 63, 72, … 108 of a sagittal T1 with slices of 1 mm: every ninth one is there."""
    (volume,) = scan(study("compressed_dicom_misc"), "none", study_number=1).volumes
    assert (volume.slices, volume.orientation) == (6, "oblique sagittal")
    assert volume.spacing_mm == pytest.approx((1, 1, 9), abs=0.01)
    assert [caution.code for caution in volume.warnings] == ["W_SPARSE"]


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("bbmri-53323131.dcm", "one slice position"),
        ("multiframe-test1.dcm", "several frames"),  # a classic MR file of 16 frames without positions
        ("nema-ct1_j2ki.dcm", "no MR image"),
        ("nema-ct1_jpll.dcm", "no MR image"),
        ("nema-mr1_jply.dcm", "one slice position"),
        ("nema-nm1_j2kr.dcm", "screen capture"),
        ("osirix-cerebrix.dcm", "screen capture"),
        ("bbmri.dcmdir", "DICOMDIR"),
    ],
)
def test_single_files_that_are_no_volume_are_set_aside_by_name(name, why):
    catalogue = scan(study("compressed_dicom_misc") / name, "none")
    assert not catalogue.volumes and not catalogue.problems
    assert [why in entry.why for entry in catalogue.set_aside] == [True]


def test_a_file_that_does_not_say_what_it_is():
    catalogue = scan(study("compressed_dicom_misc") / "dwv-test_no-number-rows.dcm", "none")
    assert [problem.code for problem in catalogue.problems] == ["E_HEADER"]


def test_patients_in_one_folder_are_not_mixed():
    with pytest.raises(CatalogueError, match=r"E_MULTIPATIENT.*7 patients and 7 studies"):
        scan(study("compressed_dicom_misc"), "none")


def test_brains_kept_as_nifti_by_a_naming_table(tmp_path):
    patient = study("brats2013") / "train" / "brats_2013_pat0005_1"
    rules = tmp_path / "rules.yaml"
    rules.write_text("schema: mpmri-monai/site-rules/1\nnifti: {T1CE: 'T1c_*', FLAIR: 'Flair_*'}\n")
    catalogue = scan(patient, "brain", rules)
    assert catalogue.missing == ("T1", "T2") and not catalogue.problems
    volume = catalogue.volume(catalogue.roles["FLAIR"])
    assert (volume.columns, volume.rows, volume.slices) == (240, 240, 155)
    assert volume.spacing_mm == pytest.approx((1, 1, 1)) and volume.orientation == "axial"
    assert list(scan(study("upenn_gbm_00002"), "brain").roles) == ["T2"]


def test_livers_of_twenty_patients_in_one_folder_have_no_roles():
    catalogue = scan(study("chaos_t2spir"), "liver")
    assert len(catalogue.volumes) == 40 and not catalogue.roles
    assert all(5 < volume.spacing_mm[2] < 10 for volume in catalogue.volumes)


def test_formats_that_are_not_read_are_named():
    with pytest.raises(CatalogueError, match="E_EMPTY"):
        scan(study("pyradiomics_mr"), "none")
