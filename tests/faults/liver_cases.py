"""Whole liver examinations: clocks, phases and roles."""

from __future__ import annotations

import functools

from faults.builder import (
    CONTRAST_S,
    DAY,
    DELAYS_S,
    START_S,
    THIN,
    Grid,
    Study,
    clock,
    each,
    echoes,
    liver,
    phases,
    t2,
    volume,
)
from faults.case import case

clocks = functools.partial(case, "Liver phases and their clocks", protocol="liver")
roles = functools.partial(case, "Liver roles", protocol="liver")
NEXT_DAY = "20240103"


def _times(start_s: float, delays_s=DELAYS_S):
    return each(*(clock(start_s + delay) for delay in delays_s))


@clocks()
def six_phases_in_one_series(study: Study) -> None:
    """The whole examination, nothing wrong."""
    liver(study)


@clocks()
def six_phases_in_six_series(study: Study) -> None:
    """One series a phase."""
    liver(study, phases(one_series=False))


@clocks()
def six_series_numbered_backwards(study: Study) -> None:
    """Series numbers run against time."""
    found = phases(one_series=False)
    for index, phase in enumerate(found):
        for image in phase.images:
            image.SeriesNumber = 30 - index
    liver(study, found)


@clocks()
def midnight_with_dates(study: Study) -> None:
    """The arterial phases are made after midnight, and AcquisitionDate says so."""
    start = 86400.0 - 20
    dates = each(DAY, *[DAY if start + delay < 86400 else NEXT_DAY for delay in DELAYS_S[1:]])
    liver(study, phases(AcquisitionTime=_times(start), AcquisitionDate=dates, ContentTime=None))


@clocks()
def midnight_without_dates(study: Study) -> None:
    """The same, and no date at all."""
    start = 86400.0 - 20
    found = phases(one_series=False, AcquisitionTime=_times(start), ContentTime=_times(start))
    for phase in found:
        for image in phase.images:
            del image.AcquisitionDate, image.ContentDate
    liver(study, found)


@clocks()
def midnight_with_the_wrong_date(study: Study) -> None:
    """After midnight the date is still that of the day before."""
    start = 86400.0 - 20
    liver(study, phases(one_series=False, AcquisitionTime=_times(start), ContentTime=_times(start)))


@clocks()
def content_times_backwards(study: Study) -> None:
    """The phases were reconstructed in reverse; AcquisitionTime is right."""
    backwards = tuple(reversed(DELAYS_S))
    liver(study, phases(one_series=False, ContentTime=_times(CONTRAST_S + 900, backwards)))


@clocks()
def series_times_of_the_export(study: Study) -> None:
    """SeriesTime and ContentTime were rewritten by an export, all the same."""
    liver(study, phases(one_series=False, ContentTime="230000", SeriesTime="230000"))


@clocks()
def trigger_times_only(study: Study) -> None:
    """The only clock is TriggerTime, from 0."""
    starts = each(*(1000.0 * (delay - DELAYS_S[0]) for delay in DELAYS_S))
    liver(study, phases(TriggerTime=starts, AcquisitionTime=None, ContentTime=None, TemporalPositionIdentifier=None))


@clocks()
def trigger_time_of_the_slice_beside_a_clock(study: Study) -> None:
    """TriggerTime varies from slice to slice and must not order the phases."""
    liver(study, phases(TriggerTime=lambda index, k: 50.0 * k))


@clocks()
def content_times_only(study: Study) -> None:
    """The only clock is ContentTime."""
    liver(study, phases(AcquisitionTime=None))


@clocks(refused="E_PHASE", warned="W_CLOCKS")
def two_clocks_of_the_acquisition_disagree(study: Study) -> None:
    """TriggerTime and AcquisitionTime order the phases differently."""
    delays = each(*(1000.0 * (delay - DELAYS_S[0]) for delay in reversed(DELAYS_S)))
    liver(study, phases(TriggerTime=delays))
    study.truths = [truth for truth in study.truths if not truth.name.startswith("S")] + study.truths[-6:]


@clocks(warned="W_ORDER")
def temporal_positions_backwards(study: Study) -> None:
    """TemporalPositionIdentifier runs against AcquisitionTime, which counts."""
    liver(study, phases(TemporalPositionIdentifier=each(6, 5, 4, 3, 2, 1)))


@clocks(warned="W_PHASE_ORDER")
def no_clock_but_temporal_positions(study: Study) -> None:
    """GE: the clocks are those of the series; TemporalPositionIdentifier orders six phases."""
    liver(study, phases(AcquisitionTime=clock(CONTRAST_S), ContentTime=clock(CONTRAST_S)))


