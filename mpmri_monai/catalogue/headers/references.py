"""Which images a segmentation or a set of contours says that it was drawn on."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from pydicom import Dataset

REFERENCED_INSTANCE = 0x00081155
REFERENCED_FRAME = 0x00081160


def image_references(dataset: Dataset) -> frozenset[str]:
    """Return every image that ``dataset`` refers to, at any depth.

    An image is its SOP Instance UID; one frame of a multi-frame image is ``"<UID>#<frame>"`` with frames counted from
    0, as in ``FileHeader.instance``. A UID alone means all frames of that file.
    """
    return frozenset(_references(dataset))


def refers_to(references: Collection[str], instance: str) -> bool:
    """Whether ``references`` include an image, or the whole multi-frame file that it is a frame of."""
    return instance in references or instance.partition("#")[0] in references


def _references(dataset: Dataset) -> Iterable[str]:
    uid = dataset.get(REFERENCED_INSTANCE)
    if uid is not None and uid.value:
        number = dataset.get(REFERENCED_FRAME)
        frames = [] if number is None or number.is_empty else number.value
        for frame in [frames] if isinstance(frames, (int, str)) else frames:
            yield f"{uid.value}#{int(frame) - 1}"
        if not frames:
            yield str(uid.value)
    for element in dataset:
        if element.VR == "SQ":
            for item in element.value:
                yield from _references(item)
