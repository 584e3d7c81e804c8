"""Series as voxels with geometry, and masks that belong to them.

What needs SimpleITK is imported from its own module, so that nobody else waits for it: ``registration`` (the motion
between two sequences) and ``regrid`` (a sequence on another grid).
"""

from mpmri_monai.volumes.dicom import read_dicom
from mpmri_monai.volumes.geometry import Geometry, same_grid
from mpmri_monai.volumes.mask_checks import mask_cautions
from mpmri_monai.volumes.masks import Mask, check_mask, fits, read_nifti_mask
from mpmri_monai.volumes.move import Moved, move_mask
from mpmri_monai.volumes.nifti import read_nifti
from mpmri_monai.volumes.read import read_volume
from mpmri_monai.volumes.regions import MaskRegion, mask_regions, read_region
from mpmri_monai.volumes.rtstruct import read_rtstruct_mask
from mpmri_monai.volumes.seg import read_seg_mask
from mpmri_monai.volumes.stack import Stack

__all__ = [
    "Geometry",
    "Mask",
    "MaskRegion",
    "Moved",
    "Stack",
    "check_mask",
    "fits",
    "mask_cautions",
    "mask_regions",
    "move_mask",
    "read_dicom",
    "read_nifti",
    "read_nifti_mask",
    "read_region",
    "read_rtstruct_mask",
    "read_seg_mask",
    "read_volume",
    "same_grid",
]
