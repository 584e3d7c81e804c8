import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.image import AxesImage

from mpmri_monai.report.panels import central, middle_plane, show_absent, show_crop
from mpmri_monai.report.style import new_figure


def test_central_takes_the_middle_of_a_stored_crop():
    crop = np.zeros((2, 52, 52))
    crop[:, 10:42, 10:42] = 1
    assert central(crop, (32, 32)).shape == (2, 32, 32)
    assert central(crop, (32, 32)).all()


@given(st.integers(1, 9), st.integers(0, 4), st.integers(1, 3))
def test_the_middle_plane_is_that_of_what_the_network_sees(slices, margin, channels):
    crops = np.arange(slices + 2 * margin)[:, None, None] * np.ones((channels, 1, 12, 12))
    seen = central(crops, (slices, 8, 8))
    assert seen.shape == (channels, slices, 8, 8) and seen[0, :, 0, 0].tolist() == list(range(margin, margin + slices))
    np.testing.assert_array_equal(central(middle_plane(crops, leading=1), (8, 8)), middle_plane(seen, leading=1))
    assert middle_plane(seen[0], leading=0).shape == (8, 8)
    np.testing.assert_array_equal(middle_plane(seen[:, 0], leading=1), seen[:, 0])


def test_a_crop_is_shown_on_a_fixed_scale_with_its_outline():
    axes = new_figure(2, 2).subplots()
    mask = np.zeros((8, 8), dtype=bool)
    mask[2:5, 2:5] = True
    show_crop(axes, np.full((8, 8), 0.4), mask, "T2")
    (image,) = [child for child in axes.get_children() if isinstance(child, AxesImage)]
    assert image.get_clim() == (0.0, 1.0) and image.get_interpolation() == "nearest"
    assert len(axes.collections) == 1


def test_an_absent_sequence_is_marked_not_black():
    axes = new_figure(2, 2).subplots()
    show_absent(axes, (8, 8), "OUT")
    assert [text.get_text() for text in axes.texts] == ["absent"]
    assert axes.images[0].get_array().min() == 1.0
