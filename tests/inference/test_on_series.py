"""On which sequence a lesion is shown."""

import numpy as np
import pytest

from mpmri_monai.cohort import Lesion, Region
from mpmri_monai.inference.on_series import shown_on
from mpmri_monai.samples.region import box_mask
from mpmri_monai.volumes import Geometry, Mask, Stack

FUSION = ("T2", "OUT", "S4")
THICK, THIN = (Geometry(np.diag([2.0, 2.0, slice_mm, 1.0]), (8, 8, 4)) for slice_mm in (6.0, 2.0))
VALUE, SEGMENT = ({"mask": "m", "value": 1}, {"mask": "m", "segment": 1})


def stacks(*names):
    return {name: stack(THICK if name in ("T2", "IN", "OUT") else THIN) for name in names}


def stack(geometry):
    return Stack(np.zeros(geometry.shape[::-1], np.float32), np.ones(4), np.zeros(4), geometry)


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
