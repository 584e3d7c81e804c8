"""Slices of a stack: their positions along the normal, whether they are evenly spaced, and the affine that follows.

Geometry comes from ImagePositionPatient and ImageOrientationPatient alone. SliceThickness is not the distance of
slices, and SpacingBetweenSlices is written as a distance by some scanners and as a gap by others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mpmri_monai.catalogue.headers.header import FileHeader

SAME_POSITION_MM = 0.05
"""Slices nearer than this along the normal are at one position (mm); scanners write positions to about 0.02 mm."""
SPACING_TOLERANCE_MM = 0.1
SPACING_TOLERANCE = 0.02
"""Slices may stray from even spacing by the larger of these (mm; part of the spacing)."""
WHOLE_STEPS = 0.1
"""A gap within this of a whole number of spacings means that slices are missing (spacings)."""
SHEAR_TOLERANCE = 0.02
"""Slices may drift sideways by this part of the height of the stack."""
OBLIQUE_ABOVE_DEG = 2.0
"""A stack is called oblique when its normal is farther than this from an axis of the patient (degrees)."""
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0])
PLANES = ("sagittal", "coronal", "axial")


@dataclass(frozen=True)
class Fault:
    """Why images do not make one stack."""

    code: str
    message: str


def axes_of(header: FileHeader) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Unit vectors (LPS+) along which the column index, the row index and the slice index increase."""
    along_columns, along_rows = np.array(header.orientation[:3]), np.array(header.orientation[3:])
    along_columns, along_rows = along_columns / np.linalg.norm(along_columns), along_rows / np.linalg.norm(along_rows)
    normal = np.cross(along_columns, along_rows)
    return along_columns, along_rows, normal / np.linalg.norm(normal)


def heights(headers: Sequence[FileHeader]) -> np.ndarray:
    """Position of each image along the normal of the first one (mm)."""
    return np.array([header.position for header in headers]) @ axes_of(headers[0])[2]


def slots_of(headers: Sequence[FileHeader]) -> list[int]:
    """Index of each image's slice position, counted along the normal."""
    height = heights(headers)
    order = np.argsort(height, kind="stable")
    steps = np.diff(height[order], prepend=height[order[0]]) > SAME_POSITION_MM
    slots = np.empty(len(headers), dtype=int)
    slots[order] = np.cumsum(steps)
    return slots.tolist()


def fault_of(headers: Sequence[FileHeader]) -> Fault | None:
    """Check images with one position each, in the order of the slices: spacing and shear."""
    height = heights(headers)
    steps = np.diff(height)
    spacing = float(np.sort(steps)[(len(steps) - 1) // 2])  # the lower median: gaps only make steps longer
    tolerance = max(SPACING_TOLERANCE_MM, SPACING_TOLERANCE * spacing)
    wide = np.flatnonzero(np.abs(steps - spacing) > tolerance)
    if len(wide):
        gaps = steps[wide] / spacing
        if np.all(np.abs(gaps - np.round(gaps)) <= WHOLE_STEPS) and np.all(np.round(gaps) >= 2):
            missing = (np.round(gaps) - 1).astype(int)
            places = zip(missing, wide + 1, strict=True)
            found = ", ".join(f"{count} slice(s) missing after slice {after}" for count, after in places)
            return Fault("E_MISSING", f"{found} of {len(headers)}")
        found = f"{steps.min():.2f} to {steps.max():.2f} mm"
        return Fault("E_SPACING", f"the distance between slices varies: {found} (tolerance {tolerance:.2f} mm)")
    even = np.linspace(height[0], height[-1], len(height))
    drift = float(np.abs(height - even).max())
    if drift > tolerance:
        return Fault("E_SPACING", f"slices stray {drift:.2f} mm from even spacing (tolerance {tolerance:.2f} mm)")
    return _shear(headers, float(height[-1] - height[0]))


def _shear(headers: Sequence[FileHeader], height: float) -> Fault | None:
    position = np.array([header.position for header in headers])
    in_plane = np.array(axes_of(headers[0])[:2])
    drift = float(np.linalg.norm((position - position[0]) @ in_plane.T, axis=1).max())
    if drift <= max(SHEAR_TOLERANCE * height, SPACING_TOLERANCE_MM):
        return None
    return Fault("E_SHEAR", f"slices shift sideways by {drift:.2f} mm over a stack {height:.1f} mm high")


def affine_of(headers: Sequence[FileHeader]) -> np.ndarray:
    """Affine (4, 4) from voxel index (column, row, slice) to RAS+ mm, for images in the order of the slices.

    DICOM's x and y point to the patient's left and back (LPS+); RAS+ turns both round.
    """
    first, last = headers[0], headers[-1]
    along_columns, along_rows, _ = axes_of(first)
    step = (np.array(last.position) - np.array(first.position)) / (len(headers) - 1)
    affine = np.eye(4)
    affine[:3, :3] = LPS_TO_RAS @ np.column_stack(
        [along_columns * first.pixel_spacing[1], along_rows * first.pixel_spacing[0], step]
    )
    affine[:3, 3] = LPS_TO_RAS @ np.array(first.position)
    return affine


def orientation_name(header: FileHeader) -> str:
    """Name of an image's plane, such as "axial" or "oblique coronal"."""
    return plane_name(axes_of(header)[2])


def plane_name(normal: np.ndarray) -> str:
    """Name of the plane that has the unit vector ``normal`` (3,), in LPS+ or RAS+."""
    along = np.abs(normal)
    plane = PLANES[int(along.argmax())]
    oblique = np.degrees(np.arccos(min(1.0, float(along.max())))) > OBLIQUE_ABOVE_DEG
    return f"oblique {plane}" if oblique else plane
