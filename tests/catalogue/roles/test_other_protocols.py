"""Brain and prostate studies: the same command, other data."""

import numpy as np
import pytest

from mpmri_monai.catalogue.roles.site_rules import SiteRules

MPRAGE = {
    "ScanningSequence": ["GR", "IR"],
    "MRAcquisitionType": "3D",
    "EchoTime": 2.3,
    "RepetitionTime": 2000.0,
    "InversionTime": 900.0,
    "FlipAngle": 9.0,
}
T2 = {"ScanningSequence": "SE", "EchoTime": 95.0, "RepetitionTime": 5000.0, "MRAcquisitionType": "2D"}
FLAIR = {"ScanningSequence": ["SE", "IR"], "EchoTime": 90.0, "RepetitionTime": 9000.0, "InversionTime": 2500.0}
DIFFUSION = {"ScanningSequence": "EP", "EchoTime": 60.0, "RepetitionTime": 3300.0}


def stack(make, series, seconds, brighter=0, agent=None, **tags):
    """One series of eight slices; a twelfth of the image is ``brighter`` percent brighter than tissue."""
    images = []
    generator = np.random.default_rng(series)
    for k in range(make.slices):
        one = make.image(series, k, AcquisitionTime=make.clock(36000 + seconds), **tags)
        if agent is not None:
            one.ContrastBolusAgent = agent
        pixels = generator.normal(1000, 10, (one.Rows, one.Columns))
        pixels[4:6, 3:8] *= 1 + brighter / 100
        one.PixelData = pixels.astype(np.uint16).tobytes()
        images.append(one)
    return images


def series_of(catalogue):
    return {role: catalogue.volume(volume).series_number for role, volume in catalogue.roles.items()}


def brain(make, **after):
    plain, late = stack(make, 2, 0, **MPRAGE), stack(make, 9, 900, **{"brighter": 80} | after, **MPRAGE)
    return [*plain, *stack(make, 3, 300, **T2), *stack(make, 4, 500, **FLAIR), *late]


def codes(catalogue):
    return {caution.code for volume in catalogue.volumes for caution in volume.warnings}


def test_a_brain_study(make, scanned):
    catalogue = scanned(brain(make, agent="Gadolinium"), "brain")
    assert series_of(catalogue) == {"T1": 2, "T1CE": 9, "T2": 3, "FLAIR": 4} and catalogue.ok
    assert not codes(catalogue)


@pytest.mark.parametrize("agent", [None, "NONE"])
def test_without_an_agent_in_the_headers_time_and_signal_tell_contrast(make, scanned, agent):
    catalogue = scanned(brain(make, agent=agent), "brain")
    assert series_of(catalogue)["T1CE"] == 9 and catalogue.ok and codes(catalogue) == {"W_CONTRAST"}


def test_two_t1_volumes_without_any_sign_of_contrast_stay_open(make, scanned):
    catalogue = scanned(brain(make, brighter=0), "brain")
    assert "T1" not in catalogue.roles and "T1CE" not in catalogue.roles
    assert [(entry.role, entry.series_numbers) for entry in catalogue.unresolved] == [("T1", (2, 9))]


def test_an_earlier_volume_that_is_brighter_is_no_plain_one(make, scanned):
    images = [*stack(make, 2, 0, brighter=80, **MPRAGE), *stack(make, 9, 900, **MPRAGE)]
    assert not scanned(images, "brain").roles


def test_angiography_and_perfusion_are_no_t1(make, scanned):
    angiography = {"ScanningSequence": "GR", "MRAcquisitionType": "3D", "EchoTime": 3.5, "RepetitionTime": 22.0}
    perfusion = {"ScanningSequence": "GR", "MRAcquisitionType": "3D", "EchoTime": 1.5, "RepetitionTime": 4.0}
    images = brain(make, agent="Gd") + stack(make, 20, 1000, **angiography)
    for point in range(6):
        images += stack(make, 30 + point, 1200 + 10 * point, agent="Gd", **perfusion)
    assert series_of(scanned(images, "brain")) == {"T1": 2, "T1CE": 9, "T2": 3, "FLAIR": 4}


