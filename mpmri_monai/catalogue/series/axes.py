"""The axes along which a series may hold several images at one slice position, and the test that accepts one.

An axis splits a group of images when every part holds every slice position exactly once (it is *bijective*). A tag
that is wrong, constant or varies from slice to slice fails the test, so the order of the axes is safe.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

from mpmri_monai.catalogue.headers.clock import unwrapped
from mpmri_monai.catalogue.headers.header import FileHeader

MAX_DEPTH = 3
"""How many axes may split one series together, as component, echo and time do (count)."""
CLUSTER_GAP_S = 1.0
"""Images of one phase may differ this much in their time stamps (s)."""

Labels = list[float]
"""The place of each image along an axis; equal places belong to one volume."""


@dataclass(frozen=True)
class Axis:
    """A named way to tell apart images at one slice position."""

    name: str
    """Keyword of the DICOM attribute; "VendorDynamic" for the vendors' private ones (``vendors.dynamic``)."""
    labels: Callable[[Sequence[FileHeader]], Labels | None]
    """One place for each image, or None when the attribute is absent from any of them."""
    temporal: bool = False


@dataclass(frozen=True)
class Part:
    """Images of one volume, with the axes that told them from the others and their place along each."""

    members: tuple[int, ...]
    axes: tuple[str, ...] = ()
    places: tuple[float, ...] = ()


@dataclass(frozen=True)
class Split:
    """How a group of images falls into volumes, and pairs of axes (used, other) that disagree about it."""

    parts: tuple[Part, ...]
    disagreements: tuple[tuple[str, str], ...] = ()


def _number(headers: Sequence[FileHeader], attribute: str) -> Labels | None:
    values = [getattr(header, attribute) for header in headers]
    return None if None in values else values


def _component(headers: Sequence[FileHeader]) -> Labels | None:
    names = sorted({header.component for header in headers}, key=lambda name: (name != "magnitude", name))
    return [float(names.index(header.component)) for header in headers]


def _image_type(headers: Sequence[FileHeader]) -> Labels | None:
    """Number the kinds of images: plain signal first, then by kind and by the values of ImageType."""
    types = [(header.image_kind, header.image_type[2:]) for header in headers]
    ranks = {value: float(rank) for rank, value in enumerate(sorted(set(types)))}
    return [ranks[value] for value in types]


def _trigger(headers: Sequence[FileHeader]) -> Labels | None:
    """Trigger times, except in GE's echo-planar images, where they are the times of the slices."""
    if any(header.manufacturer == "GE" and "EP" in header.scanning_sequence for header in headers):
        return None
    return _number(headers, "trigger_time_ms")


def _clustered_time(headers: Sequence[FileHeader], attribute: str) -> Labels | None:
    """Number the clusters of time stamps; a new one begins after a gap above CLUSTER_GAP_S."""
    values = _number(headers, attribute)
    if values is None:
        return None
    seconds = unwrapped(values)
    places, cluster, last = {}, -1, float("-inf")
    for value in sorted(set(seconds)):
        cluster += value - last > CLUSTER_GAP_S
        places[value], last = float(cluster), value
    return [places[value] for value in seconds]


def instance_rank(headers: Sequence[FileHeader], slots: Sequence[int]) -> Labels | None:
    """Rank of each image's InstanceNumber at its slice position; None when one is absent or repeated there."""
    at_slot: dict[int, list[int]] = {}
    for header, slot in zip(headers, slots, strict=True):
        if header.instance_number is None:
            return None
        at_slot.setdefault(slot, []).append(header.instance_number)
    if any(len(set(numbers)) < len(numbers) for numbers in at_slot.values()):
        return None
    ranks = {slot: sorted(numbers) for slot, numbers in at_slot.items()}
    return [
        float(ranks[slot].index(header.instance_number))  # type: ignore[arg-type]
        for header, slot in zip(headers, slots, strict=True)
    ]


AXES = (
    Axis("ComplexImageComponent", _component),
    Axis("ImageType", _image_type),
    Axis("EchoTime", partial(_number, attribute="echo_time_ms")),
    Axis("EchoNumbers", partial(_number, attribute="echo_number")),
    Axis("DiffusionBValue", partial(_number, attribute="b_value")),
    Axis("FlipAngle", partial(_number, attribute="flip_angle_deg")),
    Axis("InversionTime", partial(_number, attribute="inversion_time_ms")),
    Axis("TemporalPositionIdentifier", partial(_number, attribute="temporal_position"), temporal=True),
    Axis("VendorDynamic", partial(_number, attribute="vendor_time"), temporal=True),
    Axis("TriggerTime", _trigger, temporal=True),
    Axis("AcquisitionNumber", partial(_number, attribute="acquisition_number"), temporal=True),
    Axis("AcquisitionTime", partial(_clustered_time, attribute="acquisition_time_s"), temporal=True),
    Axis("ContentTime", partial(_clustered_time, attribute="content_time_s"), temporal=True),
)
"""In the order in which they are tried."""
INSTANCE_NUMBER = "InstanceNumber"
"""Last resort: the order of the images at each position. Always fits, so it is no evidence by itself."""
TEMPORAL = {INSTANCE_NUMBER, *(axis.name for axis in AXES if axis.temporal)}
"""Axes along which volumes follow one another in time."""


