"""On which sequence a lesion is shown."""

from types import SimpleNamespace

import numpy as np
import pytest

from mpmri_monai.cohort import Lesion, Region
from mpmri_monai.errors import MaskError
from mpmri_monai.inference.on_series import regions_on_series, shown_on
from mpmri_monai.samples.region import box_mask
from mpmri_monai.volumes import Geometry, Mask, Stack

FUSION = ("T2", "OUT", "S4")
THICK, THIN = (Geometry(np.diag([2.0, 2.0, slice_mm, 1.0]), (8, 8, 4)) for slice_mm in (6.0, 2.0))
VALUE, SEGMENT = ({"mask": "m", "value": 1}, {"mask": "m", "segment": 1})


def stacks(*names):
    return {name: stack(THICK if name in ("T2", "IN", "OUT") else THIN) for name in names}


def stack(geometry):
    images = tuple(f"1.2.{number}" for number in range(4))
    return Stack(np.zeros(geometry.shape[::-1], np.float32), np.ones(4), np.zeros(4), geometry, instances=images)


@pytest.mark.parametrize(
    ("region", "said", "grid", "first"),
    [
        (VALUE, None, "S0", "S3"),  # all phases have the grid of the first
        (VALUE, "S2", "S2", "S2"),
        (VALUE, None, "T2", "T2"),
        (SEGMENT, None, "S0", "S0"),  # the file says so
    ],
)
def test_where_it_was_drawn_else_the_portal_phase(region, said, grid, first):
    study = stacks("T2", "IN", "OUT", "S0", "S2", "S3", "S4")
    lesion = Lesion(id="L1", region=Region.model_validate(region), drawn_on=said)
    mask = Mask(np.ones((4, 8, 8), bool), study[grid].geometry, drawn_on=grid)
    assert shown_on(lesion, mask, study, FUSION)[0] == first


def test_a_box_is_shown_on_the_portal_phase_or_on_what_the_network_sees():
    lesion = Lesion(id="L1", region=Region(center_mm=(8.0, 8.0, 4.0), size_mm=(4.0, 4.0, 4.0)))
    mask = box_mask((8.0, 8.0, 4.0), (4.0, 4.0, 4.0))
    assert shown_on(lesion, mask, stacks("T2", "S0", "S3"), FUSION) == ["S3", "T2", "S0"]
    assert shown_on(lesion, mask, stacks("IN", "S0", "S4"), FUSION) == ["S4", "IN", "S0"]


def test_a_box_between_two_slices_has_no_region_on_a_series():
    study = stacks("T2")
    low, high = (box_mask((8.0, 8.0, z), (4.0, 4.0, 0.5)) for z in (9.0, 12.0))
    region = Region(center_mm=(8.0, 8.0, 9.0), size_mm=(4.0, 4.0, 0.5))
    asked = SimpleNamespace(lesions=[Lesion(id=name, region=region) for name in ("L1", "L2")])
    regions = SimpleNamespace(lesions={"L1": low, "L2": high})
    dataset = SimpleNamespace(regions=regions, stacks=study, study=asked)
    assert set(regions_on_series(dataset)) == {"L2"}
    asked.lesions = [Lesion(id="L1", region=Region.model_validate(VALUE))]  # what a person drew is never left out
    with pytest.raises(MaskError, match="E_MASK_EMPTY"):
        regions_on_series(dataset)
