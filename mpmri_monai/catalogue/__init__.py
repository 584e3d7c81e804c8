"""Which series and phase of a study is which sequence, and why: found from the headers of its files."""

from mpmri_monai.catalogue.headers.header import FileHeader
from mpmri_monai.catalogue.pixels.stored import stored_pixels
from mpmri_monai.catalogue.record import (
    Catalogue,
    Caution,
    Decision,
    Evidence,
    ObjectRecord,
    Problem,
    Rival,
    SetAside,
    Unresolved,
    VolumeRecord,
)
from mpmri_monai.catalogue.scan import scan

__all__ = [
    "Catalogue",
    "Caution",
    "Decision",
    "Evidence",
    "FileHeader",
    "ObjectRecord",
    "Problem",
    "Rival",
    "SetAside",
    "Unresolved",
    "VolumeRecord",
    "scan",
    "stored_pixels",
]
