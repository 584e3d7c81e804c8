"""Masks from DICOM SEG: one segment at a time, frames put in place by their positions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.encaps import generate_frames
from pydicom.pixels import iter_pixels

from mpmri_monai.catalogue.headers.references import image_references
from mpmri_monai.catalogue.pixels.codestream import size_in
from mpmri_monai.catalogue.pixels.stored import RUST_PANIC
from mpmri_monai.catalogue.quiet import without_warnings
from mpmri_monai.errors import GeometryError, MaskError
from mpmri_monai.volumes.geometry import Geometry
from mpmri_monai.volumes.mask_objects import MaskSource, open_object
from mpmri_monai.volumes.masks import Mask, listed, mask_error

SEG_CLASSES = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")
"""Segmentation storage and label map segmentation storage."""
MAX_SEG_VOXELS = 2**30
"""The grid of one segment may hold this many voxels (count)."""
HALF = 0.5
"""A voxel of a fractional segment counts from this part on."""
POSITION_TOLERANCE = 0.1
"""Frames lie this close to a regular grid (voxels)."""
SAME_PLACE_MM = 0.01
"""Frames of one segment that are closer together lie in one place."""
MOST_LEFT_OUT = 7
"""Without the image, no more slices than this may be left out between every two frames to tell how far apart they are
(count)."""
LABEL_MAP = "LABELMAP"
PARALLEL = 0.999
"""Cosine from which on two normals count as parallel, so that the image's slice spacing is that of the frames."""


@dataclass(frozen=True, eq=False)
class _Frames:
    """The frames of one segment, in the order of the file; LPS+, mm."""

    indices: tuple[int, ...]
    """Which frames of the file."""
    positions: NDArray[np.float64]
    """(frame, 3): centre of the first voxel."""
    row: NDArray[np.float64]
    """Step from column to column (3,)."""
    column: NDArray[np.float64]
    """Step from row to row (3,)."""
    nominal_mm: float | None
    """Distance of slices as the file states it; only counts for a frame that is alone."""

    @property
    def normal(self) -> NDArray[np.float64]:
        normal = np.cross(self.row, self.column)
        return normal / np.linalg.norm(normal)


def read_seg_mask(path: Path, segment: int, name: str, image: Geometry | None = None) -> Mask:
    """Read one segment of a DICOM SEG; slices without any voxel may be left out of its grid.

    Binary, fractional (a voxel counts from one half on) and label map segmentations; each segment is read by itself, so
    that segments may overlap. The grid follows from the positions of the segment's frames.

    Args:
        path: of the file.
        segment: number of the segment, from 1.
        name: of the region, for errors.
        image: grid of the image that the segment was drawn on, if known: its slice spacing says how thick a segment of
            a single slice is, and how many slices are left out between frames that are far apart.

    Raises:
        MaskError: not readable or not on one regular grid (E_MASK_FILE), too large (E_LIMIT), no such segment, or it is
            empty (E_MASK_EMPTY).
    """
    return seg_mask(open_seg(path, name), segment, name, image)


def open_seg(path: Path, name: str) -> Dataset:
    """Read a DICOM SEG as it is; errors as `read_seg_mask`."""
    return open_object(path, name, SEG_CLASSES, "SEG")


@without_warnings()
def segment_numbers(dataset: Dataset) -> list[int]:
    """Return the numbers of the segments; 0 is the background of a label map and no segment."""
    numbers = (int(item.SegmentNumber) for item in dataset.get("SegmentSequence", ()))
    return sorted({number for number in numbers if number > 0})


@without_warnings()
def seg_source(dataset: Dataset, segment: int) -> MaskSource:
    """Return which images a segment refers to: through its frames, else through the file as a whole."""
    frames = dataset.get("PerFrameFunctionalGroupsSequence", ())
    images = _images(frame for frame in frames if _shows(frame, dataset, segment))
    images = images or _images(dataset.get("ReferencedSeriesSequence", ()))
    return MaskSource(images, str(dataset.get("FrameOfReferenceUID", "")))


def _images(items: Iterable[Dataset]) -> frozenset[str]:
    return frozenset().union(*map(image_references, items))


