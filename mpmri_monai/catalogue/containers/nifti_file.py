"""The header of a NIfTI file: whether it holds a 3D image in mm, and where its voxels lie. No voxel is read."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import nibabel
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.openers import ImageOpener
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError
from numpy.typing import NDArray

from mpmri_monai.errors import GeometryError

MAX_VOXEL_BYTES = 4 * 2**30
"""Larger images are refused by their header, before anything is allocated (bytes)."""
MAX_HEADER_BYTES = 16 * 2**20
"""Voxels begin no later than this: nibabel reads all that lies before them into memory (bytes)."""
HEADERS = {348: nibabel.Nifti1Header, 540: nibabel.Nifti2Header}
"""By the size of the header, which is its first value (bytes)."""
DAMAGE = (
    ImageFileError,
    HeaderDataError,
    WrapStructError,
    OSError,
    EOFError,
    ValueError,
    OverflowError,  # of an offset that is infinite
    zlib.error,
)
"""What nibabel raises on files that end early, are damaged or hostile."""
UNITS = ("mm", "unknown")
"""Units of length that are taken for mm; nearly every file without units is in mm."""
FORMS_TOLERANCE_VOXELS = 0.5
"""sform and qform put the voxels at different places when a corner moves farther than this (voxels)."""
SMALLEST_SINE = 0.5
"""Voxel axes at less than 30 degrees to one another are no image (sine of the angle)."""


@dataclass(frozen=True, eq=False)
class NiftiImage:
    """An image whose header was found in order."""

    image: nibabel.Nifti1Image
    shape: tuple[int, int, int]
    """Columns, rows, slices: the voxel axes of NIfTI in their order."""
    affine: NDArray[np.float64]
    """(4, 4), voxel index (column, row, slice) -> RAS+ mm."""


def open_nifti(path: Path) -> NiftiImage:
    """Read and check the header of a NIfTI file.

    Raises:
        GeometryError: no such file, damaged, not 3D, too large, without geometry or with two that differ. The error
            names the file; its ``found`` does not.
    """
    path = Path(path)
    image = _open(path)
    shape = _shape(path, image)
    return NiftiImage(image, shape, _affine(path, image, shape))


def unusable(path: Path, found: str, code: str = "E_NIFTI") -> GeometryError:
    """Return the error for a file that is no image to use."""
    expected, fix = "a 3D NIfTI image with geometry in mm", "write the file again"
    return GeometryError(expected=expected, found=found, where=path.name, fix=fix, code=code)


def _open(path: Path) -> nibabel.Nifti1Image:
    if not path.is_file():
        raise unusable(path, "no such file")
    if path.stat().st_size > MAX_VOXEL_BYTES + MAX_HEADER_BYTES:  # most of which may be a hole
        raise unusable(path, f"a file of more than {MAX_VOXEL_BYTES + MAX_HEADER_BYTES >> 20} MiB", code="E_LIMIT")
    try:
        with ImageOpener(path) as file:
            start = file.read(max(HEADERS))
        sizes = (int.from_bytes(start[:4], "little"), int.from_bytes(start[:4], "big"))
        kind = next((HEADERS[size] for size in sizes if size in HEADERS), None)
        if kind and kind(start[: kind.sizeof_hdr], check=False).get_data_offset() > MAX_HEADER_BYTES:
            raise unusable(path, f"more than {MAX_HEADER_BYTES >> 20} MiB before the voxels", code="E_LIMIT")
        image = nibabel.load(path)
    except DAMAGE as error:
        raise unusable(path, "a file that nibabel cannot read") from error
    if not isinstance(image, nibabel.Nifti1Image):  # NIfTI-2 is a subclass
        raise unusable(path, "an image of another format")
    return image


def _shape(path: Path, image: nibabel.Nifti1Image) -> tuple[int, int, int]:
    shape, dtype = image.shape, image.get_data_dtype()
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) != 3 or min(shape) < 1 or dtype.kind not in "iuf":
        raise unusable(path, f"shape {' x '.join(map(str, image.shape))} of {dtype}")
    size = int(np.prod(shape, dtype=object)) * dtype.itemsize
    if size > MAX_VOXEL_BYTES:
        raise unusable(path, f"more than {MAX_VOXEL_BYTES >> 20} MiB of voxels", code="E_LIMIT")
    if path.suffix.lower() == ".nii" and path.stat().st_size < image.header.get_data_offset() + size:
        raise unusable(path, "a file that ends early or is damaged")
    columns, rows, slices = (int(count) for count in shape)
    return columns, rows, slices


def _affine(path: Path, image: nibabel.Nifti1Image, shape: tuple[int, int, int]) -> NDArray[np.float64]:
    """Affine of the image. Readers differ in which of sform and qform they follow, so the two may not differ."""
    if not (image.header["sform_code"] > 0 or image.header["qform_code"] > 0):
        raise unusable(path, "no geometry: both sform and qform are unset", code="E_NOGEOM")
    try:
        unit = image.header.get_xyzt_units()[0]
    except KeyError:
        unit = "a unit that NIfTI does not know"
    if unit not in UNITS:
        raise unusable(path, f"lengths in {unit}", code="E_NOGEOM")
    try:
        forms = [form for form, code in (image.get_sform(coded=True), image.get_qform(coded=True)) if code > 0]
    except (HeaderDataError, ValueError) as error:
        raise unusable(path, "a geometry that does not span space", code="E_NOGEOM") from error
    if not all(map(_spans_space, forms)):
        raise unusable(path, "a geometry that does not span space", code="E_NOGEOM")
    corners = np.array([(*corner, 1) for corner in product(*((0, count - 1) for count in shape))])
    moved = np.linalg.solve(forms[0], forms[-1]) @ corners.T - corners.T
    if np.linalg.norm(moved, axis=0).max() > FORMS_TOLERANCE_VOXELS:
        raise unusable(path, "two geometries: sform and qform put the voxels at different places", code="E_NOGEOM")
    return np.asarray(forms[0], dtype=np.float64)


def _spans_space(affine: NDArray) -> bool:
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    if not np.isfinite(affine).all() or lengths.min() <= 0:
        return False
    return bool(abs(np.linalg.det(affine[:3, :3] / lengths)) >= SMALLEST_SINE**2)
