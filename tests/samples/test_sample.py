from dataclasses import replace

import numpy as np
import pytest

from mpmri_monai.cohort import Study
from mpmri_monai.errors import MaskError
from mpmri_monai.samples import Settings
from mpmri_monai.samples.intensity import Window
from mpmri_monai.samples.locate import lesion_positions
from mpmri_monai.samples.plane import ParallelPlanes
from mpmri_monai.samples.region import box_mask
from mpmri_monai.samples.sample import take_samples
from mpmri_monai.volumes import Geometry

SEQUENCES = ("T2", "OUT", "S0")


def study(**labels):
    lesion = {"id": "L1", "region": {"center_mm": [0, 0, 0], "size_mm": [20, 20, 4]}, "labels": labels}
    return Study(patient="P1", study="P1-1", site="A", labels={"cirrhosis": "yes"}, images={}, lesions=[lesion])


def geometry(shape=(60, 60, 9), spacing=(2.0, 2.0, 6.0), shift=(0.0, 0.0, 0.0), turn_deg=0.0):
    a = np.radians(turn_deg)
    turn = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag(spacing)
    affine[:3, 3] = np.array(shift) - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return Geometry(affine, shape)


@pytest.fixture
def sample(make_stack):
    """grids of OUT and S0 -> the one sample of a lesion of 20 x 20 x 4 mm in the middle; every sequence holds 7."""

    def take(sequences=SEQUENCES, mask=None, only=None, **grids):
        grids = {"T2": geometry(), **grids}
        stacks = {name: make_stack(np.full(grid.shape[::-1], 7), grid) for name, grid in grids.items()}
        mask = mask or box_mask((0, 0, 0), (20, 20, 4))
        positions = lesion_positions("L1", mask, [ParallelPlanes.of(geometry())], Settings())
        if only is not None:
            positions = [replace(position, mask=only) for position in positions]
        windows = dict.fromkeys(stacks, Window(0, 14))
        (one,) = take_samples(study(grade="well"), stacks, windows, positions, sequences, Settings())
        return one

    return take


def test_record_of_a_whole_sample(sample):
    one = sample(OUT=geometry(), S0=geometry(shape=(60, 60, 25), spacing=(2, 2, 2.2), shift=(0, 0, 0.7)))
    assert (one.patient, one.study, one.site, one.lesion, one.sample) == ("P1", "P1-1", "A", "L1", "L1-00")
    assert one.labels == {"cirrhosis": "yes", "grade": "well"}
    assert one.image.shape == (3, 52, 52) and one.image.dtype == np.float32
    assert one.present.all()
    np.testing.assert_allclose(one.image, 0.5)
    np.testing.assert_allclose(one.signal, 7)
    np.testing.assert_allclose(one.level, 0.5)
    np.testing.assert_allclose(one.offset_mm, [0, 0, 0.7], atol=1e-9)
    np.testing.assert_allclose(one.position_mm, 0, atol=1e-9)
    assert one.mask.sum() == 32 * 32
    assert one.flags == ()


def test_absent_sequence_is_zero_and_says_so(sample):
    one = sample(S0=geometry())
    assert one.present.tolist() == [True, False, True]
    assert not one.image[1].any()
    assert np.isnan([one.offset_mm[1], one.signal[1], one.level[1]]).all()


def test_sequences_keep_the_order_asked_for(sample):
    assert sample(("S0", "T2"), S0=geometry(shift=(0, 0, 500))).present.tolist() == [False, True]


@pytest.mark.parametrize(("left_edge", "present", "flags"), [(-8.0, True, ("partial:OUT",)), (2.0, False, ())])
def test_mostly_uncovered_is_not_present(sample, left_edge, present, flags):
    shift = left_edge + 60.0  # the voxels of the stack begin at the left edge
    one = sample(OUT=geometry(shift=(shift, 0, 0)))
    assert one.present[1] == present
    assert one.flags == flags
    assert one.image[1].any() == present


def test_lesion_that_is_not_covered_makes_a_sequence_absent(sample):
    left = np.zeros((52, 52), bool)
    left[:, 12] = True  # in the quarter of the box that OUT does not cover
    assert sample(only=left, OUT=geometry(shift=(55.0, 0, 0))).present.tolist() == [True, False, False]


@pytest.mark.parametrize(("degrees", "flags"), [(1.9, ()), (2.1, ("oblique:OUT",))])
def test_slices_more_than_two_degrees_apart_are_flagged(sample, degrees, flags):
    assert sample(OUT=geometry(turn_deg=degrees)).flags == flags


def test_lesion_outside_every_sequence_is_refused(sample):
    with pytest.raises(MaskError, match=r"E_MASK_OUT.*L1"):
        sample(mask=box_mask((500, 0, 0), (20, 20, 4)))