@without_warnings()
def seg_mask(dataset: Dataset, segment: int, name: str, image: Geometry | None = None) -> Mask:
    """Return a segment of an open file; see `read_seg_mask`."""
    try:
        numbers = segment_numbers(dataset)
        if segment not in numbers:
            raise mask_error(name, f"segment {segment}", f"segments {listed(np.array(numbers))}", "E_MASK_FILE")
        frames = _frames(dataset, segment)
        _check_room(len(frames.indices), dataset.Rows, dataset.Columns, name)
        pixels = _pixels(dataset, segment, frames.indices)
    except MaskError:
        raise
    except Exception as error:  # whatever damaged values and streams make pydicom and the decoders raise
        raise mask_error(name, "a SEG with readable frames", "a damaged one", "E_MASK_FILE") from error
    filled = pixels.any(axis=(1, 2))
    if not filled.any():
        raise mask_error(name, f"voxels in segment {segment}", "none", "E_MASK_EMPTY")
    return _on_grid(frames, pixels, name, image)


def _check_room(slices: int, rows: int, columns: int, name: str) -> None:
    if slices * rows * columns > MAX_SEG_VOXELS:
        raise mask_error(name, f"a segment of at most {MAX_SEG_VOXELS} voxels", "a larger one", "E_LIMIT")


def _shows(group: Dataset, dataset: Dataset, segment: int) -> bool:
    """Whether a frame may hold voxels of a segment; each frame of a label map may hold any."""
    for source in (group, *dataset.get("SharedFunctionalGroupsSequence", ())):
        for item in source.get("SegmentIdentificationSequence", ()):
            return int(item.ReferencedSegmentNumber) == segment
    return dataset.get("SegmentationType") == LABEL_MAP


def _frames(dataset: Dataset, segment: int) -> _Frames:
    """Find the frames of a segment. ValueError when their planes differ in more than position."""
    shared = dataset.SharedFunctionalGroupsSequence[0] if dataset.get("SharedFunctionalGroupsSequence") else Dataset()
    own = [
        (index, group)
        for index, group in enumerate(dataset.PerFrameFunctionalGroupsSequence)
        if _shows(group, dataset, segment)
    ]
    planes = [_plane(group, shared) for _, group in own]
    if not planes:
        return _Frames((), np.empty((0, 3)), np.array([1.0, 0, 0]), np.array([0, 1.0, 0]), None)
    positions, rows, columns, nominal = zip(*planes, strict=True)
    row, column = rows[0], columns[0]
    reach = np.array([dataset.Columns - 1, dataset.Rows - 1])
    drift = np.linalg.norm([np.subtract(rows, row), np.subtract(columns, column)], axis=2).max(axis=1) * reach
    if (drift > POSITION_TOLERANCE * np.linalg.norm([row, column], axis=1)).any():
        raise ValueError("frames of several orientations or spacings")
    return _Frames(tuple(index for index, _ in own), np.array(positions), row, column, nominal[0])


def _plane(group: Dataset, shared: Dataset) -> tuple[NDArray, NDArray, NDArray, float | None]:
    """Position, step along a row, step along a column, stated distance of slices."""
    position, orientation, measures = (
        (group.get(keyword) or shared.get(keyword))[0]
        for keyword in ("PlanePositionSequence", "PlaneOrientationSequence", "PixelMeasuresSequence")
    )
    directions = np.array(orientation.ImageOrientationPatient, dtype=np.float64).reshape(2, 3)
    down, across = (float(value) for value in measures.PixelSpacing)
    nominal = measures.get("SpacingBetweenSlices") or measures.get("SliceThickness")
    origin = np.array(position.ImagePositionPatient, dtype=np.float64)
    return origin, directions[0] * across, directions[1] * down, abs(float(nominal)) if nominal else None


def _pixels(dataset: Dataset, segment: int, indices: tuple[int, ...]) -> NDArray[np.bool_]:
    """Voxels of the segment, (frame, row, column)."""
    kind = dataset.get("SegmentationType", "BINARY")
    level = HALF * float(dataset.MaximumFractionalValue) if kind == "FRACTIONAL" else HALF
    if not level > 0:
        raise ValueError("fractions of nothing")
    pixels = np.zeros((len(indices), dataset.Rows, dataset.Columns), bool)
    if not indices:
        return pixels
    if dataset.BitsAllocated == 1 and not dataset.file_meta.TransferSyntaxUID.is_encapsulated:
        for plane, index in zip(pixels, indices, strict=True):
            plane[...] = _unpacked(dataset, index)
        return pixels
    try:
        _check_sizes(dataset)
        for plane, frame in zip(pixels, iter_pixels(dataset, indices=list(indices), raw=True), strict=True):
            plane[...] = frame == segment if kind == LABEL_MAP else frame >= level
    except BaseException as error:  # a decoder in Rust panics on damaged streams, which is no Exception
        if type(error).__module__ == RUST_PANIC:
            raise ValueError("compressed frames that cannot be decoded") from error
        raise
    return pixels


