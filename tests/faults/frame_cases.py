"""Multi-frame files: enhanced MR, legacy converted, one file a phase."""

from __future__ import annotations

import functools

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import JPEG2000Lossless, RLELossless

from faults.builder import (
    CONTRAST_S,
    THIN,
    Grid,
    Study,
    Volume,
    clock,
    each,
    echoes,
    phases,
    private,
    t2,
    volume,
    volumes,
)
from faults.case import case
from faults.enhanced import by_slice, legacy_converted, multi_frame

frames = functools.partial(case, "Multi-frame files")
TIMES = each(*(clock(CONTRAST_S + delay) for delay in (-40, 16, 60)))


def _all(found: list[Volume]) -> list[Dataset]:
    return [image for member in found for image in member.images]


def _file(study: Study, *found: Volume, expected: bool = True, **options) -> Dataset:
    """Add volumes as one multi-frame file."""
    study.truths.extend(member.truth for member in found if expected)
    study.images.append(file := multi_frame(_all(list(found)), **options))
    return file


def _three(**tags) -> list[Volume]:
    return volumes(3, series=10, grid=THIN, **tags)


@frames()
def enhanced(study: Study) -> None:
    """One volume in one file."""
    _file(study, volume())


@frames()
def enhanced_with_a_slope_for_each_frame(study: Study) -> None:
    """RescaleSlope differs from frame to frame."""
    _file(study, volume(scale=[1.1 + 0.1 * k for k in range(8)]))


@frames()
def enhanced_without_shared_groups(study: Study) -> None:
    """Everything is written for each frame."""
    _file(study, volume(), shared=False)


@frames()
def enhanced_frames_shuffled(study: Study) -> None:
    """The frames do not follow the slices."""
    study.truths.append((stack := volume()).truth)
    study.images.append(multi_frame([stack.images[(3 * k) % 8] for k in range(8)]))


@frames()
def enhanced_phases(study: Study) -> None:
    """Three phases with TemporalPositionIndex, one after the other."""
    _file(study, *_three(TemporalPositionIdentifier=each(1, 2, 3), AcquisitionTime=TIMES))


@frames()
def enhanced_phases_by_slice(study: Study) -> None:
    """All phases of a slice before the next slice."""
    found = _three(TemporalPositionIdentifier=each(1, 2, 3), AcquisitionTime=TIMES)
    study.truths.extend(member.truth for member in found)
    study.images.append(multi_frame(by_slice([member.images for member in found])))


@frames()
def enhanced_temporal_position_constant(study: Study) -> None:
    """Canon: TemporalPositionIndex is 1 everywhere; FrameAcquisitionDateTime tells the phases."""
    _file(study, *_three(TemporalPositionIdentifier=1, AcquisitionTime=TIMES))


@frames()
def enhanced_phases_by_time_only(study: Study) -> None:
    """Only FrameAcquisitionDateTime tells the phases."""
    _file(study, *_three(AcquisitionTime=TIMES))


@frames()
def enhanced_phases_by_trigger_time(study: Study) -> None:
    """Only NominalCardiacTriggerDelayTime tells the phases."""
    _file(study, *_three(TriggerTime=each(0.0, 16000.0, 60000.0)))


@frames(warned="W_INORDER")
def enhanced_phases_that_nothing_tells_apart(study: Study) -> None:
    """Three frames at each position, and no attribute differs: only their order in the file is left."""
    _file(study, *_three())


@frames()
def enhanced_dual_echo(study: Study) -> None:
    """EffectiveEchoTime tells two echoes."""
    _file(study, *volumes(2, EchoTime=each(1.15, 2.3)))


@frames()
def enhanced_Dixon(study: Study) -> None:
    """FrameType tells water, fat, in phase and out of phase; ImageType is MIXED and the echo time 0."""
    kinds = each(*(["ORIGINAL", "PRIMARY", "DIXON", kind] for kind in ("WATER", "FAT", "IN_PHASE", "OUT_OF_PHASE")))
    _file(study, *volumes(4, ImageType=kinds, EchoTime=0.0))


@frames()
def enhanced_magnitude_and_phase(study: Study) -> None:
    """ComplexImageComponent of each frame."""
    _file(study, *volumes(2, ComplexImageComponent=each("MAGNITUDE", "PHASE")))


@frames()
def enhanced_b_values(study: Study) -> None:
    """DiffusionBValue of each frame."""
    _file(study, *volumes(3, DiffusionBValue=each(0.0, 400.0, 800.0)))


@frames()
def one_enhanced_file_for_each_phase(study: Study) -> None:
    """Siemens XA: one series, one file a time point."""
    for index, found in enumerate(_three(AcquisitionTime=TIMES, TemporalPositionIdentifier=1)):
        _file(study, found, instance=index + 1)


@frames()
def one_enhanced_series_for_each_phase(study: Study) -> None:
    """Siemens XA: one series a time point."""
    for found in phases((-40, 16, 60), ("one", "two", "three"), one_series=False):
        _file(study, found)


