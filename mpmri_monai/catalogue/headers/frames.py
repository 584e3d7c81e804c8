"""The frames of a multi-frame file (enhanced or legacy converted MR), each read as if it were an image of its own.

What holds for a frame is spread over the functional groups of the frame, those that all frames share, and the file
itself. ``FrameElements`` puts them together, nearest first, and in the words of a single-frame file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydicom import Dataset

from mpmri_monai.catalogue.headers.classic import image_header
from mpmri_monai.catalogue.headers.elements import Elements, items_of, representation
from mpmri_monai.catalogue.headers.header import FileHeader
from mpmri_monai.catalogue.headers.layout import PixelLayout, fault

SHARED_GROUPS = 0x52009229
FRAME_GROUPS = 0x52009230
GEOMETRY = (0x00200032, 0x00200037, 0x00280030)
"""Position, orientation, pixel spacing."""
OF_THE_FILE = (0x00080018, 0x00100020, 0x0020000D, 0x0020000E, 0x00200011, 0x00200052)
"""SOPInstanceUID, PatientID, StudyInstanceUID, SeriesInstanceUID, SeriesNumber, FrameOfReferenceUID. Groups of
converted and of Philips frames repeat what these were, or would have been, in a file of one image."""
WORDS = {
    0x00089007: 0x00080008,  # FrameType: ImageType
    0x00189082: 0x00180081,  # EffectiveEchoTime: EchoTime
    0x00189079: 0x00180082,  # InversionTimes: InversionTime
    0x00189098: 0x00180084,  # TransmitterFrequency: ImagingFrequency
    0x00209128: 0x00200100,  # TemporalPositionIndex: TemporalPositionIdentifier
    0x00209153: 0x00181060,  # NominalCardiacTriggerDelayTime: TriggerTime
    0x00209156: 0x00200012,  # FrameAcquisitionNumber: AcquisitionNumber
}
"""Attributes of frames and the ones that say the same in a single-frame file."""
Item = Mapping[Any, Any] | Dataset
"""Elements of one item of a sequence by tag."""
FILE_NUMBERS = 10_000
"""Frames count on from the number of their file times this, so that files of one series keep their order."""


class FrameElements(Elements):
    """Values of one frame by tag, in the words of a single-frame file.

    Private elements are looked up in each data set by itself, for the same block may have another creator in another.
    """

    def __init__(self, top: Elements, groups: list[Elements]) -> None:
        self.dataset = top.dataset
        self._private = [layer for layer in (*groups, top) if layer.has_private]
        self.raw: dict[int, Any] = dict(top.raw)
        for layer in reversed(groups):
            self.raw.update((tag, value) for tag, value in layer.raw.items() if tag not in OF_THE_FILE)

    def private(self, group: int, creator: str, element: int) -> float | None:
        """First number in a private element, from the layer nearest to the frame."""
        found = (layer.private(group, creator, element) for layer in self._private)
        return next((value for value in found if value is not None), None)


def frame_headers(path: Path, elements: Elements, layout: PixelLayout) -> tuple[FileHeader, ...]:
    """Return the headers of all frames of a file.

    Raises:
        CatalogueError: the functional groups do not match the number of frames, or a frame cannot be used.
    """
    frames = _items(elements, FRAME_GROUPS)
    if len(frames) != layout.frames:
        raise fault("E_HEADER", f"a file describes {len(frames)} frames and holds {layout.frames}")
    shared = [group for item in _items(elements, SHARED_GROUPS) for group in _groups(item)]
    return tuple(
        _in_file(image_header(path, FrameElements(elements, [*_groups(item), *shared]), layout), frame, layout)
        for frame, item in enumerate(frames)
    )


def _in_file(header: FileHeader, frame: int, layout: PixelLayout) -> FileHeader:
    """Say where in its file a frame is."""
    offset = layout.offset
    return replace(
        header,
        frame=frame,
        instance=f"{header.instance}#{frame}",
        instance_number=(header.instance_number or 0) * FILE_NUMBERS + frame + 1,
        pixel_offset=None if offset is None else offset + frame * header.pixel_bytes,
    )


def _groups(item: Item) -> list[Elements]:
    """Elements of the functional groups in an item; private ones last, for they repeat what public ones say better."""
    public: list[Elements] = []
    private: list[Elements] = []
    for tag, element in item.items():
        if (element.VR or representation(int(tag), None)) != "SQ" or not element.value:
            continue
        group = Elements(items_of(element)[0])
        for own, classic in WORDS.items():
            if own in group.raw:
                group.raw[classic] = group.raw[own]
        if tag & 0x10000:  # Philips repeats the position there, half a voxel off
            for geometry in GEOMETRY:
                group.raw.pop(geometry, None)
        (private if tag & 0x10000 else public).append(group)
    return public + private


def _items(elements: Elements, tag: int) -> Sequence[Item]:
    element = elements.raw.get(tag)
    return () if element is None or not element.value else items_of(element)
