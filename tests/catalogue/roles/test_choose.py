import pytest

from mpmri_monai.catalogue.headers.header import FileHeader
from mpmri_monai.catalogue.headers.reading import read_headers
from mpmri_monai.catalogue.roles.conditions import fat_phase


def header(make, tmp_path, **tags) -> FileHeader:
    (found,) = read_headers(next(make.write(tmp_path / "one", [make.image(1, 0, **tags)]).iterdir()))
    assert isinstance(found, FileHeader)
    return found


@pytest.mark.parametrize(
    ("echo_ms", "frequency", "phase"),
    [
        (1.15, 127.7, "out"),
        (2.3, 127.7, "in"),
        (3.45, 127.7, "out"),
        (2.3, 63.9, "out"),
        (4.6, 63.9, "in"),
        (6.9, 63.9, "out"),
        (1.7, 127.7, "between"),
    ],
)
def test_the_field_decides_which_echo_is_in_phase(make, tmp_path, echo_ms, frequency, phase):
    found = fat_phase(header(make, tmp_path, EchoTime=echo_ms, ImagingFrequency=frequency))
    assert found[1] == phase


def test_field_strength_stands_in_for_the_frequency(make, tmp_path):
    one = header(make, tmp_path, EchoTime=2.3, ImagingFrequency=None, MagneticFieldStrength=1.5)
    assert fat_phase(one)[1] == "out"


def test_without_field_or_echo_there_is_no_phase(make, tmp_path):
    one = header(make, tmp_path, EchoTime=2.3, ImagingFrequency=None, MagneticFieldStrength=None)
    assert fat_phase(one)[1] == "unknown"


def test_two_out_of_phase_echoes_are_refused(make, scanned):
    catalogue = scanned(make.dual_echo(echoes=(1.15, 3.45)))
    (problem,) = catalogue.problems
    assert problem.code == "E_IPOP" and problem.series_number == 4
    assert "1.15 ms (out), 3.45 ms (out)" in problem.message
    assert not catalogue.roles


def test_echoes_in_two_series_are_a_pair_too(make, scanned):
    images = [*make.dual_echo(series=4, echoes=(1.15,)), *make.dual_echo(series=5, echoes=(2.3,))]
    catalogue = scanned(images)
    assert catalogue.volume(catalogue.roles["OUT"]).series_number == 4
    assert catalogue.volume(catalogue.roles["IN"]).series_number == 5


def test_a_single_echo_leaves_the_other_role_open(make, scanned):
    catalogue = scanned(make.dual_echo(echoes=(2.3,)))
    assert list(catalogue.roles) == ["IN"] and not catalogue.problems


def test_a_pair_is_preferred_to_a_single_echo_elsewhere(make, scanned):
    other = make.dual_echo(series=8, echoes=(2.3,))
    for dataset in other:
        dataset.PixelSpacing = [3.0, 3.0]
    catalogue = scanned([*make.dual_echo(), *other])
    assert catalogue.volume(catalogue.roles["IN"]).series_number == 4 and not catalogue.problems


def test_rivals_for_a_role_are_named(make, scanned):
    catalogue = scanned([*make.t2(series=3), *make.t2(series=7)])
    (problem,) = catalogue.problems
    assert problem.code == "E_ROLE" and "2 volumes fit T2 (series 3 and 7)" in problem.message
    assert "T2" not in catalogue.roles


def test_every_rule_leaves_evidence_for_and_against(make, scanned):
    catalogue = scanned(make.liver())
    chosen = catalogue.volume(catalogue.roles["T2"]).evidence
    assert any(
        "echo time 60 to" in entry.rule and entry.value == "85 ms" and entry.outcome == "fits" for entry in chosen
    )
    other = catalogue.volume(catalogue.roles["IN"]).evidence
    assert any(entry.rule.startswith("T2:") and entry.outcome == "does not fit" for entry in other)


def test_diffusion_and_short_echoes_are_no_t2(make, scanned):
    diffusion, proton_density = make.t2(series=5), make.t2(series=6)
    for dataset in diffusion:
        dataset.ScanningSequence = ["EP", "SE"]
    for dataset in proton_density:
        dataset.EchoTime = 25.0
    catalogue = scanned([*make.t2(), *diffusion, *proton_density])
    assert catalogue.volume(catalogue.roles["T2"]).series_number == 3


