"""Studies of three scanners, from public collections."""

import os
from pathlib import Path

import pytest

from mpmri_monai.catalogue import scan

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
