"""The voxels of one volume of a catalogue, in whatever files they are kept."""

from __future__ import annotations

from mpmri_monai.catalogue import VolumeRecord
from mpmri_monai.errors import GeometryError
from mpmri_monai.volumes.dicom import read_dicom
from mpmri_monai.volumes.nifti import read_nifti
from mpmri_monai.volumes.stack import Stack


def read_volume(record: VolumeRecord) -> Stack:
    """Read the voxels of one volume, from DICOM or NIfTI.

    The files of an archive are there for as long as the catalogue that the volume is from.

    Raises:
        CatalogueError: a DICOM file ends early, has gone, or its compression cannot be decoded.
        GeometryError: a NIfTI file has gone or is damaged. It names the volume, as the file's name may name a person.
    """
    if record.nifti is None:
        return read_dicom(record)
    try:
        return read_nifti(record.nifti)
    except GeometryError as error:
        where = f"volume {record.id}"
        raise GeometryError(
            expected=error.expected, found=error.found, where=where, fix=error.fix, code=error.code
        ) from None
