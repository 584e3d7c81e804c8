"""Several volumes in one series: which attribute tells them apart, and what may be wrong with it."""

from __future__ import annotations

import copy
import functools

import numpy as np

from faults.builder import (
    CONTRAST_S,
    DAY,
    START_S,
    THIN,
    Study,
    Volume,
    clock,
    each,
    private,
    volumes,
)
from faults.case import case

order = functools.partial(case, "Several volumes in one series")
contrast = functools.partial(case, "Echoes, components, diffusion")
TIMES = each(*(clock(CONTRAST_S + delay) for delay in (-40, 16, 60)))
REPEATED = {"InstanceNumber": lambda index, k: k + 1}
"""InstanceNumber starts again in every phase."""


AT_RANDOM = (np.random.default_rng(5).permutation(24) + 1).tolist()


def three(**tags) -> list[Volume]:
    """Three volumes of one series, with nothing but instance numbers to tell them apart."""
    return volumes(3, series=10, grid=THIN, **tags)


# -- which attribute ----------------------------------------------------------


@order()
def temporal_positions(study: Study) -> None:
    """Three phases, one after the other, with TemporalPositionIdentifier."""
    study.add(*three(TemporalPositionIdentifier=each(1, 2, 3)))


@order()
def temporal_positions_interleaved(study: Study) -> None:
    """InstanceNumber counts all phases of a slice before the next slice."""
    study.add(*three(TemporalPositionIdentifier=each(1, 2, 3), InstanceNumber=lambda index, k: 3 * k + index + 1))


@order()
def instance_numbers_repeat_in_each_phase(study: Study) -> None:
    """Each phase counts from 1 again."""
    study.add(*three(TemporalPositionIdentifier=each(1, 2, 3), **REPEATED))


@order()
def instance_numbers_at_random(study: Study) -> None:
    """Philips: InstanceNumber says nothing."""
    study.add(
        *three(TemporalPositionIdentifier=each(1, 2, 3), InstanceNumber=lambda index, k: AT_RANDOM[8 * index + k])
    )


@order()
def trigger_time_only(study: Study) -> None:
    """Philips: TriggerTime is the delay of the phase."""
    study.add(*three(TriggerTime=each(0, 16000, 60000), **REPEATED))


@order()
def acquisition_number_only(study: Study) -> None:
    """Siemens: AcquisitionNumber counts the phases."""
    study.add(*three(AcquisitionNumber=each(1, 2, 3), **REPEATED))


@order()
def acquisition_time_only(study: Study) -> None:
    """Only AcquisitionTime differs."""
    study.add(*three(AcquisitionTime=TIMES, **REPEATED))


@order()
def content_time_only(study: Study) -> None:
    """Only ContentTime differs."""
    study.add(*three(ContentTime=TIMES, **REPEATED))


@order()
def GE_raw_data_run_only(study: Study) -> None:
    """GE: equal EchoTime, EchoNumber and instance numbers; only (0019,10A2) counts the runs."""
    runs = three(EchoNumbers=1, Manufacturer="GE MEDICAL SYSTEMS", **REPEATED)
    for index, run in enumerate(runs):
        for image in run.images:
            private(image, 0x0019, "GEMS_ACQU_01", 0xA2, "SL", 400 + index)
    study.add(*runs)


@order()
def Philips_dynamic_start_only(study: Study) -> None:
    """Philips: (2005,10A0) holds the start of the dynamic."""
    dynamics = three(Manufacturer="Philips Medical Systems", **REPEATED)
    for start, dynamic in zip((0.0, 16.0, 60.0), dynamics, strict=True):
        for image in dynamic.images:
            private(image, 0x2005, "Philips MR Imaging DD 001", 0xA0, "FL", start)
    study.add(*dynamics)


@order()
def UIH_repetition_only(study: Study) -> None:
    """UIH: (0065,102C) counts the repetitions."""
    repetitions = three(Manufacturer="UIH", **REPEATED)
    for index, repetition in enumerate(repetitions):
        for image in repetition.images:
            private(image, 0x0065, "Image Private Header", 0x2C, "SL", index + 1)
    study.add(*repetitions)


