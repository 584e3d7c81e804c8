import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mpmri_monai.report.planes_figure import COLUMNS, MOST_PLANES, planes, planes_shown

PRESENT = {"FLAIR": True, "T1CE": True}


@given(st.integers(1, 200))
def test_planes_go_from_the_first_to_the_last_each_once(depth):
    shown = planes_shown(depth)
    assert shown == sorted(set(shown)) and len(shown) == min(depth, MOST_PLANES)
    assert shown[-1] == depth - 1 and (depth == 1 or shown[0] == 0)


def panels(figure):
    return [axes for axes in figure.axes if axes.get_title()]


def test_each_sequence_begins_a_line_of_its_planes():
    crops = np.random.default_rng(0).uniform(size=(2, COLUMNS + 1, 10, 10))
    mask = np.zeros(crops.shape[1:], bool)
    mask[3, 2:6, 2:6] = True
    found = panels(planes(crops, mask, tuple(PRESENT), PRESENT))
    numbers = [str(number) for number in range(2, COLUMNS + 2)]
    assert [axes.get_title() for axes in found] == [
        f"FLAIR 1/{COLUMNS + 1}",
        *numbers,
        f"T1CE 1/{COLUMNS + 1}",
        *numbers,
    ]
    for axes, plane in zip(found, crops.reshape(-1, 10, 10), strict=True):
        np.testing.assert_array_equal(axes.images[0].get_array(), plane)
    assert [bool(axes.collections) for axes in found[: COLUMNS + 1]] == [number == 3 for number in range(COLUMNS + 1)]


def test_an_absent_sequence_is_one_hatched_panel():
    crops = np.random.default_rng(0).uniform(size=(2, 4, 10, 10))
    found = panels(planes(crops, None, tuple(PRESENT), PRESENT | {"FLAIR": False}))
    assert [axes.get_title() for axes in found] == ["FLAIR", "T1CE 1/4", "2", "3", "4"]
    assert [text.get_text() for text in found[0].texts] == ["absent"]