@frames(protocol="liver")
def enhanced_liver_study(study: Study) -> None:
    """All of a liver examination in three multi-frame files."""
    _file(study, t2())
    _file(study, *echoes())
    _file(study, *phases())


@frames(protocol="liver")
def enhanced_liver_phases_by_time_only(study: Study) -> None:
    """Six phases in one file, TemporalPositionIndex 1 everywhere, in no order."""
    study.add(t2(), *echoes())
    found = phases(TemporalPositionIdentifier=1)
    study.truths.extend(member.truth for member in found)
    images = _all(found)
    study.images.append(multi_frame([images[(7 * k) % len(images)] for k in range(len(images))]))


@frames()
def legacy_converted_file(study: Study) -> None:
    """A classic series that a PACS turned into one file, as highdicom writes it."""
    study.truths.append((stack := volume()).truth)
    study.images.append(legacy_converted(stack.images))


@frames()
def legacy_converted_phases(study: Study) -> None:
    """Three phases in one legacy converted file, told apart by unassigned attributes."""
    found = _three(TemporalPositionIdentifier=each(1, 2, 3), AcquisitionTime=TIMES)
    study.truths.extend(member.truth for member in found)
    study.images.append(legacy_converted(_all(found)))


@frames()
def enhanced_compressed(study: Study) -> None:
    """Frames in JPEG 2000."""
    file = _file(study, *volumes(3, grid=Grid(rows=40, columns=36), TemporalPositionIdentifier=each(1, 2, 3)))
    file.compress(JPEG2000Lossless, encoding_plugin="pylibjpeg")


@frames()
def enhanced_run_length_encoded(study: Study) -> None:
    """Frames in RLE, without an offset table."""
    file = _file(study, volume())
    file.compress(RLELossless, generate_instance_uid=False)


@frames(refused="E_MISSING")
def enhanced_frame_missing(study: Study) -> None:
    """One of eight frames was dropped."""
    stack = volume()
    study.images.append(multi_frame([*stack.images[:3], *stack.images[4:]]))


@frames(refused="E_INCOMPLETE")
def enhanced_frame_of_one_phase_missing(study: Study) -> None:
    """One frame of the second phase was dropped."""
    images = _all(_three(TemporalPositionIdentifier=each(1, 2, 3), AcquisitionTime=TIMES))
    study.images.append(multi_frame([*images[:11], *images[12:]]))


@frames(refused="E_NOGEOM")
def enhanced_without_positions(study: Study) -> None:
    """The frames have no plane position."""
    file = _file(study, volume(), expected=False)
    for item in file.PerFrameFunctionalGroupsSequence:
        del item.PlanePositionSequence


@frames(refused="E_HEADER")
def enhanced_with_fewer_groups_than_frames(study: Study) -> None:
    """NumberOfFrames is 8, and 7 frames are described."""
    file = _file(study, volume(), expected=False)
    file.PerFrameFunctionalGroupsSequence = file.PerFrameFunctionalGroupsSequence[:7]


@frames(refused="E_TRUNCATED")
def enhanced_with_fewer_pixels_than_frames(study: Study) -> None:
    """The pixels of the last frame are missing."""
    file = _file(study, volume(), expected=False)
    file.PixelData = file.PixelData[: -len(file.PixelData) // 8]


@frames(refused="E_LIMIT")
def enhanced_with_a_million_frames(study: Study) -> None:
    """NumberOfFrames says 1,000,000."""
    _file(study, volume(), expected=False).NumberOfFrames = 1_000_000


@frames()
def enhanced_two_stacks(study: Study) -> None:
    """Twelve axial and twelve sagittal frames in one file."""
    sagittal = Grid(slices=12, axes=(0, 1, 0, 0, 0, -1))
    _file(study, volume("axial", grid=Grid(slices=12)), volume("sagittal", index=1, grid=sagittal))


@frames()
def enhanced_field_map_beside_the_signal(study: Study) -> None:
    """Philips: magnitude and field map in one file, each with its own slope, intercept and FrameType."""
    magnitude = volume("magnitude", ImageType=["ORIGINAL", "PRIMARY", "T1", "NONE"], RescaleSlope=1, RescaleIntercept=0)
    field_map = volume("map", index=1, ImageType=["ORIGINAL", "PRIMARY", "T1", "FIELD_MAP"], scale=(0.25,))
    _file(study, magnitude, field_map, Manufacturer="Philips")


@frames()
def Philips_enhanced_with_private_copies(study: Study) -> None:
    """Philips keeps a private copy of the classic header with each frame, its positions half a voxel off."""
    file = _file(study, *_three(TemporalPositionIdentifier=each(1, 2, 3)), Manufacturer="Philips")
    for item in file.PerFrameFunctionalGroupsSequence:
        copy = Dataset()
        copy.ImagePositionPatient = (np.array(item.PlanePositionSequence[0].ImagePositionPatient) - 0.6).tolist()
        copy.TemporalPositionIdentifier, copy.ImageType = 1, ["ORIGINAL", "PRIMARY", "OTHER"]
        private(item, 0x2005, "Philips MR Imaging DD 005", 0x0F, "SQ", [copy])
