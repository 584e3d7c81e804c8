import numpy as np
from matplotlib.image import AxesImage

from mpmri_monai.report.panels import central, show_absent, show_crop
from mpmri_monai.report.style import new_figure


def test_central_takes_the_middle_of_a_stored_crop():
    crop = np.zeros((2, 52, 52))
    crop[:, 10:42, 10:42] = 1
    assert central(crop, (32, 32)).shape == (2, 32, 32)
    assert central(crop, (32, 32)).all()


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