@clocks(refused="E_PHASE")
def no_clock_and_temporal_positions_backwards(study: Study) -> None:
    """TemporalPositionIdentifier counts backwards and no clock says so; the falling signal does."""
    tags = {"AcquisitionTime": clock(CONTRAST_S), "ContentTime": clock(CONTRAST_S)}
    liver(study, phases(TemporalPositionIdentifier=each(6, 5, 4, 3, 2, 1), **tags))


@clocks(refused="E_PHASE")
def clock_set_back_between_the_phases(study: Study) -> None:
    """The scanner's clock was set back by an hour after the plain phase."""
    times = each(*(clock(CONTRAST_S + delay - (3600 if delay > 0 else 0)) for delay in DELAYS_S))
    liver(study, phases(one_series=False, AcquisitionTime=times, ContentTime=times))


@clocks(refused="E_PHASE")
def only_a_clock_that_misleads(study: Study) -> None:
    """AcquisitionTime is the same everywhere; ContentTime is that of a reconstruction in reverse order."""
    backwards = _times(CONTRAST_S + 900, tuple(reversed(DELAYS_S)))
    liver(study, phases(one_series=False, AcquisitionTime=clock(CONTRAST_S), ContentTime=backwards))


@clocks(refused="E_PHASE")
def only_a_clock_that_misleads_with_even_steps(study: Study) -> None:
    """The same, where the steps of the reversed order would fit the protocol; only the signal contradicts."""
    found = phases(one_series=False, AcquisitionTime=clock(CONTRAST_S))
    times = [clock(CONTRAST_S + 900 + delay) for delay in DELAYS_S]
    for phase, time in zip(reversed(found), times, strict=True):
        for image in phase.images:
            image.ContentTime = time
    liver(study, found)


@clocks(refused="E_PHASE")
def no_clock_and_six_series(study: Study) -> None:
    """Six series with equal clocks: nothing says which came first."""
    liver(study, phases(one_series=False, AcquisitionTime=clock(CONTRAST_S), ContentTime=None))


@clocks(warned="W_INORDER W_PHASE_ORDER")
def no_clock_but_instance_numbers(study: Study) -> None:
    """Only InstanceNumber orders the phases."""
    liver(study, phases(AcquisitionTime=None, ContentTime=None, TemporalPositionIdentifier=None))


@clocks()
def contrast_start_in_the_header(study: Study) -> None:
    """ContrastBolusStartTime lies between the plain and the first arterial phase."""
    liver(study, phases(ContrastBolusAgent="Gd", ContrastBolusStartTime=clock(CONTRAST_S)))


@clocks()
def contrast_start_on_another_clock(study: Study) -> None:
    """After a de-identification ContrastBolusStartTime is thirteen hours away, and must not count."""
    liver(study, phases(ContrastBolusAgent="Gd", ContrastBolusStartTime=clock(CONTRAST_S + 13 * 3600)))


@clocks(refused="E_PHASE")
def delayed_phase_missing(study: Study) -> None:
    """Five phases; S5 was never made or never sent."""
    liver(study, phases(DELAYS_S[:5]))


@clocks(refused="E_PHASE")
def plain_phase_missing(study: Study) -> None:
    """Five phases, all after contrast."""
    liver(study, phases(DELAYS_S[1:], [f"S{index}" for index in range(1, 6)]))


@clocks(refused="E_PHASE")
def seven_phases(study: Study) -> None:
    """Two phases at 60 and 80 s: one is too many."""
    delays = (*DELAYS_S[:4], 80.0, *DELAYS_S[4:])
    liver(study, phases(delays, ["S0", "S1", "S2", "S3", "extra", "S4", "S5"]))


@clocks(refused="E_PHASE")
def phases_at_impossible_times(study: Study) -> None:
    """Six phases an hour apart."""
    liver(study, phases([-40.0 + 3600 * index for index in range(6)]))


@clocks(refused="E_SHORT")
def end_slice_of_one_phase_lost(study: Study) -> None:
    """Phases in six series; S3 lacks its last slice, which even spacing cannot show."""
    found = phases(one_series=False)
    liver(study, found)
    study.images.remove(found[3].images[-1])
    study.truths = [truth for truth in study.truths if truth.name != "S3"]
    study.truths.append(_shortened(found[3].truth))


@clocks(refused="E_SHORT")
def one_phase_moved_by_a_slice(study: Study) -> None:
    """The slab of S3 was placed one slice higher."""
    found = phases(one_series=False)
    higher = Grid(step_mm=THIN.step_mm, origin=(-50.0, -60.0, -30.0 + THIN.step_mm))
    tags = {"AcquisitionTime": clock(CONTRAST_S + 60), "ContentTime": clock(CONTRAST_S + 60), "AcquisitionNumber": 1}
    found[3] = volume("S3", 13, higher, 3, **tags)
    liver(study, found)