def test_free_text_in_a_coded_value_is_not_passed_on(make, scanned):
    images = make.t2()
    for dataset in images:
        dataset.MRAcquisitionType = "NAME"
        dataset.ScanningSequence = ["SE", "NAME"]
        dataset.ComplexImageComponent = "NAME"
    assert "NAME" not in str(scanned(images).to_json()).upper().replace("FILENAME", "")


def dixon(make, series, kind, seconds=0, echo_ms=1.2):
    images = make.dynamic(first_series=series, delays_s=(seconds,))
    for dataset in images:
        dataset.ImageType, dataset.EchoTime = ["DERIVED", "PRIMARY", "DIXON", kind], echo_ms
    return images


def test_dixon_images_have_their_phase_by_what_the_scanner_says(make, scanned):
    """The echo time of a computed image is that of either echo."""
    kinds = ("WATER", "FAT", "IN_PHASE", "OUT_PHASE")
    images = [image for index, kind in enumerate(kinds) for image in dixon(make, 20 + index, kind)]
    catalogue = scanned([*make.t2(), *make.dynamic(), *images])
    assert catalogue.volume(catalogue.roles["IN"]).series_number == 22
    assert catalogue.volume(catalogue.roles["OUT"]).series_number == 23
    assert catalogue.ok


def test_a_dixon_dynamic_gives_phases_from_water_and_echoes_from_before_contrast(make, scanned):
    images = make.t2()
    for phase, delay in enumerate(make.delays_s):
        for index, kind in enumerate(("WATER", "FAT", "IN_PHASE", "OUT_PHASE")):
            images += dixon(make, 20 + 10 * index + phase, kind, delay)
    catalogue = scanned(images)
    numbers = {role: catalogue.volume(volume).series_number for role, volume in catalogue.roles.items()}
    assert numbers == {"T2": 3, "IN": 40, "OUT": 50} | {f"S{phase}": 20 + phase for phase in range(6)}
    assert not catalogue.problems


def test_one_volume_for_two_roles_leaves_both_open(make, tmp_path, scanned):
    path = tmp_path / "own.yaml"
    path.write_text(
        "{schema: mpmri-monai/protocol/1, name: own, sequences: [A, B],"
        " roles: {A: {scanning_sequence: SE}, B: {echo_time_ms: [80, 90]}}}"
    )
    catalogue = scanned(make.t2(), path)
    assert not catalogue.roles and [problem.code for problem in catalogue.problems] == ["E_ROLE"]
    assert [entry.role for entry in catalogue.unresolved] == ["A", "B"]


def test_a_short_echo_after_contrast_is_no_out_of_phase_image(make, scanned):
    """A hepatobiliary phase has another flip angle, so it is on its own, and its echo is out of phase by chance."""
    late = make.dynamic(first_series=30, delays_s=(1200,))
    for dataset in late:
        dataset.FlipAngle = 30.0
    catalogue = scanned([*make.t2(), *make.dynamic(), *late])
    assert not {"IN", "OUT"} & set(catalogue.roles) and "S5" in catalogue.roles


def test_a_pair_is_found_beside_several_echoes_for_fat_quantification(make, scanned):
    several = make.dual_echo(series=2, echoes=(1.1, 2.2, 3.3, 4.4, 5.5, 6.6))
    for dataset in several:
        dataset.MRAcquisitionType, dataset.FlipAngle, dataset.RepetitionTime = "3D", 4.0, 9.0
    catalogue = scanned([*several, *make.liver()])
    assert catalogue.ok and catalogue.volume(catalogue.roles["IN"]).series_number == 4


def test_dixon_images_from_before_contrast_are_taken(make, scanned):
    """The two kinds are made again in the delayed phase, or for a hepatobiliary one."""
    kinds = ("IN_PHASE", "OUT_PHASE")
    images = [
        i for n, kind in enumerate(kinds) for s in (0, 1200) for i in dixon(make, 20 + n + s // 100, kind, s - 40)
    ]
    catalogue = scanned([*make.t2(), *make.dynamic(), *images])
    assert catalogue.ok
    assert [catalogue.volume(catalogue.roles[role]).series_number for role in ("IN", "OUT")] == [20, 21]


def test_a_coronal_overview_is_no_rival_for_the_axial_t2(make, scanned):
    overview = make.t2(series=2)
    for k, dataset in enumerate(overview):
        dataset.ImageOrientationPatient, dataset.ImagePositionPatient = [1, 0, 0, 0, 0, -1], [-50, 6.0 * k, 60]
    catalogue = scanned([*overview, *make.liver()])
    assert catalogue.ok and catalogue.volume(catalogue.roles["T2"]).series_number == 3
