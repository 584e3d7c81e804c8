import pickle

import pytest

from mpmri_monai.errors import ConfigError
from mpmri_monai.samples import Settings


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