def split(headers: Sequence[FileHeader], slots: Sequence[int], axes: Sequence[Axis] = AXES) -> Split | None:
    """Split images into volumes that hold every slice position once.

    Args:
        headers: the images of one series on one grid.
        slots: index of each image's slice position, 0 to n - 1.
        axes: tried in this order.

    Returns:
        One part when no position is taken twice; None when no axis, nor two together, fit.
    """
    return _divide(tuple(range(len(headers))), headers, slots, axes, MAX_DEPTH)


def split_by_rank(headers: Sequence[FileHeader], slots: Sequence[int]) -> Split | None:
    """Split by the order of InstanceNumber at each position; None when that does not fit either.

    It may order repetitions of one measurement only: a part that mixed echo times or b-values would be no image. And
    scanners count volume after volume, or all images of a position before those of the next: numbers that do neither
    are random, or an image was lost and another one doubled, and their order would mix volumes.
    """
    places = instance_rank(headers, slots)
    if places is None or not (_counted_by(headers, places) or _counted_by(headers, slots)):
        return None
    parts = _parts(tuple(range(len(headers))), places, INSTANCE_NUMBER)
    alike = all(len({_measured(headers[member]) for member in part.members}) == 1 for part in parts)
    return Split(parts) if alike and _bijective(parts, slots) else None


def _counted_by(headers: Sequence[FileHeader], labels: Sequence[float]) -> bool:
    """Whether InstanceNumber counts all images with one label before those with another."""
    numbers: dict[float, list[int]] = {}
    for header, label in zip(headers, labels, strict=True):
        numbers.setdefault(label, []).append(header.instance_number or 0)
    ranges = sorted((min(own), max(own)) for own in numbers.values())
    return all(before[1] < after[0] for before, after in pairwise(ranges))


def _measured(header: FileHeader) -> tuple[str | float | None, ...]:
    """What an image shows, whenever it was made."""
    kind = header.component, header.image_kind
    return *kind, header.echo_time_ms, header.b_value, header.flip_angle_deg, header.inversion_time_ms


def _divide(
    members: tuple[int, ...], headers: Sequence[FileHeader], slots: Sequence[int], axes: Sequence[Axis], depth: int
) -> Split | None:
    if _bijective((Part(members),), slots):
        return Split((Part(members),))
    if depth == 0:
        return None
    candidates = []
    for axis in axes:
        places = axis.labels([headers[member] for member in members])
        if places is not None and len(set(places)) > 1:
            candidates.append((axis.name, _parts(members, places, axis.name)))
    fitting = [(name, parts) for name, parts in candidates if _bijective(parts, slots)]
    if fitting:
        name, parts = fitting[0]
        used = {part.members for part in parts}
        others = [other for other, its in fitting[1:] if {part.members for part in its} != used]
        return Split(parts, tuple((name, other) for other in others))
    for _, parts in candidates:
        if _even(parts, slots):
            inner = [_divide(part.members, headers, slots, axes, depth - 1) for part in parts]
            if all(inner) and len({found.parts[0].axes for found in inner if found} - {()}) == 1:
                return _joined(parts, [found for found in inner if found])
    return None


def _joined(outer: Sequence[Part], inner: Sequence[Split]) -> Split:
    """Put the parts of each part together, with the places along both axes."""
    parts = tuple(
        Part(part.members, (*whole.axes, *part.axes), (*whole.places, *part.places))
        for whole, found in zip(outer, inner, strict=True)
        for part in found.parts
    )
    return Split(parts, tuple(dict.fromkeys(pair for found in inner for pair in found.disagreements)))


def _parts(members: tuple[int, ...], places: Labels, name: str) -> tuple[Part, ...]:
    by_place: dict[float, list[int]] = {}
    for member, place in zip(members, places, strict=True):
        by_place.setdefault(place, []).append(member)
    return tuple(Part(tuple(by_place[place]), (name,), (place,)) for place in sorted(by_place))


def _counts(part: Part, slots: Sequence[int]) -> Counter[int]:
    return Counter(slots[member] for member in part.members)


def _bijective(parts: Sequence[Part], slots: Sequence[int]) -> bool:
    positions = set(slots)
    counts = [_counts(part, slots) for part in parts]
    return all(set(count) == positions and set(count.values()) == {1} for count in counts)


def _even(parts: Sequence[Part], slots: Sequence[int]) -> bool:
    """Whether every part holds every position equally often."""
    positions = set(slots)
    counts = [_counts(part, slots) for part in parts]
    return all(set(count) == positions and len(set(count.values())) == 1 for count in counts)
