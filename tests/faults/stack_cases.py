"""One volume in one series: what may be odd about a stack of slices."""

from __future__ import annotations

import functools

import numpy as np
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items

from faults.builder import CORONAL, SAGITTAL, Grid, Study, clock, private, volume
from faults.case import case

assembly = functools.partial(case, "One stack")
geometry = functools.partial(case, "Geometry")
TILT = np.radians(20)
OBLIQUE = (0.97, 0.12, -0.211376, -0.08, 0.978, 0.192553)
"""Direction cosines of a double oblique stack before they are made exactly perpendicular."""


@assembly()
def clean_stack(study: Study) -> None:
    """Nothing wrong."""
    study.add(volume())


@assembly()
def instance_numbers_shuffled(study: Study) -> None:
    """InstanceNumber does not follow the slices."""
    study.add(stack := volume())
    for k, image in enumerate(stack.images):
        image.InstanceNumber = (3 * k) % 8 + 1


@assembly()
def instance_numbers_missing(study: Study) -> None:
    """No InstanceNumber."""
    study.add(stack := volume(InstanceNumber=None))
    for image in stack.images:
        del image.InstanceNumber


@assembly()
def instance_numbers_descend(study: Study) -> None:
    """The first image is the last along the normal."""
    study.add(stack := volume())
    for k, image in enumerate(stack.images):
        image.InstanceNumber = 8 - k


@assembly(refused="E_MISSING")
def one_slice_missing(study: Study) -> None:
    """The fourth of eight slices was lost."""
    stack = volume()
    del stack.images[3]
    study.images = stack.images


@assembly(refused="E_MISSING")
def two_neighbouring_slices_missing(study: Study) -> None:
    """A gap of three steps."""
    stack = volume()
    del stack.images[3:5]
    study.images = stack.images


@assembly(refused="E_MISSING")
def every_second_slice_missing_in_one_half(study: Study) -> None:
    """Four steps of 6 mm and three of 12 mm."""
    stack = volume(grid=Grid(slices=11))
    study.images = [image for k, image in enumerate(stack.images) if k < 4 or k % 2 == 0]


@assembly(warned="W_SPARSE")
def every_second_slice_of_a_3D_stack_taken_out(study: Study) -> None:
    """What is left is evenly spaced and right in itself: slices 5 mm thick and 12 mm apart. A 3D stack has no gaps."""
    study.add(volume(grid=Grid(step_mm=12.0), MRAcquisitionType="3D", SliceThickness=5.0))


@assembly(warned="W_DUP")
def slice_sent_twice(study: Study) -> None:
    """One image again under another SOPInstanceUID."""
    stack = volume()
    again = volume().images[3]
    again.SOPInstanceUID = again.file_meta.MediaStorageSOPInstanceUID = "2.25.4444"
    study.add(stack)
    study.images.append(again)


@assembly(warned="W_DUP")
def file_copied(study: Study) -> None:
    """One file lies there twice."""
    study.add(volume())
    study.images.append(volume().images[3])


@assembly(warned="W_DUP")
def series_exported_twice(study: Study) -> None:
    """Every file lies there twice, in two folders."""
    study.add(volume())
    study.images.extend(volume().images)


@assembly(refused="E_INCOMPLETE")
def another_image_at_one_position(study: Study) -> None:
    """One slice position has a second image with other pixels."""
    stack = volume()
    other = volume(index=1).images[3]
    study.images = [*stack.images, other]


