import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpmri_monai.catalogue.roles.protocol import protocol
from mpmri_monai.catalogue.roles.site_rules import SiteRules
from mpmri_monai.catalogue.series.timing import contrast_start, match, nearest

LIVER = protocol("liver").dynamic.phases
PROSTATE = protocol("prostate").dynamic.phases


def family(catalogue):
    return sorted(catalogue.volumes, key=lambda volume: volume.phase)


def with_start(make, seconds, **options):
    images = make.dynamic(**options)
    for dataset in images:
        dataset.AcquisitionDate = "20240102"
        dataset.ContrastBolusStartTime = make.clock(seconds)
    return images


def cautions(catalogue):
    return {caution.code for volume in catalogue.volumes for caution in volume.warnings}


@pytest.mark.parametrize(
    ("after_injection", "believed"), [(0, True), (10, True), (-41, False), (20, False), (3600, False)]
)
def test_the_headers_start_of_contrast_is_believed_between_the_first_two_phases(
    make, scanned, after_injection, believed
):
    catalogue = scanned(with_start(make, 10 * 3600 + 600 + after_injection))
    start = contrast_start(family(catalogue))
    assert start == (40 + after_injection if believed else None)
    assert len(catalogue.roles) == 6 and not catalogue.problems


def test_a_start_far_from_the_first_phase_is_not_believed(make, scanned):
    catalogue = scanned(with_start(make, 10 * 3600 + 600, delays_s=(-1000, 16, 26, 60, 180, 300)))
    assert contrast_start(family(catalogue)) is None


def test_the_start_is_part_of_the_evidence(make, scanned):
    catalogue = scanned(with_start(make, 10 * 3600 + 600))
    values = {decision.role: decision.value for decision in catalogue.decisions}
    assert values["S1"] == "+16 s after the start of contrast in the header"


def test_a_start_that_no_assignment_fits_is_replaced_with_a_caution(make, scanned):
    catalogue = scanned(with_start(make, 10 * 3600 + 600 - 35))
    assert len(catalogue.roles) == 6 and cautions(catalogue) == {"W_START"}


def test_start_and_phases_on_two_sides_of_midnight(make, scanned):
    images = with_start(make, 86400 - 10, start_s=86400 - 10)
    catalogue = scanned(images)
    assert contrast_start(family(catalogue)) == 40 and len(catalogue.roles) == 6


def test_a_known_start_decides_which_phase_is_missing():
    times = [0.0, 56.0, 100.0, 220.0, 340.0]  # plain, then 16, 60, 180 and 300 s after a start at 40 s
    found = match(times, LIVER, start_s=40.0)
    assert [phase.sequence for phase in found.phases] == ["S0", "S1", "S3", "S4", "S5"] and found.start_s == 40
    assert len(match(times, LIVER, start_s=-5.0).phases) < 5


@given(arrival=st.floats(12, 60), step=st.floats(2, 10))
def test_time_points_of_a_series_are_the_nearest_to_their_delays(arrival, step):
    times = [step * index for index in range(round(260 / step))]
    chosen = nearest(times, PROSTATE, arrival)
    assert times[chosen["DCE0"]] <= arrival < times[chosen["DCE0"] + 1]
    for phase in PROSTATE[1:]:
        assert abs(times[chosen[phase.sequence]] - arrival - phase.delay_s) <= step / 2 + 1e-9


def test_a_phase_without_a_volume_in_its_window_is_left_out():
    assert nearest([0, 50, 75], PROSTATE, 40.0) == {"DCE0": 0, "DCE1": 2}


def test_a_phase_that_may_be_missing_is_the_one_that_is_missing(make, scanned):
    """One arterial phase at 20 s is nearly as near to the early one; but only that one may be absent."""
    rules = SiteRules.model_validate({"schema": "mpmri-monai/site-rules/1", "phases": {"allow_missing": ["S1"]}})
    catalogue = scanned(make.dynamic(delays_s=(-40, 20, 60, 180, 300)), site_rules=rules)
    assert list(catalogue.roles) == ["S0", "S2", "S3", "S4", "S5"] and not catalogue.problems


def test_phases_among_many_time_points_begin_where_the_signal_rises(make, scanned):
    """The delays alone would fit an earlier start better, and call a volume without contrast arterial."""
    rules = SiteRules.model_validate({"schema": "mpmri-monai/site-rules/1", "phases": {"allow_extra": True}})
    delays = (-40, *range(-32, 80, 4), 140, 300)
    images = make.dynamic(delays_s=delays)
    for index, dataset in enumerate(images):
        ramp = np.full((dataset.Rows, dataset.Columns), 100, np.uint16)
        ramp[: dataset.Rows // 2] += 100 if delays[index // make.slices] >= 14 else 0
        dataset.PixelData = ramp.tobytes()
    catalogue = scanned(images, site_rules=rules)
    assert catalogue.volume(catalogue.roles["S1"]).time_s == 56


def test_many_volumes_are_matched_quickly():
    times = [0.0, *(40.0 + 3 * index for index in range(80))]
    assert len(match(times, LIVER).phases) == 6