@clocks()
def subtractions_beside_the_phases(study: Study) -> None:
    """Derived subtractions and projections on the same grid are left out."""
    liver(study)
    for number, kind in ((20, "SUB"), (21, "PROJECTION IMAGE"), (22, "MPR")):
        study.add(volume(series=number, grid=THIN, ImageType=["DERIVED", "PRIMARY", kind]), expected=False)


def _shortened(truth):
    return type(truth)(truth.name, truth.signal[:-1], truth.affine)


# -- roles --------------------------------------------------------------------


@roles()
def echo_pair_at_3_T(study: Study) -> None:
    """1.15 ms is out of phase, 2.3 ms in phase."""
    liver(study)


@roles()
def echo_pair_at_1_5_T(study: Study) -> None:
    """At half the field 2.3 ms is out of phase and 4.6 ms in phase."""
    field = {"MagneticFieldStrength": 1.5, "ImagingFrequency": 63.87}
    pair = echoes((2.3, 4.6), **field)
    study.add(t2(**field), *pair, *phases(**field))


@roles()
def echo_pair_with_the_later_out_of_phase_echo(study: Study) -> None:
    """At 3 T 3.45 ms is out of phase again."""
    liver(study, pair=echoes((2.3, 3.45), ("IN", "OUT")))


@roles(refused="E_IPOP")
def echo_pair_of_two_out_of_phase_echoes(study: Study) -> None:
    """1.15 and 3.45 ms at 3 T are both out of phase."""
    liver(study, pair=echoes((1.15, 3.45), ("a", "b")))


@roles(refused="E_IPOP")
def echo_pair_of_1_5_T_said_to_be_of_3_T(study: Study) -> None:
    """2.3 and 4.6 ms would both be in phase at the field in the header."""
    liver(study, pair=echoes((2.3, 4.6), ("a", "b")))


@roles(refused="E_IPOP")
def echo_pair_without_field_strength(study: Study) -> None:
    """Neither frequency nor field strength: 2.3 ms may be either."""
    liver(study, pair=echoes((2.3, 4.6), ("a", "b"), ImagingFrequency=None, MagneticFieldStrength=None))
    for image in study.images:
        if image.SeriesNumber == 4:
            del image.ImagingFrequency, image.MagneticFieldStrength


@roles(refused="E_ROLE")
def two_T2_series(study: Study) -> None:
    """Two spin echoes fit T2: neither is chosen in silence."""
    liver(study)
    study.images = [image for image in study.images if image.SeriesNumber != 3]
    study.truths = [truth for truth in study.truths if truth.name != "T2"]
    study.add(t2(3, "first"), t2(5, "second", Grid(slices=6, step_mm=7.5)))


@roles(refused="E_ROLE")
def two_dynamic_acquisitions(study: Study) -> None:
    """Two dynamics on different grids."""
    study.add(t2(), *echoes(), *phases(names=[f"a{index}" for index in range(6)]))
    other = Grid(step_mm=3.0)
    times = [clock(CONTRAST_S + 900 + delay) for delay in DELAYS_S]
    for index, time in enumerate(times):
        tags = {"AcquisitionTime": time, "ContentTime": time, "TemporalPositionIdentifier": index + 1}
        study.add(volume(f"b{index}", 11, other, index, **tags))


@roles()
def diffusion_beside_the_T2(study: Study) -> None:
    """Echo-planar spin echoes have T2-like echo times and are not taken for T2."""
    liver(study)
    kinds = {"ScanningSequence": ["SE", "EP"], "MRAcquisitionType": "2D", "EchoTime": 70.0, "RepetitionTime": 5000.0}
    study.add(volume("diffusion", 7, Grid(step_mm=7.0), AcquisitionTime=clock(START_S + 300), **kinds))


@roles()
def cholangiography_beside_the_T2(study: Study) -> None:
    """A heavily T2-weighted cholangiogram is not taken for T2."""
    liver(study)
    study.add(t2(7, "cholangiogram", Grid(step_mm=1.5), EchoTime=740.0))


@roles()
def descriptions_that_lie(study: Study) -> None:
    """Descriptions name other sequences; physics decides."""
    liver(study)
    for image in study.images:
        image.SeriesDescription = {3: "Ax LAVA dynamic", 4: "T2 FRFSE", 10: "in phase"}[image.SeriesNumber]
