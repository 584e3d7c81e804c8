"""Volumes of one acquisition on one grid: in which order they were made, and which phase of a protocol each is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from mpmri_monai.catalogue.headers.clock import unwrapped
from mpmri_monai.catalogue.record import Caution, Evidence, VolumeRecord
from mpmri_monai.catalogue.series.axes import TEMPORAL

CLOCK_STEP_S = 1.0
"""A clock tells phases apart when they are at least this far from each other (s)."""
LONGEST_DYNAMIC_S = 6 * 3600.0
"""A clock that spreads one acquisition wider than this is wrong (s)."""
COSINE_TOLERANCE = 0.01
"""Two grids are parallel when no direction cosine differs by more."""
SPACING_TOLERANCE = 0.01
"""Two grids have equal pixels and slices when spacings differ by no more than this part."""
SAME_PLACE_VOXELS = 0.5
"""Two grids coincide when their corners are no farther apart than this (voxels)."""
ECHO_TOLERANCE_MS = 0.1
REPETITION_TOLERANCE = 0.05
FLIP_TOLERANCE_DEG = 0.5
"""Volumes of one acquisition agree in echo time (ms), repetition time (part) and flip angle (degrees)."""


@dataclass(frozen=True)
class Clock:
    """A kind of time stamp, as seconds of one volume."""

    name: str
    seconds: Callable[[VolumeRecord], float | None]


def _earliest(volume: VolumeRecord, attribute: str) -> float | None:
    values = [getattr(header, attribute) for header in volume.files]
    return None if None in values else min(unwrapped(values))


def _trigger(volume: VolumeRecord) -> float | None:
    """Trigger delay, which counts only when all slices share it: some scanners write the time of the slice there."""
    values = {header.trigger_time_ms for header in volume.files}
    value = values.pop()
    return None if values or value is None else value / 1000.0


def _since_start(volume: VolumeRecord) -> float | None:
    """Where all phases of a series carry the time at which it began: that time and the delay of the phase after it."""
    began, delay = acquired_s(volume), _trigger(volume)
    begins = {header.vendor_time for header in volume.files if header.manufacturer == "PHILIPS"}
    if delay is None and len(begins) == 1:
        delay = begins.pop()
    return None if began is None else began + (delay or 0.0)


def acquired_s(volume: VolumeRecord) -> float | None:
    """Return when the acquisition of a volume began, on the scanner's clock (s)."""
    return _earliest(volume, "acquisition_time_s")


def _content(volume: VolumeRecord) -> float | None:
    return _earliest(volume, "content_time_s")


def _series(volume: VolumeRecord) -> float | None:
    return _earliest(volume, "series_time_s")


CLOCKS = (
    Clock("TriggerTime", _trigger),
    Clock("AcquisitionTime", acquired_s),
    Clock("AcquisitionTime with the delay in the series", _since_start),
    Clock("ContentTime", _content),
    Clock("SeriesTime", _series),
)
"""In the order in which they are trusted; one clock orders all phases."""
ACQUISITION = CLOCKS[:3]
"""Clocks of the acquisition itself; the others may tell when images were computed."""


def same_plane_grid(one: VolumeRecord, other: VolumeRecord) -> bool:
    """Whether two volumes have parallel slices with equal pixels and spacing; they may begin at different slices."""
    if (one.rows, one.columns) != (other.rows, other.columns):
        return False
    orientation = np.subtract(one.files[0].orientation, other.files[0].orientation)
    spacing = np.divide(one.spacing_mm, other.spacing_mm)
    if np.abs(orientation).max() > COSINE_TOLERANCE or np.abs(spacing - 1).max() > SPACING_TOLERANCE:
        return False
    columns, rows, slices = np.linalg.solve(one.affine[:3, :3], other.affine[:3, 3] - one.affine[:3, 3])
    overlap = min(one.slices, other.slices + slices) - max(0.0, slices)
    in_plane = max(abs(columns), abs(rows)) <= SAME_PLACE_VOXELS
    return bool(in_plane and overlap > min(one.slices, other.slices) / 2)


def same_grid(one: VolumeRecord, other: VolumeRecord) -> bool:
    """Whether two volumes have the same voxels."""
    if one.slices != other.slices or not same_plane_grid(one, other):
        return False
    shift = np.linalg.solve(one.affine[:3, :3], other.affine[:3, 3] - one.affine[:3, 3])
    return bool(np.abs(shift).max() <= SAME_PLACE_VOXELS)


def _near(one: float | None, other: float | None, tolerance: float) -> bool:
    if one is None or other is None:
        return one is other
    return abs(one - other) <= tolerance


def same_excitation(one: VolumeRecord, other: VolumeRecord) -> bool:
    """Whether two volumes were excited alike; the repetition time may follow the echo time."""
    a, b = one.files[0], other.files[0]
    return a.acquisition_type == b.acquisition_type and _near(a.flip_angle_deg, b.flip_angle_deg, FLIP_TOLERANCE_DEG)