@order(warned="W_INORDER")
def instance_number_only(study: Study) -> None:
    """Nothing but the order of InstanceNumber at each position."""
    study.add(*three())


@order(refused="E_AMBIG")
def instance_numbers_at_random_only(study: Study) -> None:
    """Nothing but instance numbers, and these are neither in sequence nor interleaved."""
    study.add(*three(InstanceNumber=lambda index, k: AT_RANDOM[8 * index + k]), expected=False)


@order(warned="W_INORDER")
def instance_numbers_interleaved_only(study: Study) -> None:
    """Nothing but instance numbers, which count all phases of a slice before the next slice."""
    study.add(*three(InstanceNumber=lambda index, k: 3 * k + index + 1))


@order(refused="E_AMBIG")
def nothing_at_all(study: Study) -> None:
    """Nothing tells the phases apart."""
    study.add(*three(**REPEATED), expected=False)


@order()
def acquisition_times_with_colons(study: Study) -> None:
    """Times written as 10:09:20, as before 1993."""
    times = each("10:09:20", "10:10:16", "10:11:00")
    study.add(*(found := three(**REPEATED)))
    for index, member in enumerate(found):
        for image in member.images:
            image.add_new("AcquisitionTime", "LO", times(index, 0))
            image["AcquisitionTime"].VR = "TM"


@order()
def acquisition_date_time_only(study: Study) -> None:
    """Siemens XA: only AcquisitionDateTime differs."""
    times = [f"{DAY}{clock(CONTRAST_S + delay)}" for delay in (-40, 16, 60)]
    study.add(*three(AcquisitionDateTime=each(*times), **REPEATED))


# -- wrong and constant attributes --------------------------------------------


@order()
def temporal_position_constant(study: Study) -> None:
    """Canon: TemporalPositionIdentifier is 1 everywhere; AcquisitionTime tells the phases."""
    study.add(*three(TemporalPositionIdentifier=1, AcquisitionTime=TIMES, Manufacturer="TOSHIBA", **REPEATED))


@order()
def one_temporal_position_wrong(study: Study) -> None:
    """One image of phase 2 says 3; AcquisitionTime tells the phases."""
    study.add(*(found := three(TemporalPositionIdentifier=each(1, 2, 3), AcquisitionTime=TIMES, **REPEATED)))
    found[1].images[4].TemporalPositionIdentifier = 3


@order()
def one_temporal_position_missing(study: Study) -> None:
    """One image lacks it."""
    study.add(*(found := three(TemporalPositionIdentifier=each(1, 2, 3), AcquisitionTime=TIMES, **REPEATED)))
    del found[1].images[4].TemporalPositionIdentifier


@order(refused="E_AXES")
def two_temporal_positions_exchanged(study: Study) -> None:
    """At one slice phases 2 and 3 carry each other's temporal position; AcquisitionTime says so."""
    study.add(
        *(found := three(TemporalPositionIdentifier=each(1, 2, 3), AcquisitionTime=TIMES, **REPEATED)), expected=False
    )
    found[1].images[4].TemporalPositionIdentifier, found[2].images[4].TemporalPositionIdentifier = 3, 2


@order()
def trigger_time_of_the_slice(study: Study) -> None:
    """TriggerTime varies from slice to slice, as in echo-planar imaging."""
    study.add(*three(TriggerTime=lambda index, k: 100 * k + index, AcquisitionTime=TIMES, **REPEATED))


@order()
def acquisition_time_jitters(study: Study) -> None:
    """AcquisitionTime differs by up to 0.2 s inside a phase."""
    times = (CONTRAST_S - 40, CONTRAST_S + 16, CONTRAST_S + 60)
    study.add(*three(AcquisitionTime=lambda index, k: clock(times[index] + 0.2 * (k % 2)), **REPEATED))


@order()
def acquisition_time_passes_the_minute(study: Study) -> None:
    """A phase from 10:59:59.8 to 11:00:00.6: as numbers 41 apart, as times less than a second."""
    times = (START_S + 3540, START_S + 3599.8, START_S + 3640)
    study.add(*three(AcquisitionTime=lambda index, k: clock(times[index] + 0.1 * k), **REPEATED))


