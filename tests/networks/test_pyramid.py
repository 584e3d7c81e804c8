import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from mpmri_monai.errors import ConfigError
from mpmri_monai.networks import VolumePyramidPooling


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 9), st.integers(3, 11), st.integers(3, 11))
def test_pooling_of_volumes_equals_adaptive_max_pooling(depth, height, width):
    maps = torch.rand(2, 3, depth, height, width)
    grids = [(min(level, depth), level, level) for level in (1, 2, 3)]
    expected = [functional.adaptive_max_pool3d(maps, grid).flatten(2).transpose(1, 2).flatten(1) for grid in grids]
    pool = VolumePyramidPooling((1, 2, 3), depth)
    torch.testing.assert_close(pool(maps), torch.cat(expected, dim=1))
    assert pool(maps).shape == (2, 3 * pool.cells)


def test_one_slice_has_no_cells_along_depth():
    assert VolumePyramidPooling((1, 2), 1).cells == 5
    assert VolumePyramidPooling((1, 2), 2).cells == VolumePyramidPooling((1, 2), 7).cells == 9


def test_a_plane_smaller_than_the_pyramid_is_refused():
    with pytest.raises(ConfigError, match="at least 2×2"):
        VolumePyramidPooling((1, 2), 4)(torch.rand(1, 4, 4, 1, 8))
