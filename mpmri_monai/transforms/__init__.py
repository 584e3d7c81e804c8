"""The steps from a study to what a network sees, as MONAI transforms."""

from mpmri_monai.transforms.fuse import FuseSequences, FuseSequencesd
from mpmri_monai.transforms.study import (
    LoadRegionsd,
    LoadSequencesd,
    LocateSamplesd,
    TakeSamplesd,
    TrimmedMinMaxd,
    preprocessing,
)

__all__ = [
    "FuseSequences",
    "FuseSequencesd",
    "LoadRegionsd",
    "LoadSequencesd",
    "LocateSamplesd",
    "TakeSamplesd",
    "TrimmedMinMaxd",
    "preprocessing",
]