def prostate(make, rise=(0, 0, 0, 50, 60, 50, 40, 30), step_s=30):
    images = stack(make, 2, 0, **T2)
    for number, b_value in enumerate((50.0, 800.0, 1400.0)):
        kinds = ["DERIVED", "PRIMARY", "DIFFUSION", "TRACEW"]
        images += stack(make, 5 + number, 100, DiffusionBValue=b_value, ImageType=kinds, **DIFFUSION)
    images += stack(make, 8, 100, ImageType=["DERIVED", "PRIMARY", "DIFFUSION", "ADC"], **DIFFUSION)
    dynamic = {"ScanningSequence": "GR", "MRAcquisitionType": "3D", "EchoTime": 1.4, "RepetitionTime": 4.0}
    for point, percent in enumerate(rise):
        images += stack(make, 20 + point, 300 + step_s * point, brighter=percent, **dynamic)
    return images


def test_a_prostate_study(make, scanned):
    catalogue = scanned(prostate(make), "prostate")
    # Contrast arrives between 60 and 90 s: before, 30, 60 and 120 s after.
    wanted = {"T2": 2, "ADC": 8, "HBV": 7, "DCE0": 22, "DCE1": 23, "DCE2": 24, "DCE3": 26}
    assert series_of(catalogue) == wanted and catalogue.ok
    (hbv,) = (decision for decision in catalogue.decisions if decision.role == "HBV")
    assert {rival.series_number for rival in hbv.rivals} >= {6}


def test_a_time_series_without_contrast_is_refused(make, scanned):
    catalogue = scanned(prostate(make, rise=(0,) * 8), "prostate")
    assert [problem.code for problem in catalogue.problems] == ["E_PHASE"]
    assert list(catalogue.roles) == ["T2", "ADC", "HBV"]
    assert {entry.role for entry in catalogue.unresolved} == {"DCE0", "DCE1", "DCE2", "DCE3"}


def test_a_time_series_that_ends_too_early_is_refused(make, scanned):
    catalogue = scanned(prostate(make, rise=(0, 0, 0, 0, 50, 60)), "prostate")
    assert "at the time of DCE3 (late)" in catalogue.problems[0].message


def test_sagittal_t2_is_no_rival(make, scanned):
    images = stack(make, 3, 50, ImageOrientationPatient=[0, 1, 0, 0, 0, -1], **T2)
    for k, dataset in enumerate(images):
        dataset.ImagePositionPatient = [3.0 * k, 0, 0]
    catalogue = scanned([*prostate(make), *images], "prostate")
    assert series_of(catalogue)["T2"] == 2 and not catalogue.problems
    assert "sagittal" in catalogue.decisions[0].rivals[0].why


@pytest.mark.parametrize("ge", [False, True])
def test_of_directions_and_their_trace_the_trace_is_the_high_b_value(make, scanned, ge):
    """Nothing but the order tells the single directions apart; GE says by a private code which image combines them."""
    images = []
    for index, code in enumerate((3, 4, 5, 15)):
        for k in range(make.slices):
            one = make.image(
                7, k, index, DiffusionBValue=1000.0, InstanceNumber=index * make.slices + k + 1, **DIFFUSION
            )
            if ge:
                one.private_block(0x0043, "GEMS_PARM_01", create=True).add_new(0x30, "SS", code)
            elif code == 15:
                one.ImageType = ["ORIGINAL", "PRIMARY", "DIFFUSION", "TRACEW"]
            images.append(one)
    catalogue = scanned(images, "prostate")
    chosen = catalogue.volume(catalogue.roles["HBV"])
    assert chosen.files[0].instance_number > 3 * make.slices and not catalogue.problems


def test_a_single_t1_that_names_no_agent_is_taken_as_plain_and_said_to_be(scanned, make):
    tags = {"ScanningSequence": "GR", "MRAcquisitionType": "3D", "EchoTime": 2.3, "RepetitionTime": 8.0}
    catalogue = scanned([make.image(2, k, **tags) for k in range(6)], "brain")
    assert series_of(catalogue) == {"T1": 2} and codes(catalogue) == {"W_CONTRAST"}


def test_a_plain_volume_that_is_fixed_does_not_change_the_others(make, scanned):
    images = prostate(make, rise=(0, 0, 0, 30, 50, 55, 60, 60, 60, 55, 55, 50), step_s=15)
    free = scanned(images, "prostate")
    content = {"schema": "mpmri-monai/site-rules/1", "volumes": {free.roles["DCE0"]: "DCE0"}}
    fixed = scanned(images, "prostate", site_rules=SiteRules.model_validate(content))
    assert free.ok and fixed.roles == free.roles
