"""Masks from DICOM RTSTRUCT: the contours of one region, filled on the slices that they were drawn on."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from mpmri_monai.catalogue import Caution
from mpmri_monai.catalogue.headers.references import image_references
from mpmri_monai.catalogue.quiet import without_warnings
from mpmri_monai.errors import MaskError
from mpmri_monai.volumes.contours import ON_CONTOUR, fill, nested
from mpmri_monai.volumes.geometry import Geometry
from mpmri_monai.volumes.mask_objects import MaskSource, open_object
from mpmri_monai.volumes.masks import Mask, described, listed, mask_error

RTSTRUCT_CLASSES = ("1.2.840.10008.5.1.4.1.1.481.3",)
CLOSED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")
"""Contours that enclose a region. Several on one slice combine by XOR, which the second name only says outright."""
OTHER_TYPES = ("POINT", "OPEN_PLANAR", "OPEN_NONPLANAR")
ON_SLICE = 0.5
"""A contour belongs to a slice when none of its points is farther from it (slice spacings)."""
ONE_PLANE, ONE_PLANE_MM = 0.1, 0.15
"""Contours are flat, and all equally far from their slices, to within the larger of the two (slice spacings, mm):
points are written with few decimals, and slices accepted that are 0.1 mm from even."""
MAX_POINTS = 5_000_000
"""Points of all contours of a region (count)."""


@dataclass(frozen=True, eq=False)
class _Contour:
    """A closed contour in voxel indices of an image."""

    slice_index: int
    height: float
    """Mean of its points, in slices."""
    outline: NDArray[np.float64]
    """(point, (column, row))."""


def read_rtstruct_mask(path: Path, roi: int, image: Geometry, name: str) -> Mask:
    """Fill the contours of one region of an RTSTRUCT on the slices of the image that they were drawn on.

    A voxel belongs to the region when its centre lies inside or on the contours of its slice; a contour inside another
    one is a hole (even-odd rule). Each contour belongs to the slice that it lies on, by its height along the slices'
    normal.

    Args:
        path: of the file.
        roi: ROI Number of the region.
        image: grid of the image that the contours were drawn on.
        name: of the region, for errors.

    Raises:
        MaskError: not readable, no such region, a contour that is open, a point or of fewer than three points
            (E_MASK_FILE), contours that cross one another or are there twice (E_MASK_FILE); contours that do not lie on
            the slices of the image (E_MASK_GRID) or lie outside it (E_MASK_OUT); no voxel inside (E_MASK_EMPTY).
    """
    return roi_mask(open_rtstruct(path, name), roi, name, image)


def open_rtstruct(path: Path, name: str) -> Dataset:
    """Read an RTSTRUCT as it is; errors as `read_rtstruct_mask`."""
    return open_object(path, name, RTSTRUCT_CLASSES, "RTSTRUCT")


@without_warnings()
def roi_numbers(dataset: Dataset) -> list[int]:
    """Return the ROI Numbers of the regions that have closed contours; markers are points, and no regions."""
    drawn = {
        int(item.ReferencedROINumber)
        for item in dataset.get("ROIContourSequence", ())
        if any(_kind(contour) in CLOSED for contour in _contours(item))
    }
    return sorted(drawn)


@without_warnings()
def roi_source(dataset: Dataset, roi: int) -> MaskSource:
    """Return which images a region refers to: through its contours, else through its frame of reference in the file."""
    regions = (item for item in dataset.get("StructureSetROISequence", ()) if int(item.ROINumber) == roi)
    space = next((str(item.get("ReferencedFrameOfReferenceUID", "")) for item in regions), "")
    images = frozenset[str]()
    for item in dataset.get("ROIContourSequence", ()):
        if int(item.ReferencedROINumber) == roi:
            images |= image_references(item)
    if not images:
        frames = dataset.get("ReferencedFrameOfReferenceSequence", ())
        series = (
            image for frame in frames if not space or frame.get("FrameOfReferenceUID", space) == space
            for study in frame.get("RTReferencedStudySequence", ())
            for image in study.get("RTReferencedSeriesSequence", ())
        )  # fmt: skip
        images = frozenset().union(*map(image_references, series))
    return MaskSource(images, space)


@without_warnings()
def roi_mask(dataset: Dataset, roi: int, name: str, image: Geometry) -> Mask:
    """Return a region of an open file; see `read_rtstruct_mask`."""
    contours = [_on_slice(points, image, name) for points in _points(dataset, roi, name)]
    by_slice: dict[int, list[_Contour]] = defaultdict(list)
    for contour in contours:
        by_slice[contour.slice_index].append(contour)
    _check_planes(by_slice, image, name)
    columns, rows, slices = image.shape
    voxels = np.zeros((slices, rows, columns), bool)
    for index, drawn in by_slice.items():
        outlines = [contour.outline for contour in drawn]
        if len(outlines) > 1 and not nested(outlines, rows, columns):
            found, fix = "some that cross, or are there twice", "make one contour of them and export again"
            raise mask_error(name, "contours inside or beside one another on a slice", found, "E_MASK_FILE", fix)
        voxels[index] = fill(outlines, rows, columns)
    if not voxels.any():
        raise mask_error(name, f"voxels inside the contours of ROI {roi}", "none", "E_MASK_EMPTY")
    return Mask(voxels, image, cautions=_cautions(by_slice, voxels))


def _contours(item: Dataset) -> list[Dataset]:
    return list(item.get("ContourSequence", None) or ())


def _kind(contour: Dataset) -> str:
    return str(contour.get("ContourGeometricType", ""))


def _points(dataset: Dataset, roi: int, name: str) -> list[NDArray[np.float64]]:
    """Points (point, 3) of each contour of a region, RAS+ mm."""
    found: list[NDArray[np.float64]] = []
    try:
        for item in dataset.get("ROIContourSequence", ()):
            if int(item.ReferencedROINumber) == roi:
                found += [_closed(contour, name) for contour in _contours(item)]
    except MaskError:
        raise
    except Exception as error:  # whatever damaged values make pydicom raise
        raise mask_error(name, "contours that can be read", "damaged ones", "E_MASK_FILE") from error
    if not found:
        numbers = listed(np.array(roi_numbers(dataset)))
        raise mask_error(name, f"contours of ROI {roi}", f"contours of ROI {numbers}", "E_MASK_FILE")
    if sum(map(len, found)) > MAX_POINTS:
        raise mask_error(name, f"at most {MAX_POINTS} points", "more", "E_LIMIT")
    return found


def _closed(contour: Dataset, name: str) -> NDArray[np.float64]:
    kind = _kind(contour) or "none"
    if kind not in CLOSED:
        kind = kind if kind in (*OTHER_TYPES, "none") else "unknown"
        fix = "remove it from the structure, or export closed contours only"
        raise mask_error(name, "closed contours", f"one of type {kind}", "E_MASK_FILE", fix)
    values = np.array(contour.ContourData, dtype=np.float64).ravel()
    if len(values) % 3 or len(values) != 3 * int(contour.get("NumberOfContourPoints") or len(values) // 3):
        raise mask_error(name, "three coordinates a point", f"{len(values)} coordinates", "E_MASK_FILE")
    if len(values) < 9:
        fix = "remove the stray contour and export again"
        raise mask_error(name, "contours of three points and more", f"one of {len(values) // 3}", "E_MASK_FILE", fix)
    if not np.isfinite(values).all():
        raise mask_error(name, "finite coordinates", "others", "E_MASK_FILE")
    return values.reshape(-1, 3) * [-1.0, -1.0, 1.0]  # LPS to RAS


def _on_slice(points: NDArray[np.float64], image: Geometry, name: str) -> _Contour:
    """Find the slice of a contour.

    The height of a point along the normal is its voxel index along the slices: index = A^-1 (point - origin), whose
    third component changes only across slices.
    """
    index = image.to_index(points)
    height = float(index[:, 2].mean())
    slice_index = round(height)
    half = np.array(image.shape[:2]) / 2
    beside = np.abs(index[:, :2] + 0.5 - half).max(axis=0) > half + ON_CONTOUR
    if not 0 <= slice_index < image.shape[2] or beside.any():
        raise mask_error(name, "contours inside the image that they were drawn on", "some outside", "E_MASK_OUT")
    off = np.abs(index[:, 2] - slice_index).max()
    if off > ON_SLICE:
        found = f"one that is up to {off:.2f} slice spacings off the nearest slice"
        raise mask_error(name, f"contours in the slices of the image ({described(image)})", found, "E_MASK_GRID")
    if np.abs(index[:, 2] - height).max() > _one_plane(image):
        found = f"one that runs through {np.ptp(index[:, 2]):.2f} slice spacings"
        raise mask_error(name, f"contours in the slices of the image ({described(image)})", found, "E_MASK_GRID")
    return _Contour(slice_index, height, index[:, :2])


def _check_planes(by_slice: dict[int, list[_Contour]], image: Geometry, name: str) -> None:
    """Contours of an image with other slices lie now nearer, now farther from these, or leave slices out between."""
    spread = np.ptp(_offsets(by_slice))
    gaps = np.diff(sorted(by_slice))
    expected = f"contours on the slices of the image, {image.slice_spacing_mm:.2f} mm apart"
    if spread > _one_plane(image):
        found = f"contours whose distances from the nearest slice differ by {spread * image.slice_spacing_mm:.2f} mm"
        raise mask_error(name, expected, found, "E_MASK_GRID")
    if len(gaps) > 1 and gaps.min() > 1:
        found = f"contours {gaps.min() * image.slice_spacing_mm:.2f} mm apart or more"
        fix = "name the sequence that they were drawn on, or draw them on the slices between too"
        raise mask_error(name, expected, found, "E_MASK_GRID", fix)


def _one_plane(image: Geometry) -> float:
    return max(ONE_PLANE, ONE_PLANE_MM / image.slice_spacing_mm)


def _offsets(by_slice: dict[int, list[_Contour]]) -> NDArray[np.float64]:
    """How far each contour is from its slice, in slice spacings."""
    return np.array([contour.height - index for index, drawn in by_slice.items() for contour in drawn])


def _cautions(by_slice: dict[int, list[_Contour]], voxels: NDArray[np.bool_]) -> tuple[Caution, ...]:
    planes = sorted(by_slice)
    skipped = planes[-1] - planes[0] + 1 - len(planes)
    lost = sum(not voxels[index].any() for index in planes)
    offset = float(_offsets(by_slice).mean())
    found = []
    if abs(offset) > ONE_PLANE:
        found.append(Caution("W_OFF_SLICE", f"its contours lie {abs(offset):.2f} slice spacings off the slices"))
    if skipped:
        found.append(Caution("W_GAP", f"{skipped} slice(s) between its contours have none"))
    if lost:
        found.append(Caution("W_SUBPIXEL", f"on {lost} slice(s) its contours hold no voxel"))
    return tuple(found)
