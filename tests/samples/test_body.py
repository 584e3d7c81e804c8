import numpy as np
import pytest

from mpmri_monai.errors import MaskError
from mpmri_monai.samples.body import body_mask


def test_the_body_without_holes_and_without_what_lies_apart(make_geometry, make_stack, make_grid):
    geometry = make_geometry(np.random.default_rng(0), (60, 50, 8), (3.0, 3.0, 6.0), 5)
    place = make_grid(geometry)
    across = np.linalg.norm(place[..., :2] / [60.0, 45.0], axis=-1)
    body = across < 1
    values = np.random.default_rng(1).normal(3, 1, body.shape)
    values[body] = 80
    values[np.linalg.norm(place[..., :2], axis=-1) < 12] = 3  # air in the bowel
    values[:, :2, :2] = 90  # an arm, or a marker
    found = body_mask(make_stack(values.astype(np.float32), geometry))
    assert (found.voxels == body).mean() > 0.995
    assert found.voxels[4, 25, 30], "holes belong to it"
    assert not found.voxels[:, :2, :2].any()


def test_an_empty_volume_has_none(make_geometry, make_stack):
    geometry = make_geometry(np.random.default_rng(0), (20, 20, 4), (3.0, 3.0, 6.0))
    with pytest.raises(MaskError) as error:
        body_mask(make_stack(np.full((4, 20, 20), 7, np.int16), geometry))
    assert error.value.code == "E_MASK_EMPTY"
