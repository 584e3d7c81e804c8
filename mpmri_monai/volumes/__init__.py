"""Series as voxels with geometry, and masks that belong to them."""

from mpmri_monai.volumes.dicom import read_dicom
from mpmri_monai.volumes.geometry import Geometry, same_grid
from mpmri_monai.volumes.masks import Mask, check_mask, fits, read_nifti_mask, read_seg_mask
from mpmri_monai.volumes.nifti import read_nifti
from mpmri_monai.volumes.stack import Stack

__all__ = [
    "Geometry",
    "Mask",
    "Stack",
    "check_mask",
    "fits",
    "read_dicom",
    "read_nifti",
    "read_nifti_mask",
    "read_seg_mask",
    "same_grid",
]
