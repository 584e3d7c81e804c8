import numpy as np
import pytest

from mpmri_monai.catalogue.roles.enhancement import Curve, signal_curve

ENHANCED = (0, 10, 60, 50, 30, 25)
"""Signal of vessels above that of tissue (percent of tissue) from S0 to S5."""


def dynamic(make, rise, **options):
    """A dynamic acquisition whose vessels, a twelfth of the image, have ``rise`` percent more signal in each phase."""
    images = make.dynamic(**options)
    generator = np.random.default_rng(0)
    phases = sorted({dataset.SOPInstanceUID[-6:-3] for dataset in images})
    for dataset in images:
        pixels = generator.normal(1000, 10, (dataset.Rows, dataset.Columns))
        pixels[4:6, 3:8] *= 1 + rise[phases.index(dataset.SOPInstanceUID[-6:-3])] / 100
        dataset.PixelData = pixels.astype(np.uint16).tobytes()
    return images


def cautions(catalogue):
    return {caution.code for volume in catalogue.volumes for caution in volume.warnings}


def test_the_curve_follows_the_vessels(make, scanned):
    catalogue = scanned(dynamic(make, ENHANCED))
    curve = signal_curve([catalogue.volume(catalogue.roles[f"S{phase}"]) for phase in range(6)])
    relative = np.array(curve.levels) / curve.levels[0] - 1
    assert relative == pytest.approx(np.array(ENHANCED) / 100, abs=0.03)
    assert curve.rises and curve.begins_low and not cautions(catalogue)


def test_noise_is_no_contrast(make, scanned):
    catalogue = scanned(dynamic(make, (0,) * 6))
    assert cautions(catalogue) == {"W_RISE"} and len(catalogue.roles) == 6


def test_a_plain_phase_with_contrast_is_noted(make, scanned):
    assert cautions(scanned(dynamic(make, (60, 50, 40, 30, 20, 0)))) == {"W_RISE"}


def test_contrast_after_the_portal_phase_is_noted(make, scanned):
    assert cautions(scanned(dynamic(make, (0, 0, 0, 0, 50, 40)))) == {"W_RISE"}


def without_clock(images):
    for dataset in images:
        dataset.AcquisitionTime = dataset.ContentTime = "101500"
    return images


def test_an_assumed_order_is_refused_when_the_signal_speaks_against_it(make, scanned):
    assert cautions(scanned(without_clock(dynamic(make, ENHANCED)))) == {"W_PHASE_ORDER"}
    catalogue = scanned(without_clock(dynamic(make, ENHANCED[::-1])))
    (problem,) = catalogue.problems
    assert problem.code == "E_PHASE" and "not lowest in S0" in problem.message and not catalogue.roles
    assert [entry.role for entry in catalogue.unresolved] == [f"S{phase}" for phase in range(6)]


def test_pixels_that_cannot_be_read_leave_no_curve(make, tmp_path, scanned):
    catalogue = scanned(dynamic(make, ENHANCED))
    for path in (tmp_path / "study").iterdir():
        path.unlink()
    assert signal_curve(catalogue.volumes) is None


def test_arrival_lies_between_the_last_phase_without_and_the_first_with_contrast():
    curve = Curve((1.0, 1.01, 1.5, 2.0))
    assert curve.arrival == 2
    assert 10 < curve.arrival_s((0, 10, 20, 30)) < 20


def test_a_first_volume_before_the_steady_state_is_no_arrival():
    curve = Curve((1.13, 1.0, 1.0, 1.5, 2.0, 1.8))
    assert curve.begins_low and curve.arrival == 3
    assert 20 < curve.arrival_s([0, 10, 20, 30, 40, 50]) < 30