@assembly(refused="E_GRID")
def one_slice_of_another_matrix(study: Study) -> None:
    """One image has half the rows."""
    stack = volume()
    odd = stack.images[3]
    odd.Rows, odd.PixelData = 8, odd.PixelData[: len(odd.PixelData) // 2]
    study.images = stack.images


@assembly(refused="E_GRID")
def one_slice_of_another_pixel_spacing(study: Study) -> None:
    """One image has larger pixels."""
    stack = volume()
    stack.images[3].PixelSpacing = [3.0, 2.5]
    study.images = stack.images


@assembly(refused="E_GRID")
def one_slice_in_another_frame_of_reference(study: Study) -> None:
    """One image was made after the patient had been moved."""
    stack = volume()
    stack.images[3].FrameOfReferenceUID = "2.25.6"
    study.images = stack.images


@assembly()
def patient_moved_half_way(study: Study) -> None:
    """Half of the images are in another frame of reference: two stacks, which must not become one."""
    lower, upper = (
        volume("lower", grid=Grid(slices=4)),
        volume("upper", grid=Grid(slices=4, origin=(-50, -60, -6)), index=1),
    )
    for image in upper.images:
        image.FrameOfReferenceUID = "2.25.6"
    study.add(lower, upper)


@assembly(elsewhere=False)
def single_slice(study: Study) -> None:
    """One image is no stack and is left out."""
    study.images = volume().images[:1]


@assembly()
def three_plane_localizer(study: Study) -> None:
    """Three slices in each of three planes, which are no volume."""
    for index, axes in enumerate(((1, 0, 0, 0, 1, 0), SAGITTAL, CORONAL)):
        study.add(volume(index=index, grid=Grid(slices=3, step_mm=20.0, axes=axes)), expected=False)


@assembly()
def localizer_of_GE(study: Study) -> None:
    """Three planes in three series; GE's series plane says that they are a localizer."""
    for index, axes in enumerate(((1, 0, 0, 0, 1, 0), SAGITTAL, CORONAL)):
        found = volume(
            series=index + 1, grid=Grid(slices=3, step_mm=20.0, axes=axes), Manufacturer="GE MEDICAL SYSTEMS"
        )
        for image in found.images:
            private(image, 0x0019, "GEMS_ACQU_01", 0x17, "SS", 256)
        study.add(found, expected=False)


@assembly()
def mosaic(study: Study) -> None:
    """Siemens mosaic: each image is a sheet of slices, and is left out."""
    study.add(
        volume(ImageType=["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"], Manufacturer="SIEMENS", ScanningSequence="EP"),
        expected=False,
    )


@assembly()
def two_series(study: Study) -> None:
    """Two series on one grid."""
    study.add(volume("one", 3), volume("two", 4, index=1))


@assembly()
def two_series_with_one_number(study: Study) -> None:
    """SeriesNumber is the same, only the UIDs differ."""
    study.add(volume("one", 3), volume("two", 4, index=1, SeriesNumber=3))


@assembly()
def two_orientations_in_one_series(study: Study) -> None:
    """Twelve axial and twelve sagittal slices in one series: two stacks, no localizer."""
    study.add(volume("axial", grid=Grid(slices=12)))
    study.add(volume("sagittal", index=1, grid=Grid(slices=12, axes=SAGITTAL)))


@assembly(refused="E_SPACING")
def two_slabs_in_one_series(study: Study) -> None:
    """Two parallel stacks with a gap of two and a half steps between them."""
    for index, start in enumerate((-30.0, 27.0)):
        study.add(volume(index=index, grid=Grid(origin=(-50.0, -60.0, start))), expected=False)


@assembly(refused="E_SHORT")
def end_slice_lost_by_GE_count(study: Study) -> None:
    """The last slice was lost; GE's locations per phase still say 8."""
    stack = volume(Manufacturer="GE MEDICAL SYSTEMS")
    for image in stack.images:
        private(image, 0x0021, "GEMS_RELA_01", 0x4F, "SS", 8)
    study.images = stack.images[:-1]


@assembly(refused="E_SHORT")
def end_slice_lost_by_Philips_count(study: Study) -> None:
    """The last slice was lost; Philips' number of slices still says 8."""
    stack = volume(Manufacturer="Philips Medical Systems")
    for image in stack.images:
        private(image, 0x2001, "Philips Imaging DD 001", 0x18, "SL", 8)
    study.images = stack.images[:-1]


@assembly()
def one_SOPInstanceUID_for_all(study: Study) -> None:
    """A bad anonymisation gave every image of two series the same SOPInstanceUID."""
    study.add(volume("one", 3), volume("two", 4, index=1))
    for image in study.images:
        image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = "2.25.1234"


@assembly()
def description_changes_inside_a_series(study: Study) -> None:
    """GE writes a clock into SeriesDescription."""
    study.add(volume(SeriesDescription=lambda index, k: f"Ax LAVA 10:0{k}"))


@assembly()
def study_time_changes_inside_a_series(study: Study) -> None:
    """StudyTime and SeriesTime differ from image to image."""
    study.add(volume(StudyTime=lambda index, k: clock(36000 + k), SeriesTime=lambda index, k: clock(36000 + 3 * k)))


# -- geometry -----------------------------------------------------------------


@geometry(refused="E_SHEAR")
def shear(study: Study) -> None:
    """Each slice is shifted along the rows, as by a tilted gantry."""
    stack = volume()
    for k, image in enumerate(stack.images):
        x, y, z = image.ImagePositionPatient
        image.ImagePositionPatient = [x, y + k * 6.0 * float(np.tan(TILT)), z]
    study.images = stack.images


@geometry(refused="E_SPACING")
def uneven_spacing(study: Study) -> None:
    """Steps of 5 and 7 mm."""
    stack = volume()
    for k, image in enumerate(stack.images):
        image.ImagePositionPatient = [-50, -60, 6.0 * k - 30 + k % 2]
    study.images = stack.images


@geometry(refused="E_NOGEOM")
def no_positions(study: Study) -> None:
    """Neither position nor orientation."""
    stack = volume()
    for image in stack.images:
        del image.ImagePositionPatient, image.ImageOrientationPatient
    study.images = stack.images


@geometry(refused="E_NOGEOM")
def one_position_missing(study: Study) -> None:
    """One image has no position."""
    stack = volume()
    del stack.images[3].ImagePositionPatient
    study.images = stack.images


@geometry(refused="E_NOGEOM")
def positions_only_in_Philips_private(study: Study) -> None:
    """After a bad anonymisation only Philips' private copy of the position is left, half a voxel off."""
    stack = volume(Manufacturer="Philips Medical Systems")
    for image in stack.images:
        copy = Dataset()
        copy.ImagePositionPatient = [
            x - half for x, half in zip(image.ImagePositionPatient, (0.6, 0.7, 0), strict=True)
        ]
        private(image, 0x2005, "Philips MR Imaging DD 005", 0x0F, "SQ", Items([copy]))
        del image.ImagePositionPatient
    study.images = stack.images


@geometry(refused="E_NOGEOM")
def no_pixel_spacing(study: Study) -> None:
    """PixelSpacing is absent."""
    stack = volume()
    for image in stack.images:
        del image.PixelSpacing
    study.images = stack.images


@geometry(refused="E_NOGEOM")
def axes_not_perpendicular(study: Study) -> None:
    """Direction cosines that are 60 degrees apart."""
    study.add(volume(ImageOrientationPatient=[1, 0, 0, 0.5, 0.8660254, 0]), expected=False)


@geometry()
def spacing_between_slices_is_a_gap(study: Study) -> None:
    """Thickness 5, SpacingBetweenSlices 1, and positions 6 mm apart."""
    study.add(volume(SliceThickness=5, SpacingBetweenSlices=1))


@geometry()
def overlapping_slices(study: Study) -> None:
    """Thickness 6 mm, 3 mm apart."""
    study.add(volume(grid=Grid(step_mm=3.0), SliceThickness=6))


@geometry()
def oblique(study: Study) -> None:
    """A double oblique stack."""
    study.add(volume(grid=Grid(axes=perpendicular(OBLIQUE))))


@geometry()
def sagittal(study: Study) -> None:
    """A sagittal stack with 1 mm slices."""
    study.add(volume(grid=Grid(axes=SAGITTAL, step_mm=1.0)))


@geometry()
def coronal_backwards(study: Study) -> None:
    """A coronal stack whose instance numbers run against its normal."""
    study.add(stack := volume(grid=Grid(axes=CORONAL)))
    for k, image in enumerate(stack.images):
        image.InstanceNumber = 8 - k


@geometry()
def positions_jitter(study: Study) -> None:
    """Positions are written 0.02 mm off."""
    study.add(stack := volume())
    for k, image in enumerate(stack.images):
        image.ImagePositionPatient = [-50, -60, 6.0 * k - 30 + (0.02 if k in (2, 5) else 0.0)]


@geometry()
def two_spellings_of_one_orientation(study: Study) -> None:
    """Half of the images round the direction cosines otherwise and write -0."""
    study.add(stack := volume(grid=Grid(axes=perpendicular(OBLIQUE))))
    for image in stack.images[::2]:
        image.ImageOrientationPatient = [round(float(value), 4) for value in image.ImageOrientationPatient]


def perpendicular(axes: tuple[float, ...]) -> tuple[float, ...]:
    """Nearest unit vectors at a right angle, by one step of Gram and Schmidt, with the digits of a header."""
    first = np.array(axes[:3]) / np.linalg.norm(axes[:3])
    second = np.array(axes[3:]) - first * (first @ axes[3:])
    return tuple(np.round([*first, *(second / np.linalg.norm(second))], 8).tolist())
