"""Stacks from NIfTI files. The slice axis is the third voxel axis."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import numpy as np
from nibabel.openers import ImageOpener
from nibabel.volumeutils import array_from_file
from numpy.typing import NDArray

from mpmri_monai.catalogue.containers.nifti_file import open_nifti, unusable
from mpmri_monai.volumes.geometry import Geometry
from mpmri_monai.volumes.stack import Stack

BLOCK_BYTES = 2**20


def read_nifti(path: Path) -> Stack:
    """Read a 3D NIfTI image.

    Raises:
        GeometryError: no such file, damaged, not 3D, too large, without geometry or with two that differ, or with
            voxels that are no numbers.
    """
    path = Path(path)
    nifti = open_nifti(path)
    proxy: Any = nifti.image.dataobj
    voxels = _stored(path, proxy).reshape(nifti.shape)
    voxels = voxels.astype(voxels.dtype.newbyteorder("="), copy=False)
    if voxels.dtype.kind == "f" and not np.isfinite(voxels).all():
        raise unusable(path, "voxels that are not finite")
    slope, intercept = float(proxy.slope), float(proxy.inter)
    if not slope > 0 or not np.isfinite(slope + intercept):
        raise unusable(path, "a scale that is not positive")
    slices = nifti.shape[2]
    return Stack(
        stored=np.ascontiguousarray(voxels.transpose(2, 1, 0)),
        slope=np.full(slices, slope),
        intercept=np.full(slices, intercept),
        geometry=Geometry(nifti.affine, nifti.shape),
    )


def _stored(path: Path, proxy: Any) -> NDArray:
    """Read the voxels before scaling. A compressed file is read to its end, for only there lies its checksum."""
    try:
        with ImageOpener(path) as file:
            voxels = array_from_file(proxy.shape, proxy.dtype, file, proxy.offset)
            while path.suffix != ".nii" and file.read(BLOCK_BYTES):
                pass
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise unusable(path, "a file that ends early or is damaged") from error
    return voxels
