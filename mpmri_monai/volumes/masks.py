"""Masks from NIfTI and DICOM SEG, and whether they belong to an image."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from mpmri_monai.errors import GeometryError, MaskError
from mpmri_monai.volumes.geometry import Geometry, on_grid, same_grid
from mpmri_monai.volumes.nifti import read_nifti

LABEL_TOLERANCE = 1e-3
"""Labels stored as floats may be this far from a whole number."""
MAX_SEG_BYTES = 512 * 2**20
"""Larger SEG files are refused before they are read (bytes)."""
MAX_SEG_VOXELS = 2**30
"""Frames of a SEG may hold this many voxels together (count)."""
HALF = 0.5
"""A voxel of a fractional segment counts from this part on."""
MOST_NAMED = 10
"""So many labels are named in an error (count)."""


@dataclass(frozen=True, eq=False)
class Mask:
    """A region as voxels."""

    voxels: NDArray[np.bool_]
    """(slice, row, column)."""
    geometry: Geometry
    partial: bool = False
    """Whether the grid may leave out empty slices, as that of a DICOM SEG does."""

    def points_mm(self) -> NDArray[np.float64]:
        """Centres of the voxels in the mask (voxel, 3), RAS+ mm."""
        return self.geometry.to_mm(np.argwhere(self.voxels)[:, ::-1])

    @property
    def volume_ml(self) -> float:
        """Volume of the region."""
        voxel = abs(float(np.linalg.det(self.geometry.affine[:3, :3])))
        return int(np.count_nonzero(self.voxels)) * voxel / 1000.0


def read_nifti_mask(path: Path, value: int, name: str) -> Mask:
    """Read the voxels of a NIfTI label map that hold ``value``.

    Args:
        path: of the file.
        value: of the region; others are not part of it.
        name: of the region, for errors.

    Raises:
        MaskError: not readable, no label map, or no voxel holds ``value`` (E_MASK_EMPTY).
    """
    try:
        stack = read_nifti(path)
    except GeometryError as error:
        raise _error(name, "a label map in NIfTI", f"{error.found} ({Path(path).name})", "E_MASK_FILE") from error
    values = stack.stored
    if values.dtype.kind == "f" or stack.slope[0] != 1 or stack.intercept[0] != 0:
        signal = values.astype(np.float64) * stack.slope[0] + stack.intercept[0]
        values = np.round(signal)
        if np.abs(signal - values).max() > LABEL_TOLERANCE:
            raise _error(name, "whole numbers as labels", f"fractions ({Path(path).name})", "E_MASK_FILE")
    voxels = values == value
    if not voxels.any():
        raise _error(name, f"voxels with the value {value}", _listed(np.unique(values)), "E_MASK_EMPTY")
    return Mask(voxels, stack.geometry)


def read_seg_mask(path: Path, segment: int, name: str) -> Mask:
    """Read one segment of a DICOM SEG; slices without any segment may be left out of its grid.

    Args:
        path: of the file.
        segment: number of the segment, from 1.
        name: of the region, for errors.

    Raises:
        MaskError: not readable, no such segment, or it is empty (E_MASK_EMPTY).
    """
    path = Path(path)
    expected = "a DICOM SEG file"
    if not path.is_file() or path.stat().st_size > MAX_SEG_BYTES:
        found = "a file that is too large" if path.is_file() else "no such file"
        raise _error(name, expected, f"{found} ({path.name})", "E_MASK_FILE")
    from highdicom.seg import segread  # takes longer to import than most masks take to read

    try:
        with warnings.catch_warnings():  # pydicom's warnings quote header values
            warnings.simplefilter("ignore")
            segmentation = segread(path)
        frames = int(segmentation.NumberOfFrames) * int(segmentation.Rows) * int(segmentation.Columns)
        numbers = list(segmentation.segment_numbers)
    except Exception as error:  # whatever a damaged or foreign file makes pydicom and highdicom raise
        raise _error(name, expected, f"a file that cannot be read as one ({path.name})", "E_MASK_FILE") from error
    if frames > MAX_SEG_VOXELS:
        raise _error(name, f"a SEG of at most {MAX_SEG_VOXELS} voxels", f"{frames}", "E_LIMIT")
    if segment not in numbers:
        raise _error(name, f"segment {segment}", f"segments {_listed(np.array(numbers))}", "E_MASK_FILE")
    mask = _segment(segmentation, segment, name)
    if not mask.voxels.any():
        raise _error(name, f"voxels in segment {segment}", "none", "E_MASK_EMPTY")
    return mask


def _segment(segmentation: Dataset, segment: int, name: str) -> Mask:
    try:
        volume = segmentation.get_volume(segment_numbers=[segment], combine_segments=False)
    except (ValueError, RuntimeError, AttributeError, MemoryError) as error:
        raise _error(
            name, "a SEG with frames on one regular grid", "frames that do not make one", "E_MASK_FILE"
        ) from error
    voxels = np.squeeze(volume.array, axis=3) >= HALF
    # highdicom's index is (slice, row, column), its space LPS+, its first slice the farthest along the normal.
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ volume.affine[:, [2, 1, 0, 3]]
    if np.linalg.det(affine[:3, :3]) < 0:
        affine[:3, 3] += affine[:3, 2] * (len(voxels) - 1)
        affine[:3, 2] *= -1
        voxels = voxels[::-1]
    slices, rows, columns = voxels.shape
    return Mask(np.ascontiguousarray(voxels), Geometry(affine, (columns, rows, slices)), partial=True)


def fits(mask: Mask, image: Geometry) -> bool:
    """Whether a mask was drawn on the grid of an image."""
    return on_grid(mask.geometry, image) if mask.partial else same_grid(mask.geometry, image)


def check_mask(mask: Mask, image: Geometry, name: str) -> None:
    """Make sure that a mask belongs to the image it is said to be drawn on.

    Args:
        mask: to check.
        image: grid of the image.
        name: of the region, for errors.

    Raises:
        MaskError: E_MASK_EMPTY, E_MASK_OUT (a part lies outside the image, in percent of its voxels), or E_MASK_GRID
            (another grid).
    """
    if not mask.voxels.any():
        raise _error(name, "a mask with voxels", "an empty one", "E_MASK_EMPTY")
    if fits(mask, image):
        return
    index = image.to_index(mask.points_mm())
    inside = np.all((index >= -0.5) & (index <= np.array(image.shape) - 0.5), axis=1)
    if not inside.all():
        found = f"{np.mean(~inside):.0%} of its voxels outside"
        raise _error(name, "a mask inside the image that it was drawn on", found, "E_MASK_OUT")
    found, own = _described(mask.geometry), _described(image)
    found += f" up to {_apart_mm(mask.geometry, image):.2f} mm off" if found == own else f"; the image is {own}"
    raise _error(name, "a mask on the grid of the image that it was drawn on", found, "E_MASK_GRID")


def _described(geometry: Geometry) -> str:
    spacing = " x ".join(f"{value:.2f}" for value in geometry.spacing_mm)
    return f"{' x '.join(map(str, geometry.shape))} voxels of {spacing} mm"


def _apart_mm(one: Geometry, other: Geometry) -> float:
    return float(np.linalg.norm(one.corners_mm - other.corners_mm, axis=1).max())


def _listed(values: NDArray) -> str:
    shown = ", ".join(f"{value:g}" for value in values[:MOST_NAMED])
    return shown + (", ..." if len(values) > MOST_NAMED else "")


def _error(name: str, expected: str, found: str, code: str) -> MaskError:
    fix = "name the sequence that the mask was drawn on, or export the mask again"
    return MaskError(expected=expected, found=found, where=name, fix=fix, code=code)