@order()
def phases_pass_midnight(study: Study) -> None:
    """The second phase is made after midnight, and no date says so."""
    found = three(AcquisitionTime=each(clock(86340), clock(86400 + 16), clock(86400 + 60)), **REPEATED)
    for member in found:
        for image in member.images:
            del image.AcquisitionDate
    study.add(*found)


@order()
def acquisition_times_run_on(study: Study) -> None:
    """2D: every slice has its own AcquisitionTime, AcquisitionNumber counts the phases."""
    study.add(
        *three(
            AcquisitionNumber=each(1, 2, 3),
            AcquisitionTime=lambda index, k: clock(START_S + 40 * index + 5 * k),
            **REPEATED,
        )
    )


@order(refused="E_AMBIG")
def acquisition_times_run_on_alone(study: Study) -> None:
    """2D: every slice has its own AcquisitionTime, and nothing else tells the phases apart."""
    study.add(*three(AcquisitionTime=lambda index, k: clock(START_S + 3 * (3 * k + index)), **REPEATED), expected=False)


# -- lost and repeated images -------------------------------------------------


@order(refused="E_INCOMPLETE")
def a_slice_of_one_phase_missing(study: Study) -> None:
    """Seven positions hold three images, one holds two."""
    study.add(*(found := three(TemporalPositionIdentifier=each(1, 2, 3))), expected=False)
    study.images.remove(found[1].images[3])


@order(refused="E_MISSING")
def a_slice_of_every_phase_missing(study: Study) -> None:
    """The same position is lost from all phases."""
    study.add(*(found := three(TemporalPositionIdentifier=each(1, 2, 3))), expected=False)
    for member in found:
        study.images.remove(member.images[3])


@order(refused="E_INCOMPLETE")
def transfer_broke_off(study: Study) -> None:
    """The last three images never arrived."""
    study.add(*three(TemporalPositionIdentifier=each(1, 2, 3)), expected=False)
    del study.images[-3:]


@order(refused="E_INCOMPLETE")
def a_slice_lost_and_another_sent_twice(study: Study) -> None:
    """At one position phase 2 is lost and phase 1 is there twice: the counts are even, the phases are not."""
    study.add(*(found := three(TemporalPositionIdentifier=each(1, 2, 3), AcquisitionTime=TIMES)), expected=False)
    again = copy.deepcopy(found[0].images[3])
    again.SOPInstanceUID = again.file_meta.MediaStorageSOPInstanceUID = "2.25.4444"
    again.InstanceNumber = 99
    study.images.append(again)
    study.images.remove(found[1].images[3])


@order(warned="W_DUP")
def phases_sent_twice(study: Study) -> None:
    """Every image again under another SOPInstanceUID."""
    study.add(*three(TemporalPositionIdentifier=each(1, 2, 3)))
    for image in [image for member in three(TemporalPositionIdentifier=each(1, 2, 3)) for image in member.images]:
        image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID + "1"
        study.images.append(image)


# -- echoes, components, diffusion --------------------------------------------


@contrast()
def two_echoes(study: Study) -> None:
    """Dual echo in one series."""
    study.add(*volumes(2, EchoTime=each(1.15, 2.3), EchoNumbers=each(1, 2)))


@contrast()
def two_echoes_and_three_times(study: Study) -> None:
    """Each of three time points has two echoes."""
    echo = {"EchoTime": each(1.15, 2.3, 1.15, 2.3, 1.15, 2.3), "TemporalPositionIdentifier": each(1, 1, 2, 2, 3, 3)}
    study.add(*volumes(6, **echo, **REPEATED))


@contrast()
def GE_echoes_with_one_echo_time(study: Study) -> None:
    """GE: EchoTime is that of the shortest echo everywhere; EchoNumbers differ."""
    study.add(*volumes(3, EchoTime=1.15, EchoNumbers=each(1, 2, 3), Manufacturer="GE MEDICAL SYSTEMS", **REPEATED))


