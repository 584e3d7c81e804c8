"""What the DICOM objects of an answer are derived from: the images of the series that lesions were drawn on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pydicom import Dataset, dcmread
from pydicom.valuerep import DA, TM

from mpmri_monai.catalogue.quiet import without_warnings
from mpmri_monai.errors import CatalogueError, MaskError
from mpmri_monai.volumes import Mask, Stack, move_mask

MAY_BE_EMPTY = (
    "AccessionNumber",
    "PatientBirthDate",
    "PatientID",
    "PatientName",
    "PatientSex",
    "ReferringPhysicianName",
    "StudyDate",
    "StudyID",
    "StudyTime",
    "PositionReferenceIndicator",
)
"""Type 2 attributes of the patient, study and frame of reference modules: de-identified files often lack them."""
NEEDED = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID", "Rows", "Columns")
EXPORT = "export the study again"
UNICODE = "ISO_IR 192"


def _sex(text: str) -> None:
    if text not in ("", "M", "F", "O"):
        raise ValueError


FORMS: dict[str, Callable[[str], object]] = {
    "PatientBirthDate": DA, "StudyDate": DA, "StudyTime": TM, "PatientSex": _sex,
}  # fmt: skip
"""Attributes of patient and study that no object may repeat in another form; each raises ValueError for one."""


@dataclass(frozen=True, eq=False)
class RegionOnSeries:
    """A lesion on the grid of the series that it was drawn on."""

    mask: Mask
    """Voxels (slice, row, column), one slice for each image of the series, as `on` makes it."""
    instances: tuple[str, ...] = field(repr=False)
    """(slice,): which image each slice is, as in ``Stack.instances``. Never printed or written elsewhere."""

    def __post_init__(self) -> None:
        if len(self.mask.voxels) != len(self.instances) or not self.mask.voxels.any():
            raise MaskError(
                expected="a region with voxels, and one image for each of its slices",
                found=f"{int(self.mask.voxels.sum())} voxels, {len(self.mask.voxels)} slices and "
                f"{len(self.instances)} images",
                code="E_MASK_GRID",
            )

    @property
    def frames(self) -> tuple[int, ...]:
        """(slice,): which frames of a multi-frame file the slices are, from 0; empty for files of one image."""
        return tuple(int(frame) for _, mark, frame in (name.partition("#") for name in self.instances) if mark)

    @classmethod
    def on(cls, stack: Stack, mask: Mask, name: str) -> RegionOnSeries:
        """Return ``mask`` on the grid of the DICOM volume that it was drawn on.

        A mask that was drawn on that grid keeps exactly its voxels, also when its axes run the other way or when it
        leaves out slices; of another one, such as a box, a voxel counts when its centre lies inside.

        Raises:
            MaskError: a part lies outside the volume, none of it is left on its grid, or the volume is not DICOM.
        """
        return cls(move_mask(mask, stack.geometry, name).mask, stack.instances)


@without_warnings()
def read_images(paths: Iterable[Path]) -> dict[str, Dataset]:
    """Return the headers of the referenced images by their SOP Instance UID, without pixels.

    Raises:
        CatalogueError: a file cannot be read as an image, they belong to several studies, or there is none.
    """
    images = [_header(Path(path)) for path in dict.fromkeys(paths)]
    studies = {str(image.StudyInstanceUID) for image in images}
    if len(studies) != 1:
        raise CatalogueError(
            expected="the DICOM images of one study, for an answer that belongs to it",
            found=f"{len(studies)} studies" if images else "no DICOM image",
            fix="give a study in DICOM, or leave out --dicom-out",
            code="E_DICOM_OUT",
        )
    return {str(image.SOPInstanceUID): image for image in images}


def _header(path: Path) -> Dataset:
    try:
        image = dcmread(path, stop_before_pixels=True)
        image.decode()
    except Exception as error:  # whatever a damaged or foreign file makes pydicom raise
        raise _unusable("a file that cannot be read as one") from error
    missing = [name for name in NEEDED if not image.get(name)]
    if missing:
        raise _unusable(f"one without {', '.join(missing)}")
    malformed = list(_malformed(image))
    if malformed:
        raise _unusable(f"one whose {', '.join(malformed)} DICOM does not allow")
    image.SpecificCharacterSet = UNICODE  # highdicom does not take the code extensions that Japanese names come with
    for name in MAY_BE_EMPTY:
        if name not in image:
            setattr(image, name, None)
    return image


def _malformed(image: Dataset) -> Iterator[str]:
    for name, form in FORMS.items():
        try:
            form(str(image.get(name) or ""))
        except ValueError:
            yield name


def _unusable(found: str) -> CatalogueError:
    return CatalogueError(expected="DICOM images that an answer can refer to", found=found, fix=EXPORT, code="E_FILE")


def images_of(region: RegionOnSeries, images: dict[str, Dataset]) -> list[Dataset]:
    """Return the images that a region's slices are, in their order; of a multi-frame file just that one file.

    Raises:
        MaskError: an image is not among ``images``, or has another matrix than the region.
    """
    files = list(dict.fromkeys(instance.partition("#")[0] for instance in region.instances))
    found = [images[uid] for uid in files if uid in images]
    matrix = region.mask.voxels.shape[1:]
    if len(found) != len(files) or any((image.Rows, image.Columns) != matrix for image in found):
        raise MaskError(
            expected=f"{len(files)} images of {matrix[0]} x {matrix[1]} voxels, those that the region was drawn on",
            found=f"{len(found)} of them, or another matrix",
            fix="give the files of the series that the region was drawn on",
            code="E_MASK_GRID",
        )
    return found
