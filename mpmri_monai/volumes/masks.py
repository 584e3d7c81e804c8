"""Masks, whether they belong to an image, and how to read them from NIfTI."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mpmri_monai.catalogue import Caution
from mpmri_monai.errors import GeometryError, MaskError
from mpmri_monai.volumes.geometry import Geometry, on_grid, same_grid
from mpmri_monai.volumes.nifti import read_nifti

LABEL_TOLERANCE = 1e-3
"""Labels stored as floats may be this far from a whole number."""
MOST_NAMED = 10
"""So many labels are named in an error (count)."""
EXPORT_AGAIN = "name the sequence that the mask was drawn on, or export the mask again"
AS_LABELS = "export it again as one 3D label map with the geometry of the image that it was drawn on"
KEPT_CODES = ("E_NOGEOM", "E_LIMIT")
"""Findings about a NIfTI file that keep their code when the file is a mask."""
MIRRORS = {
    "left and right are exchanged": (-1, 1, 1),
    "front and back are exchanged": (1, -1, 1),
    "head and foot are exchanged": (1, 1, -1),
    "left and right, front and back are exchanged (LPS in place of RAS)": (-1, -1, 1),
}
"""Mistakes that tools make with an affine, as signs of the axes of the body."""


@dataclass(frozen=True, eq=False)
class Mask:
    """A region as voxels."""

    voxels: NDArray[np.bool_]
    """(slice, row, column)."""
    geometry: Geometry
    partial: bool = False
    """Whether the grid may leave out empty slices, as that of a DICOM SEG does."""
    drawn_on: str | None = None
    """Sequence whose grid the mask has, when that is known."""
    cautions: tuple[Caution, ...] = field(default=())
    """What was found on reading that a person should look at."""

    @cached_property
    def box(self) -> tuple[slice, slice, slice]:
        """Smallest part (slice, row, column) of the grid that holds all voxels; empty for an empty mask."""
        slices = _reach(np.any(self.voxels, axis=(1, 2)))
        plane = np.any(self.voxels[slices], axis=0)
        return slices, _reach(plane.any(axis=1)), _reach(plane.any(axis=0))

    def points_mm(self) -> NDArray[np.float64]:
        """Centres of the voxels in the mask (voxel, 3), RAS+ mm."""
        index = np.argwhere(self.voxels[self.box]) + [side.start for side in self.box]
        return self.geometry.to_mm(index[:, ::-1])

    def contains(self, points_mm: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which of the points (…, 3) lie in a voxel of the mask; (…). A voxel is a box, not a point."""
        index = np.floor(self.geometry.to_index(points_mm) + 0.5).astype(int)
        inside = np.all((index >= 0) & (index < self.geometry.shape), axis=-1)
        column, row, k = np.moveaxis(np.where(inside[..., None], index, 0), -1, 0)
        return np.asarray(inside & self.voxels[k, row, column])

    @property
    def voxel_ml(self) -> float:
        """Volume of one voxel."""
        return abs(float(np.linalg.det(self.geometry.affine[:3, :3]))) / 1000.0

    @property
    def volume_ml(self) -> float:
        """Volume of the region."""
        return int(np.count_nonzero(self.voxels)) * self.voxel_ml


def read_nifti_mask(path: Path, value: int, name: str) -> Mask:
    """Read the voxels of a NIfTI label map that hold ``value``.

    Args:
        path: of the file.
        value: of the region; others are not part of it.
        name: of the region, for errors.

    Raises:
        MaskError: not readable (E_MASK_FILE), without geometry (E_NOGEOM), too large (E_LIMIT), no label map, or no
            voxel holds ``value`` (E_MASK_EMPTY).
    """
    values, geometry = read_labels(path, name)
    voxels = values == value
    if not voxels.any():
        raise mask_error(name, f"voxels with the value {value}", listed(np.unique(values)), "E_MASK_EMPTY")
    return Mask(voxels, geometry)


