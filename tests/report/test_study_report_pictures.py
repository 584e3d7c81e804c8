"""Pictures of a lesion: the right slice, the right part of it, and nothing that a hostile name could break."""

from types import SimpleNamespace

import numpy as np
import pytest

from mpmri_monai.report.study_report_pictures import (
    LesionPictures,
    acquired_views,
    enhancement_figure,
    importance_figure,
    maps_figure,
    place_figure,
    signed,
)
from mpmri_monai.report.style import png
from mpmri_monai.samples.region import box_mask
from mpmri_monai.volumes import Geometry, Stack

FUSION = ("T2", "$x^$", "S4")


def pictures(**changes):
    generator = np.random.default_rng(0)
    image = generator.random((3, 16, 16), dtype=np.float32)
    mask = np.zeros((16, 16), bool)
    mask[4:12, 4:12] = True
    given = {"image": image, "mask": mask, "present": dict.fromkeys(FUSION, True)}
    return LesionPictures(FUSION, **(given | {"grad_cam": image[0], "occlusion": image[1] - 0.5} | changes))


def test_the_middle_sample_is_shown_as_the_network_saw_it():
    images = np.arange(5 * 2 * 20 * 20, dtype=np.float32).reshape(5, 2, 20, 20)
    masks = [np.full((20, 20), index == 2) for index in range(5)]
    present = np.array([[True, index != 2] for index in range(5)])
    explanation = SimpleNamespace(grad_cam=np.arange(5)[:, None, None] * np.ones((16, 16)), occlusion=np.ones((16, 16)))
    found = LesionPictures.of(("T2", "S4"), images, masks, present, (16, 16), explanation)
    assert np.array_equal(found.image, images[2][:, 2:18, 2:18])
    assert found.mask.shape == (16, 16) and found.mask.all()
    assert found.present == {"T2": True, "S4": False}
    assert (found.grad_cam == 2).all()


def test_of_a_volume_the_plane_in_its_middle_is_shown():
    images = np.arange(6, dtype=np.float32)[None, None, :, None, None] * np.ones((1, 1, 6, 20, 20), np.float32)
    explanation = SimpleNamespace(grad_cam=None, occlusion=images[0, 0, 1:5, 2:18, 2:18])
    found = LesionPictures.of(("T2",), images, None, np.array([[True]]), (4, 16, 16), explanation)
    assert found.image.shape == (1, 16, 16) and (found.image == 3).all()
    assert found.mask is None and found.grad_cam is None and (found.occlusion == 3).all()


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"mask": None, "grad_cam": None},
        {"present": dict.fromkeys(FUSION, False)},
        {"image": np.zeros((3, 16, 16), np.float32), "occlusion": np.zeros((16, 16))},
    ],
)
def test_figures_are_drawn_whatever_is_there(changes):
    shown = pictures(**changes)
    assert png(place_figure(shown)).startswith(b"\x89PNG") and png(maps_figure(shown)).startswith(b"\x89PNG")


def test_every_channel_has_a_panel_three_a_row():
    names = tuple(f"S{index}" for index in range(7))
    shown = LesionPictures(names, np.zeros((7, 8, 8), np.float32), None, dict.fromkeys(names, True))
    figure = place_figure(shown)
    titles = [axes.get_title() for axes in figure.subfigs[0].axes]
    assert titles[:7] == list(names) and len(titles) == 9 and figure.get_figwidth() < 6


def test_without_maps_there_is_no_figure_of_them():
    assert maps_figure(pictures(grad_cam=None, occlusion=None)) is None


@pytest.mark.parametrize("values", [[-0.2, 0.1, 0.0], [-0.4], [0.0, 0.0]])
def test_every_change_is_written_beside_its_bar(values):
    figure = importance_figure({f"${i}": value for i, value in enumerate(values)}, "$bad^")
    assert [text.get_text() for text in figure.axes[0].texts] == [signed(value) for value in values]
    assert png(figure)


def test_the_lesion_is_drawn_among_the_classes_of_the_cohort():
    cohort = {"well": {"S0": 1.0, "S2": 1.7, "S3": 1.7}, "poorly": {"S0": 1.0, "S2": 1.9}}
    figure = enhancement_figure({"S0": 1.0, "S3": 1.6}, cohort, ("well", "moderately", "poorly"), "L$1")
    axes = figure.axes[0]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [
        "well, training",
        "poorly, training",
        r"L\$1",
    ]
    assert list(axes.lines[-1].get_xdata()) == [0, 2] and list(axes.lines[-1].get_ydata()) == [1.0, 1.6]
    assert png(figure)


def stack():
    voxels = np.zeros((4, 30, 40), np.float32)
    voxels[2, 10:14, 20:24] = 5.0
    return Stack(voxels, np.ones(4), np.zeros(4), Geometry(np.diag([-2.0, -2.0, 6.0, 1.0]), (40, 30, 4)))


def test_acquired_slices_show_the_lesion_where_it_lies():
    mask = box_mask((-43.0, -23.0, 12.0), (8.0, 8.0, 6.0))
    whole, close = acquired_views("S3", stack(), "L1", mask)
    assert whole.sequence == "S3" and whole.panel.image.shape == (30, 40) and whole.panel.left == "R"
    for view in (whole, close):
        inside = view.panel.outlines[0].inside
        assert inside.sum() == 16 and (view.panel.image[inside] == 5.0).all()
    assert close.panel.field_mm < whole.panel.field_mm


def test_a_stack_that_does_not_reach_the_lesion_shows_nothing():
    assert acquired_views("S3", stack(), "L1", box_mask((0.0, 0.0, 500.0), (8.0, 8.0, 6.0))) == ()
