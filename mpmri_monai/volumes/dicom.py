"""Stacks from DICOM: slices put together by their positions, never by instance numbers or file names."""

from __future__ import annotations

import numpy as np

from mpmri_monai.catalogue import VolumeRecord
from mpmri_monai.catalogue.pixels.stored import stored_stack
from mpmri_monai.volumes.geometry import Geometry
from mpmri_monai.volumes.stack import Stack


def read_dicom(record: VolumeRecord) -> Stack:
    """Read the voxels of one volume of a catalogue.

    Native pixels are read from the offset that the scan noted, without parsing the files again; compressed ones are
    decoded by pydicom, every file parsed once however many of its frames the volume has.

    Raises:
        CatalogueError: a file ends early, has gone, or its compression cannot be decoded; it names series and image.
    """
    headers = record.files
    return Stack(
        stored=stored_stack(headers),
        slope=np.array([header.slope for header in headers]),
        intercept=np.array([header.intercept for header in headers]),
        geometry=Geometry(record.affine, (record.columns, record.rows, record.slices)),
        instances=tuple(header.instance for header in headers),
        frame_of_reference=headers[0].frame_of_reference,
    )