@contrast(refused="E_MIXED")
def two_echoes_that_each_lost_half(study: Study) -> None:
    """Of the first echo the even slices are left, of the second the odd ones: every position is there once."""
    study.add(*(found := volumes(2, EchoTime=each(1.15, 2.3), EchoNumbers=each(1, 2))), expected=False)
    study.images = found[0].images[::2] + found[1].images[1::2]


@contrast(refused="E_MIXED")
def a_phase_image_in_a_stack_of_magnitude(study: Study) -> None:
    """One image of eight says that it shows the phase of the signal."""
    study.add(stack := volumes(1, ComplexImageComponent="MAGNITUDE")[0], expected=False)
    stack.images[3].ComplexImageComponent = "PHASE"


@contrast()
def magnitude_and_phase(study: Study) -> None:
    """ComplexImageComponent tells magnitude from phase."""
    study.add(*volumes(2, ComplexImageComponent=each("MAGNITUDE", "PHASE"), **REPEATED))


@contrast()
def GE_real_and_imaginary(study: Study) -> None:
    """GE: (0043,102F) tells four components apart."""
    components = volumes(4, Manufacturer="GE MEDICAL SYSTEMS", **REPEATED)
    for code, component in enumerate(components):
        for image in component.images:
            private(image, 0x0043, "GEMS_PARM_01", 0x2F, "SS", code)
    study.add(*components)


@contrast()
def Siemens_magnitude_and_phase(study: Study) -> None:
    """Siemens: ImageType M and P."""
    kinds = each(["ORIGINAL", "PRIMARY", "M", "ND"], ["ORIGINAL", "PRIMARY", "P", "ND"])
    study.add(*volumes(2, ImageType=kinds, Manufacturer="SIEMENS", **REPEATED))


@contrast()
def Dixon_in_one_series(study: Study) -> None:
    """Philips: water, fat, in phase and out of phase in one series, by ImageType."""
    kinds = each(*(["ORIGINAL", "PRIMARY", kind, kind, kind] for kind in ("W", "F", "IP", "OP")))
    study.add(*volumes(4, ImageType=kinds, EchoTime=each(0, 0, 2.3, 1.15), Manufacturer="Philips", **REPEATED))


@contrast()
def Dixon_in_one_series_with_one_echo_time(study: Study) -> None:
    """UIH and Siemens: only ImageType tells water, fat, in phase and out of phase apart."""
    kinds = each(*(["DERIVED", "PRIMARY", "M", kind] for kind in ("WATER", "FAT", "IN_PHASE", "OPP_PHASE")))
    study.add(*volumes(4, ImageType=kinds, **REPEATED))


@contrast()
def b_values(study: Study) -> None:
    """DiffusionBValue tells three b-values apart."""
    study.add(*volumes(3, DiffusionBValue=each(0.0, 400.0, 800.0), ScanningSequence="EP", **REPEATED))


def _vendor_b_values(study: Study, maker: str, place: tuple[int, str, int, str], values: tuple) -> None:
    found = volumes(2, ScanningSequence="EP", Manufacturer=maker, **REPEATED)
    for value, member in zip(values, found, strict=True):
        for image in member.images:
            private(image, *place, value)
    study.add(*found)


@contrast()
def b_values_of_GE(study: Study) -> None:
    """GE: (0043,1039), with 1e9 added."""
    values = ([1000000050, 8, 0, 0], [1000000800, 8, 0, 0])
    _vendor_b_values(study, "GE MEDICAL SYSTEMS", (0x0043, "GEMS_PARM_01", 0x39, "IS"), values)


@contrast()
def b_values_of_Siemens(study: Study) -> None:
    """Siemens: (0019,100C)."""
    _vendor_b_values(study, "SIEMENS", (0x0019, "SIEMENS MR HEADER", 0x0C, "IS"), (50, 800))


@contrast()
def b_values_of_Philips(study: Study) -> None:
    """Philips: (2001,1003)."""
    _vendor_b_values(study, "Philips Medical Systems", (0x2001, "Philips Imaging DD 001", 0x03, "FL"), (50.0, 800.0))


@contrast()
def b_values_of_UIH(study: Study) -> None:
    """UIH: (0065,1009)."""
    _vendor_b_values(study, "UIH", (0x0065, "Image Private Header", 0x09, "FD"), (50.0, 800.0))