def read_labels(path: Path, name: str) -> tuple[NDArray, Geometry]:
    """Return a NIfTI label map as whole numbers (slice, row, column) and its grid; errors as `read_nifti_mask`."""
    try:
        stack = read_nifti(path)
    except GeometryError as error:
        code = error.code if error.code in KEPT_CODES else "E_MASK_FILE"
        raise mask_error(name, "a label map in NIfTI, 3D and with geometry", error.found, code, AS_LABELS) from error
    values = stack.stored
    if values.dtype.kind == "f" or stack.slope[0] != 1 or stack.intercept[0] != 0:
        signal = values.astype(np.float64) * stack.slope[0] + stack.intercept[0]
        values = np.round(signal)
        if np.abs(signal - values).max() > LABEL_TOLERANCE:
            raise mask_error(name, "whole numbers as labels", "fractions", "E_MASK_FILE", AS_LABELS)
    return values, stack.geometry


def fits(mask: Mask, image: Geometry) -> bool:
    """Whether a mask was drawn on the grid of an image."""
    return on_grid(mask.geometry, image) if mask.partial else same_grid(mask.geometry, image)


def check_mask(mask: Mask, image: Geometry, name: str, fix: str | None = None) -> None:
    """Make sure that a mask belongs to the image it is said to be drawn on.

    Args:
        mask: to check.
        image: grid of the image.
        name: of the region, for errors.
        fix: what to do when it does not, if the caller knows.

    Raises:
        MaskError: E_MASK_EMPTY, E_MASK_OUT (a part lies outside the image, in percent of its voxels), or E_MASK_GRID
            (another grid). When the grids would agree if an axis were mirrored, the message says so; nothing is ever
            mirrored here.
    """
    if not mask.voxels.any():
        raise mask_error(name, "a mask with voxels", "an empty one", "E_MASK_EMPTY")
    if fits(mask, image):
        return
    fix = _mirror_hint(mask, image) or fix or EXPORT_AGAIN
    outside = outside_share(mask, image)
    if outside:
        expected, found = "a mask inside the image that it was drawn on", f"{outside:.0%} of its voxels outside"
        raise mask_error(name, expected, found, "E_MASK_OUT", fix)
    found, own = described(mask.geometry), described(image)
    found += f" up to {_apart_mm(mask.geometry, image):.2f} mm off" if found == own else f"; the image is {own}"
    raise mask_error(name, "a mask on the grid of the image that it was drawn on", found, "E_MASK_GRID", fix)


def outside_share(mask: Mask, image: Geometry) -> float:
    """Return the share of a mask's voxels whose centres lie outside an image, 0 to 1."""
    index = image.to_index(mask.points_mm())
    return float(np.mean(np.any((index < -0.5) | (index > np.array(image.shape) - 0.5), axis=1)))


def described(geometry: Geometry) -> str:
    """Return the shape and spacing of a grid in words."""
    spacing = " x ".join(f"{value:.2f}" for value in geometry.spacing_mm)
    return f"{' x '.join(map(str, geometry.shape))} voxels of {spacing} mm"


def listed(values: NDArray) -> str:
    """Return the first labels of a list, for errors."""
    shown = ", ".join(f"{value:g}" for value in values[:MOST_NAMED])
    return shown + (", ..." if len(values) > MOST_NAMED else "") or "none"


def mask_error(name: str, expected: str, found: str, code: str, fix: str = EXPORT_AGAIN) -> MaskError:
    """Return the error about the region ``name``. File names stay out: they often hold the name of a person."""
    return MaskError(expected=expected, found=found, where=name, fix=fix, code=code)


def _mirror_hint(mask: Mask, image: Geometry) -> str | None:
    """What is wrong with the affine of a mask, if mirroring an axis of the body or of the voxels would mend it."""
    affine = mask.geometry.affine
    mended = {words: np.diag([*signs, 1.0]) @ affine for words, signs in MIRRORS.items()}
    for axis, name in enumerate(("columns", "rows", "slices")):
        mended[f"its {name} run the other way"] = affine @ np.diag([-1.0 if axis == k else 1.0 for k in range(4)])
    for words, other in mended.items():
        if fits(Mask(mask.voxels, Geometry(other, mask.geometry.shape), mask.partial), image):
            return f"it seems that {words} in its affine; write the mask again with the right one"
    return None


def _reach(filled: NDArray[np.bool_]) -> slice:
    """From the first to the last place that is filled."""
    places = np.flatnonzero(filled)
    return slice(int(places[0]), int(places[-1]) + 1) if len(places) else slice(0, 0)


def _apart_mm(one: Geometry, other: Geometry) -> float:
    return float(np.linalg.norm(one.corners_mm - other.corners_mm, axis=1).max())
