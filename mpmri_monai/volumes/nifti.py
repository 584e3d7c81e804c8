"""Stacks from NIfTI files. The slice axis is the third voxel axis."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.openers import ImageOpener
from nibabel.spatialimages import HeaderDataError
from nibabel.volumeutils import array_from_file
from numpy.typing import NDArray

from mpmri_monai.errors import GeometryError
from mpmri_monai.volumes.geometry import Geometry, same_grid
from mpmri_monai.volumes.stack import Stack

MAX_VOXEL_BYTES = 4 * 2**30
"""Larger images are refused by their header, before anything is allocated (bytes)."""
UNITS = ("mm", "unknown")
"""Units of length that are taken for mm; nearly every file without units is in mm."""
BLOCK_BYTES = 2**20


def read_nifti(path: Path) -> Stack:
    """Read a 3D NIfTI image.

    Raises:
        GeometryError: no such file, damaged, not 3D, too large, without geometry or with two that differ, or with
            voxels that are no numbers.
    """
    path = Path(path)
    image = _open(path)
    shape = _shape(path, image)
    geometry = _geometry(path, image, shape)
    proxy: Any = image.dataobj
    voxels = _stored(path, proxy).reshape(shape)
    voxels = voxels.astype(voxels.dtype.newbyteorder("="), copy=False)
    if voxels.dtype.kind == "f" and not np.isfinite(voxels).all():
        raise _unreadable(path, "voxels that are not finite")
    slope, intercept = float(proxy.slope), float(proxy.inter)
    if not slope > 0 or not np.isfinite(slope + intercept):
        raise _unreadable(path, "a scale that is not positive")
    slices = shape[2]
    return Stack(
        stored=np.ascontiguousarray(voxels.transpose(2, 1, 0)),
        slope=np.full(slices, slope),
        intercept=np.full(slices, intercept),
        geometry=geometry,
    )


def _open(path: Path) -> nibabel.Nifti1Image:
    if not path.is_file():
        raise _unreadable(path, "no such file")
    try:
        image = nibabel.load(path)
    except (ImageFileError, HeaderDataError, OSError, EOFError, ValueError, zlib.error) as error:
        raise _unreadable(path, "a file that nibabel cannot read") from error
    if not isinstance(image, nibabel.Nifti1Image):  # NIfTI-2 is a subclass
        raise _unreadable(path, "an image of another format")
    return image


def _shape(path: Path, image: nibabel.Nifti1Image) -> tuple[int, int, int]:
    shape, dtype = image.shape, image.get_data_dtype()
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) != 3 or dtype.kind not in "iuf":
        raise _unreadable(path, f"shape {' x '.join(map(str, image.shape))} of {dtype}")
    if int(np.prod(shape, dtype=object)) * dtype.itemsize > MAX_VOXEL_BYTES:
        raise _unreadable(path, f"more than {MAX_VOXEL_BYTES >> 20} MiB of voxels", code="E_LIMIT")
    if not (image.header["sform_code"] > 0 or image.header["qform_code"] > 0):
        raise _unreadable(path, "no geometry: both sform and qform are unset", code="E_NOGEOM")
    try:
        unit = image.header.get_xyzt_units()[0]
    except KeyError:
        unit = "a unit that NIfTI does not know"
    if unit not in UNITS:
        raise _unreadable(path, f"lengths in {unit}", code="E_NOGEOM")
    columns, rows, slices = (int(count) for count in shape)
    return columns, rows, slices


def _geometry(path: Path, image: nibabel.Nifti1Image, shape: tuple[int, int, int]) -> Geometry:
    """Grid of the image. Readers differ in which of sform and qform they follow, so the two may not differ."""
    try:
        forms = image.get_sform(coded=True), image.get_qform(coded=True)
        grids = [Geometry(form, shape) for form, code in forms if code > 0]
    except (GeometryError, HeaderDataError, ValueError) as error:
        raise _unreadable(path, "a geometry that does not span space", code="E_NOGEOM") from error
    if len(grids) == 2 and not same_grid(*grids):
        raise _unreadable(path, "two geometries: sform and qform put the voxels at different places", code="E_NOGEOM")
    return grids[0]


def _stored(path: Path, proxy: Any) -> NDArray:
    """Read the voxels before scaling. A compressed file is read to its end, for only there lies its checksum."""
    try:
        with ImageOpener(path) as file:
            voxels = array_from_file(proxy.shape, proxy.dtype, file, proxy.offset)
            while path.suffix != ".nii" and file.read(BLOCK_BYTES):
                pass
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise _unreadable(path, "a file that ends early or is damaged") from error
    return voxels


def _unreadable(path: Path, found: str, code: str = "E_NIFTI") -> GeometryError:
    expected, fix = "a 3D NIfTI image with geometry in mm", "write the file again"
    return GeometryError(expected=expected, found=found, where=path.name, fix=fix, code=code)
