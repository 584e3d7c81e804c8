import math
import pickle

import pytest

from mpmri_monai.errors import ConfigError
from mpmri_monai.samples import Grid, Settings
from mpmri_monai.samples.settings import MOST_POINTS


def test_default_crop_has_room_for_a_scale_of_one_and_a_half():
    assert Settings().stored_pixels == 52


@pytest.mark.parametrize("pixels", [16, 31, 32, 33])
def test_stored_crop_shares_its_centre_with_what_the_network_sees(pixels):
    stored = Settings(pixels=pixels).stored_pixels
    assert stored >= 1.6 * pixels
    assert (stored - pixels) % 2 == 0


@pytest.mark.parametrize(
    "option", [{"pixel": 32}, {"trim": 0.6}, {"through_plane": "linear"}, {"pixels": "many"}, {"align": "elastic"}]
)
def test_unusable_settings_are_named(option):
    with pytest.raises(ConfigError, match=next(iter(option))):
        Settings(**option)


def test_settings_cross_process_boundaries():
    settings = Settings(pixels=24, through_plane="slab_mean")
    assert pickle.loads(pickle.dumps(settings)) == settings


def test_alignment_is_named_only_where_it_is_done():
    """Hashes of settings from before it was an option stay what they were."""
    assert Settings().align == "none"
    assert "align" not in Settings().model_dump() and "align" not in Settings(align="none").model_dump(mode="json")
    assert Settings(align="rigid").model_dump()["align"] == "rigid"
    assert Settings(**Settings(align="rigid").model_dump(mode="json")) == Settings(align="rigid")


def test_grid_gives_what_is_seen_and_what_is_stored():
    assert (Settings().size, Settings().stored_shape) == ((32, 32), (52, 52))
    settings = Settings(grid={"slices": 4, "pixels": 25})
    assert (settings.size, settings.stored_shape, settings.stored_pixels) == ((4, 25, 25), (8, 41, 41), 41)
    assert Settings(grid=Grid(slices=5, pixels=28), reach=1).stored_shape == (5, 28, 28)


@pytest.mark.parametrize("slices", [1, 4, 7])
@pytest.mark.parametrize("reach", [1.0, 1.3, 2.0])
def test_stored_grid_shares_its_centre_with_what_the_network_sees(slices, reach):
    settings = Settings(grid=Grid(slices=slices, pixels=25), reach=reach)
    for stored, seen in zip(settings.stored_shape, settings.size, strict=True):
        assert stored >= reach * seen and (stored - seen) % 2 == 0


@pytest.mark.parametrize("reach", [1.0, 1.6])
def test_a_grid_that_would_fill_the_memory_is_refused(reach):
    assert math.prod(Settings(grid=Grid(slices=160, pixels=192), reach=1).stored_shape) < MOST_POINTS
    with pytest.raises(ConfigError, match=f"more than {MOST_POINTS}"):
        Settings(grid=Grid(slices=512, pixels=512), reach=reach)
    with pytest.raises(ConfigError, match=f"more than {MOST_POINTS}"):
        Settings(grid={"slices": 160, "pixels": 192}, reach=2)


def test_patches_have_no_margin():
    assert Settings(grid=Grid(patches=10)).stored_shape == (4, 25, 25)


@pytest.mark.parametrize("grid", [{"slice": 4}, {"slices": 0}, {"depth_mm": -1}, {"patches": -1}, {"plane_mm": 0}])
def test_unusable_grids_are_named(grid):
    with pytest.raises(ConfigError, match=next(iter(grid))):
        Settings(grid=grid)
    with pytest.raises(ConfigError, match=next(iter(grid))):
        Grid(**grid)


def test_grid_and_window_are_named_only_where_they_are_used():
    older = {"pixels", "reach", "trim", "joint_dce", "through_plane", "background", "background_margin_mm"}
    assert set(Settings().model_dump()) == older | {"minimum_box_mm", "seed"}
    settings = Settings(grid=Grid(slices=6), window="central")
    written = settings.model_dump(mode="json")
    assert written["window"] == "central" and written["grid"]["slices"] == 6
    assert Settings(**written) == settings
    assert pickle.loads(pickle.dumps(settings)) == settings
