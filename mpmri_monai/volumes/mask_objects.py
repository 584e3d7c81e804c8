"""Opening the DICOM objects that hold masks, and what each says about the images that it was drawn on."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from pydicom import Dataset, dcmread
from pydicom.filereader import read_file_meta_info
from pydicom.uid import DeflatedExplicitVRLittleEndian

from mpmri_monai.catalogue.headers.references import refers_to
from mpmri_monai.catalogue.quiet import without_warnings
from mpmri_monai.volumes.masks import mask_error
from mpmri_monai.volumes.stack import Stack

MAX_OBJECT_BYTES = 512 * 2**20
"""Larger files are refused before they are read (bytes)."""


EXPORT_AS = "export the mask as NIfTI (.nii, .nii.gz), DICOM SEG or RTSTRUCT"


@dataclass(frozen=True)
class MaskSource:
    """What a mask file says about the images that a region was drawn on; from NIfTI nothing is known."""

    images: frozenset[str] = field(default=frozenset(), repr=False)
    """References as of ``catalogue.headers.references.image_references``."""
    frame_of_reference: str = field(default="", repr=False)

    def names(self, stack: Stack) -> bool:
        """Whether at least one slice of ``stack`` is among the images."""
        return any(refers_to(self.images, instance) for instance in stack.instances)

    def shares_space(self, stack: Stack) -> bool:
        """Whether positions mean the same in both, as far as both say."""
        frames = {self.frame_of_reference, stack.frame_of_reference} - {""}
        return len(frames) < 2


def open_object(path: Path, name: str, classes: Collection[str], kind: str) -> Dataset:
    """Read a DICOM object of one of ``classes`` (SOP class UIDs), called ``kind`` in errors.

    Raises:
        MaskError: E_LIMIT for a file that is too large or compressed as a whole, so that its size is not known
            before it is unpacked; E_MASK_FILE when it is absent, damaged or another object.
    """
    path, expected = Path(path), f"a file of DICOM {kind}"
    if not path.is_file():
        raise mask_error(name, expected, "no such file", "E_MASK_FILE")
    if path.stat().st_size > MAX_OBJECT_BYTES:
        raise mask_error(name, f"at most {MAX_OBJECT_BYTES >> 20} MiB", "a larger file", "E_LIMIT")
    try:
        with without_warnings():
            deflated = read_file_meta_info(path).get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian
            dataset = Dataset() if deflated else dcmread(path)
            held = str(dataset.get("SOPClassUID", ""))
    except Exception as error:  # whatever a damaged or foreign file makes pydicom raise
        raise mask_error(name, expected, "a file that cannot be read as one", "E_MASK_FILE", EXPORT_AS) from error
    if deflated:
        raise mask_error(name, "a file that is not deflated as a whole", "a deflated one", "E_LIMIT")
    if held not in classes:
        raise mask_error(name, expected, "another kind of DICOM object", "E_MASK_FILE", EXPORT_AS)
    return dataset
