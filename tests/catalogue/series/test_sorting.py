"""Series of real scanners: lost slices, sheets of slices, echoes without a name, Dixon and diffusion images."""

import numpy as np
import pytest

GE_ECHO = (0x0019, "GEMS_ACQU_01", 0x7E, "SS")
GE_SLICES = (0x0021, "GEMS_RELA_01", 0x4F, "SS")
PHILIPS_SLICES = (0x2001, "Philips Imaging DD 001", 0x18, "SL")


def codes(catalogue):
    return [problem.code for problem in catalogue.problems]


def tagged(images, group, creator, element, vr, value):
    for dataset in images:
        dataset.private_block(group, creator, create=True).add_new(element, vr, value)
    return images


@pytest.mark.parametrize("place", [GE_SLICES, PHILIPS_SLICES])
def test_slices_lost_at_the_end_of_a_stack(make, scanned, place):
    images = tagged(make.t2(slices=6), *place, 8)
    catalogue = scanned(images, "none")
    assert codes(catalogue) == ["E_SHORT"] and not catalogue.volumes
    assert "6 slice positions of the 8" in catalogue.problems[0].message


def test_a_gap_is_named_before_the_number_of_slices(make, scanned):
    images = tagged(make.t2(slices=6), *GE_SLICES, 6)
    del images[2]
    assert codes(scanned(images, "none")) == ["E_MISSING"]


def test_stacks_that_hold_what_is_declared_or_more(make, tmp_path):
    from mpmri_monai.catalogue import scan

    whole = tagged(make.t2(slices=6), *GE_SLICES, 6)
    phases = tagged(make.dynamic(), *GE_SLICES, make.slices)
    interpolated = tagged(make.t2(5, slices=6), *GE_SLICES, 3)
    catalogue = scan(make.write(tmp_path / "study", [*whole, *phases, *interpolated]), "none")
    assert catalogue.ok and len(catalogue.volumes) == 1 + len(make.delays_s) + 1


def test_reformatted_images_may_carry_the_number_of_their_source(make, scanned):
    images = tagged(make.t2(slices=6), *GE_SLICES, 120)
    for dataset in images:
        dataset.ImageType = ["DERIVED", "SECONDARY", "REFORMATTED"]
    assert scanned(images, "none").ok


def test_a_number_that_stands_for_two_stacks_is_not_held_against_one(make, scanned):
    turned = [
        make.image(3, k, 1, ImageOrientationPatient=[0, 1, 0, 0, 0, -1], ImagePositionPatient=[6.0 * k, 0, 0])
        for k in range(12)
    ]
    first = [make.image(3, k, 0, ImagePositionPatient=[0, 0, 6.0 * k]) for k in range(12)]
    catalogue = scanned(tagged([*first, *turned], *GE_SLICES, 24), "none")
    assert catalogue.ok and [volume.slices for volume in catalogue.volumes] == [12, 12]


@pytest.mark.parametrize("tags", [{"ImageType": ["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"]}, {}])
def test_sheets_of_slices_are_set_aside_by_name(make, scanned, tags):
    images = [make.image(9, k, **tags) for k in range(4)]
    if not tags:
        tagged(images, 0x0065, "Image Private Header", 0x50, "DS", "20")
    catalogue = scanned(images, "none")
    assert catalogue.ok and not catalogue.volumes
    assert "mosaic" in catalogue.set_aside[0].why


def epi_echoes(make, **tags):
    return [
        make.image(6, k, echo, ScanningSequence=["EP", "GR"], EchoTime=12.0, EchoNumbers=1, **tags)
        for echo in range(3)
        for k in range(make.slices)
    ]


def test_echoes_that_are_all_called_the_first_are_refused(make, scanned):
    catalogue = scanned(tagged(epi_echoes(make), *GE_ECHO, 3), "none")
    assert codes(catalogue) == ["E_ECHO"] and "3 echoes" in catalogue.problems[0].message