def _check_sizes(dataset: Dataset) -> None:
    """Refuse compressed frames of another size than the file's before a decoder makes room for them."""
    if dataset.file_meta.TransferSyntaxUID.is_encapsulated:
        for stream in generate_frames(dataset.PixelData, number_of_frames=int(dataset.NumberOfFrames)):
            if size_in(stream) not in (None, (dataset.Rows, dataset.Columns, 1)):
                raise ValueError("compressed frames of another size")


def _unpacked(dataset: Dataset, index: int) -> NDArray[np.uint8]:
    """One frame of packed bits (PS3.5, 8.1.1). Frames follow one another without a gap and may begin inside a byte."""
    if not dataset.file_meta.TransferSyntaxUID.is_little_endian:
        raise ValueError("packed bits in a retired byte order")
    count = dataset.Rows * dataset.Columns
    first, last = index * count, (index + 1) * count
    packed = np.frombuffer(dataset.PixelData[first // 8 : (last + 7) // 8], np.uint8)
    bits = np.unpackbits(packed, bitorder="little")[first % 8 : first % 8 + count]
    return bits.reshape(dataset.Rows, dataset.Columns)


def _on_grid(frames: _Frames, pixels: NDArray[np.bool_], name: str, image: Geometry | None) -> Mask:
    """Put frames at the slices that their positions mean."""
    order = np.argsort(frames.positions @ frames.normal)
    positions, pixels = frames.positions[order], pixels[order]
    heights = positions @ frames.normal
    step = _slice_step(frames, heights, image)
    if step is None:
        found = "one frame without a slice spacing" if len(heights) == 1 else "frames that do not make one"
        raise mask_error(name, "a SEG with frames on one regular grid", found, "E_MASK_FILE")
    slices = np.round((heights - heights[0]) / step).astype(int)
    _, rows, columns = pixels.shape
    _check_room(int(slices[-1]) + 1, rows, columns, name)
    across = (positions[-1] - positions[0]) / slices[-1] if slices[-1] else frames.normal * step  # keeps a tilt
    apart = np.linalg.norm(positions[0] + slices[:, None] * across - positions, axis=1).max()
    finest = min(step, *map(float, np.linalg.norm([frames.row, frames.column], axis=1)))
    if apart > POSITION_TOLERANCE * finest:
        raise mask_error(name, "a SEG with frames on one regular grid", f"frames {apart:.2f} mm off", "E_MASK_FILE")
    voxels = np.zeros((slices[-1] + 1, rows, columns), bool)
    voxels[slices] = pixels
    affine = np.eye(4)
    affine[:3] = np.stack([frames.row, frames.column, across, positions[0]], axis=1)
    affine[:2] *= -1  # LPS to RAS
    try:
        return Mask(voxels, Geometry(affine, voxels.shape[::-1]), partial=True)
    except GeometryError as error:
        raise mask_error(name, error.expected, error.found, "E_NOGEOM") from error


def _slice_step(frames: _Frames, heights: NDArray[np.float64], image: Geometry | None) -> float | None:
    """Distance of slices for ascending heights of frames; None when they are not on one grid.

    It is the image's when all frames lie on slices of the image, else the smallest gap between frames or a whole part
    of it: frames on slices 0, 2 and 5 are one slice apart.
    """
    if image is not None and abs((image.normal * [-1, -1, 1]) @ frames.normal) > PARALLEL:
        step = image.slice_spacing_mm
        if _whole(heights, step):
            return step
    gaps = np.diff(heights)
    if not len(gaps):
        return frames.nominal_mm
    if gaps.min() < SAME_PLACE_MM:
        return None
    total, smallest = heights[-1] - heights[0], np.median(gaps[gaps < 1.2 * gaps.min()])
    steps = (float(total / np.round(total / smallest * parts)) for parts in range(1, MOST_LEFT_OUT + 2))
    return next((step for step in steps if _whole(heights, step)), None)


def _whole(heights: NDArray[np.float64], step: float) -> bool:
    """Whether every height is a whole and different number of steps above the first."""
    places = (heights - heights[0]) / step
    whole = np.round(places)
    return bool(np.abs(places - whole).max() <= POSITION_TOLERANCE and (np.diff(whole) > 0).all())
