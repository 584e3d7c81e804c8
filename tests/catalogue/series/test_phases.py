import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpmri_monai.catalogue.roles.protocol import protocol
from mpmri_monai.catalogue.series.timing import match

LIVER_PHASES = protocol("liver").dynamic.phases

NAMES = [phase.sequence for phase in LIVER_PHASES]
DELAYS = [-30.0, 16.0, 26.0, 60.0, 180.0, 300.0]


def problem(catalogue):
    (found,) = catalogue.problems
    return found.code, found.message


def named(found):
    return {phase.sequence: index for phase, index in zip(found.phases, found.volumes, strict=True)}


@given(start=st.floats(-1e5, 1e5), jitter=st.lists(st.floats(-2, 2), min_size=6, max_size=6))
def test_six_phases_keep_their_names_whatever_the_start_and_a_little_jitter(start, jitter):
    found = match([start + delay + own for delay, own in zip(DELAYS, jitter, strict=True)], LIVER_PHASES)
    assert named(found) == {name: index for index, name in enumerate(NAMES)}
    assert abs(found.start_s - start) <= 5


@given(missing=st.integers(0, 5), start=st.floats(-1e4, 1e4))
def test_five_phases_name_the_one_that_is_missing(missing, start):
    found = match([start + delay for index, delay in enumerate(DELAYS) if index != missing], LIVER_PHASES)
    assert [phase.sequence for phase in found.phases] == NAMES[:missing] + NAMES[missing + 1 :]


def test_times_that_fit_no_start_are_refused():
    assert len(match([0, 5, 10, 15, 20, 25], LIVER_PHASES).phases) == 3
    assert len(match([float(step) for step in range(40)], LIVER_PHASES).phases) == 3


def test_five_phases_are_refused_and_the_missing_one_named(make, scanned):
    catalogue = scanned(make.dynamic(delays_s=make.delays_s[:5]))
    code, message = problem(catalogue)
    assert code == "E_PHASE" and "found 5 phases at 0, 56, 66, 100, 220 s" in message
    assert "S5 (delayed) is missing" in message
    assert not catalogue.roles


def test_seven_phases_are_refused_and_the_extra_one_named(make, scanned):
    catalogue = scanned(make.dynamic(delays_s=(-40, 16, 26, 60, 85, 180, 300)))
    code, message = problem(catalogue)
    assert code == "E_PHASE" and "found 7 phases" in message and "the one at 125 s is too many" in message


def test_six_phases_at_impossible_times_are_refused(make, scanned):
    code, message = problem(scanned(make.dynamic(delays_s=(0, 5, 10, 15, 20, 25))))
    assert code == "E_PHASE" and "do not fit" in message


def test_phases_over_midnight(make, scanned):
    catalogue = scanned(make.dynamic(one_series=False, start_s=86400 - 30))
    assert [catalogue.volume(catalogue.roles[name]).series_number for name in NAMES] == list(range(10, 16))


def test_six_phases_without_a_clock_keep_the_order_of_their_tag_with_a_warning(make, scanned):
    images = make.dynamic()
    for dataset in images:
        dataset.AcquisitionTime = dataset.ContentTime = "101500"
    catalogue = scanned(images)
    assert list(catalogue.roles) == NAMES and not catalogue.problems
    volume = catalogue.volume(catalogue.roles["S4"])
    assert (volume.phase, volume.time_s) == (4, None)
    assert [caution.code for caution in volume.warnings] == ["W_PHASE_ORDER"]


def test_six_series_without_a_clock_are_refused(make, scanned):
    images = make.dynamic(one_series=False)
    for dataset in images:
        dataset.AcquisitionTime = dataset.ContentTime = "101500"
    code, message = problem(scanned(images))
    assert code == "E_PHASE" and "without a usable clock" in message


def test_trigger_time_is_the_clock_when_it_starts_at_zero(make, scanned):
    images = make.dynamic()
    for dataset in images:
        phase = dataset.TemporalPositionIdentifier - 1
        dataset.TriggerTime = 1000.0 * (make.delays_s[phase] - make.delays_s[0])
        del dataset.AcquisitionTime, dataset.ContentTime
    volume = (catalogue := scanned(images)).volume(catalogue.roles["S3"])
    assert volume.time_s == 100
    assert any(entry.value == "TriggerTime" for entry in volume.evidence)


def test_clocks_of_the_acquisition_that_disagree_are_not_used(make, scanned):
    images = make.dynamic()
    for dataset in images:
        dataset.TriggerTime = 1000.0 * (0, 300, 30, 60, 90, 180)[dataset.TemporalPositionIdentifier - 1]
    catalogue = scanned(images)
    assert problem(catalogue)[0] == "E_PHASE" and not catalogue.roles
    assert {caution.code for volume in catalogue.volumes for caution in volume.warnings} == {"W_CLOCKS"}


def test_clocks_are_not_mixed(make, scanned):
    """With AcquisitionTime missing from one phase, all phases are ordered by the next clock."""
    images = make.dynamic(one_series=False)
    for dataset in images:
        if dataset.SeriesNumber == 12:
            del dataset.AcquisitionTime
    catalogue = scanned(images)
    values = {entry.value for volume in catalogue.volumes for entry in volume.evidence if "time order" in entry.rule}
    assert values == {"ContentTime"}


def test_two_dynamic_acquisitions_are_rivals(make, scanned):
    other = make.dynamic(first_series=30)
    for dataset in other:
        dataset.PixelSpacing = [1.0, 1.0]
    code, message = problem(scanned([*make.dynamic(), *other]))
    assert code == "E_ROLE" and "series 10 and 30" in message


@pytest.mark.parametrize("philips", [False, True])
def test_phases_whose_series_carry_only_the_time_of_their_start(make, scanned, philips):
    """Plain and delayed images in series of their own; the others count in theirs, at Philips privately."""
    images = []
    for series, start, delays in ((8, -40, (0,)), (9, 16, (0, 10, 44, 164)), (12, 300, (0,))):
        for index, delay in enumerate(delays):
            own = make.dynamic(first_series=series, delays_s=(start,))
            for dataset in own:
                dataset.SOPInstanceUID += f".{index + 1}"
                dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
                dataset.TemporalPositionIdentifier = index + 1
                dataset.PixelData = bytes(value ^ index for value in dataset.PixelData)
                if philips:
                    dataset.Manufacturer = "Philips"
                    block = dataset.private_block(0x2005, "Philips MR Imaging DD 001", create=True)
                    block.add_new(0xA0, "FL", float(delay))
                else:
                    dataset.TriggerTime = 1000.0 * delay
            images += own
    catalogue = scanned(images)
    found = [catalogue.volume(catalogue.roles[f"S{phase}"]) for phase in range(6)]
    assert [volume.time_s for volume in found] == [0, 56, 66, 100, 220, 340]
    assert [volume.series_number for volume in found] == [8, 9, 9, 9, 9, 12]


def test_trigger_times_of_several_series_are_no_clock(make, scanned):
    """Each counts from the start of its own series."""
    images = make.dynamic(one_series=False)
    for dataset in images:
        dataset.TriggerTime = 500.0 * (dataset.SeriesNumber - 10) ** 2
    catalogue = scanned(images)
    assert catalogue.volume(catalogue.roles["S5"]).time_s == 340