def test_dynamic_images_made_of_two_echoes_are_not_taken_for_unnamed_echoes(make, scanned):
    water = [
        (setattr(dataset, "ImageType", ["DERIVED", "PRIMARY", "DIXON", "WATER"]), dataset)[1]
        for dataset in make.dynamic()
    ]
    catalogue = scanned([*make.t2(), *make.dual_echo(), *tagged(water, *GE_ECHO, 2)])
    assert catalogue.ok and {"S0", "S5"} <= set(catalogue.roles)


def test_dixon_images_of_one_series_split_by_image_type(make, scanned):
    kinds = ("WATER", "FAT", "IN_PHASE", "OUT_PHASE")
    images = [
        make.image(4, k, index, ImageType=["DERIVED", "PRIMARY", "DIXON", kind], EchoTime=2.3)
        for index, kind in enumerate(kinds)
        for k in range(make.slices)
    ]
    catalogue = scanned(images, "none")
    assert {volume.files[0].image_kind for volume in catalogue.volumes} == {"water", "fat", "in phase", "out of phase"}
    assert {volume.split_by for volume in catalogue.volumes} == {("ImageType",)}
    assert all(volume.slices == make.slices for volume in catalogue.volumes)


def test_order_never_mixes_b_values_into_one_volume(make, scanned):
    order = [0, 800, 800, 800], [800, 0, 800, 800]  # b = 0 once and b = 800 thrice, in an order that changes
    images = [
        make.image(8, k, index, DiffusionBValue=float(value), InstanceNumber=4 * k + index + 1)
        for k in range(make.slices)
        for index, value in enumerate(order[k % 2])
    ]
    catalogue = scanned(images, "none")
    assert codes(catalogue) == ["E_AMBIG"] and not catalogue.volumes


def test_geometry_written_in_two_ways_is_one_grid(make, scanned):
    images = make.t2()
    for dataset in images[::2]:
        dataset.ImageOrientationPatient = ["1.0000000", "-0.0", "1e-7", "0.0", "1.0", "-2.05e-6"]
        dataset.PixelSpacing = ["1.50000", "1.2500001"]
    catalogue = scanned(images, "none")
    assert catalogue.ok and [volume.slices for volume in catalogue.volumes] == [6]


def test_rescaling_that_one_image_lost(make, scanned):
    images = make.t2()
    for dataset in images:
        dataset.RescaleSlope, dataset.RescaleIntercept = 1.5, 0
    del images[3].RescaleSlope, images[3].RescaleIntercept
    assert codes(scanned(images, "none")) == ["E_RESCALE"]


@pytest.mark.parametrize("seed", range(3))
def test_random_instance_numbers_order_nothing(make, scanned, seed):
    numbers = np.random.default_rng(seed).permutation(3 * make.slices)
    images = [
        make.image(8, k, phase, InstanceNumber=int(numbers[make.slices * phase + k]))
        for phase in range(3)
        for k in range(make.slices)
    ]
    assert codes(scanned(images, "none")) == ["E_AMBIG"]


def test_an_image_lost_and_another_sent_twice_is_no_even_count(make, scanned):
    images = [make.image(8, k, phase) for phase in range(3) for k in range(make.slices)]
    again = make.image(8, 3, 0, SOPInstanceUID="2.25.4444", InstanceNumber=99)
    del images[make.slices + 3]
    assert codes(scanned([*images, again], "none")) == ["E_INCOMPLETE"]


@pytest.mark.parametrize(("kept", "acquisition", "codes"), [(1, "3D", []), (2, "3D", ["W_SPARSE"]), (2, "2D", [])])
def test_every_second_slice_taken_out_of_a_3d_stack(make, scanned, kept, acquisition, codes):
    images = [
        make.image(3, k, SliceThickness=2.2, MRAcquisitionType=acquisition, ScanningSequence="GR")
        for k in range(0, 8, kept)
    ]
    (volume,) = scanned(images, "none").volumes
    assert [caution.code for caution in volume.warnings] == codes