def same_acquisition(one: VolumeRecord, other: VolumeRecord) -> bool:
    """Whether two volumes show one slab by one pulse sequence, and so differ only in when they were made."""
    a, b = one.files[0], other.files[0]
    return (
        (one.component, a.image_kind) == (other.component, b.image_kind)
        and a.scanning_sequence == b.scanning_sequence
        and same_excitation(one, other)
        and a.b_value == b.b_value
        and _near(a.echo_time_ms, b.echo_time_ms, ECHO_TOLERANCE_MS)
        and _near(a.repetition_time_ms, b.repetition_time_ms, REPETITION_TOLERANCE * (a.repetition_time_ms or 0.0))
        and same_plane_grid(one, other)
    )


def families(volumes: Sequence[VolumeRecord]) -> list[list[VolumeRecord]]:
    """Put volumes of one acquisition together, over series; a family may have one member."""
    found: list[list[VolumeRecord]] = []
    for volume in volumes:
        home = next((family for family in found if same_acquisition(family[0], volume)), None)
        if home is None:
            found.append([volume])
        else:
            home.append(volume)
    return found


def in_time_order(family: Sequence[VolumeRecord]) -> list[VolumeRecord]:
    """Order volumes of one acquisition and give them their phase, time and evidence.

    One clock orders them all. Without a usable clock the volumes of each series keep the order of the axis that split
    it; what nothing orders keeps no phase, nor do volumes that the clocks of the acquisition order differently.
    """
    told = {clock.name: times for clock in ACQUISITION if (times := clock_times(family, clock)) is not None}
    if len({tuple(np.argsort(times)) for times in told.values()}) > 1:
        names = " and ".join(told)
        caution = Caution("W_CLOCKS", f"{names} order the phases differently; used neither")
        return [replace(volume, warnings=(*volume.warnings, caution)) for volume in family]
    for clock in CLOCKS:
        times = clock_times(family, clock)
        if times is not None:
            return _by_clock(family, clock, times)
    series: dict[str, list[VolumeRecord]] = {}
    for volume in family:
        series.setdefault(volume.files[0].series, []).append(volume)
    return [volume for own in series.values() for volume in _by_axis(own)]


def _by_clock(family: Sequence[VolumeRecord], clock: Clock, times: Sequence[float]) -> list[VolumeRecord]:
    order = sorted(range(len(family)), key=times.__getitem__)
    evidence = Evidence("phases in time order", clock.name, f"{len(family)} distinct times")
    cautions = () if _agrees(family, order) else (Caution("W_ORDER", _order_message(family, clock)),)
    return [
        replace(
            family[index],
            phase=phase,
            time_s=round(times[index] - times[order[0]], 3),
            evidence=(*family[index].evidence, evidence),
            warnings=(*family[index].warnings, *cautions),
        )
        for phase, index in enumerate(order)
    ]


def _by_axis(own: Sequence[VolumeRecord]) -> list[VolumeRecord]:
    if len(own) < 2 or not all(volume.split_by and volume.split_by[-1] in TEMPORAL for volume in own):
        return list(own)
    evidence = Evidence("phases in time order", own[0].split_by[-1], "no clock tells them apart")
    ordered = sorted(own, key=lambda volume: volume.split_order)
    return [replace(volume, phase=phase, evidence=(*volume.evidence, evidence)) for phase, volume in enumerate(ordered)]


def clock_times(family: Sequence[VolumeRecord], clock: Clock) -> list[float] | None:
    """Times of the volumes by ``clock`` (s); None unless they are all there, distinct and plausible."""
    series = [volume.files[0].series for volume in family]
    if clock.seconds is _trigger and len(set(series)) > 1:
        return None  # each series counts from its own start
    if clock.seconds is _since_start and len({*zip(series, map(acquired_s, family), strict=True)}) > len(set(series)):
        return None  # the delays are in the times of acquisition already
    values = [clock.seconds(volume) for volume in family]
    times = [value for value in values if value is not None]
    if len(times) < len(family):
        return None
    if clock.seconds is _trigger:
        if min(times) != 0:
            return None
    else:
        times = unwrapped(times)
    steps = np.diff(np.sort(times))
    usable = len(steps) > 0 and steps.min() >= CLOCK_STEP_S and steps.sum() <= LONGEST_DYNAMIC_S
    return times if usable else None


def _agrees(family: Sequence[VolumeRecord], order: Sequence[int]) -> bool:
    """Whether the order of a clock follows that of the splitting axes inside every series."""
    places: dict[str, list[tuple[float, ...]]] = {}
    for index in order:
        places.setdefault(family[index].files[0].series, []).append(family[index].split_order)
    return all(own == sorted(own) for own in places.values())


def _order_message(family: Sequence[VolumeRecord], clock: Clock) -> str:
    axis = next(volume.split_by[-1] for volume in family if volume.split_by)
    return f"{axis} and {clock.name} order the phases differently; used the latter"
