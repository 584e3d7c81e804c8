"""Figures of every kind are drawn from the values that they are given."""

import numpy as np
import pytest

from mpmri_monai.report import experiment_bars, experiment_curves
from mpmri_monai.report.experiment_figures import KINDS, experiment_picture, figure_words


@pytest.fixture(scope="module")
def figures(make_content):
    return {item["kind"]: item for item in make_content()["figures"]}


def lines(figure):
    return {line.get_label(): line for axes in figure.axes for line in axes.get_lines()}


def test_there_is_an_example_of_every_kind(figures):
    assert set(figures) == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_drawn_and_told_in_words(kind, figures):
    picture = experiment_picture(figures[kind])
    assert picture.content.startswith(b"\x89PNG") and len(picture.content) > 2000
    assert picture.title in picture.alt and len(picture.alt) > 60


def test_curves_hold_the_given_values_and_gaps(figures):
    drawn = lines(experiment_curves.epochs(figures["epochs"]["data"]))
    (first, *_) = figures["epochs"]["data"]["curves"]
    assert np.allclose(drawn[first["name"]].get_ydata(), first["mean"])
    noise = lines(experiment_curves.panels(figures["curves"]["data"]))["T2-OUT-S4"].get_ydata()
    assert np.isnan(noise[-1]) and np.isfinite(noise[:-1]).all()


def test_a_curve_of_one_epoch_is_seen():
    figure = experiment_curves.epochs({"curves": [{"name": "x", "epoch": [1], "mean": [0.5], "sd": [None]}]})
    assert lines(figure)["x"].get_marker() == "o"


def test_a_band_of_one_sd_ends_where_accuracies_do():
    curve = {"name": "x", "epoch": [1, 2], "mean": [0.1, 0.95], "sd": [0.2, 0.2]}
    (axes,) = experiment_curves.epochs({"curves": [curve]}).axes
    heights = axes.collections[0].get_paths()[0].vertices[:, 1]
    assert (heights.min(), heights.max()) == (0, 1)


def test_an_interval_at_a_single_place_is_seen():
    """A grid of one number of filters, which alone is named on the axis."""
    curve = {"name": "x", "x": [16], "mean": [0.6], "low": [0.2], "high": [0.9]}
    (axes,) = experiment_curves.panels({"panels": [{"title": "", "x_label": "filters", "curves": [curve]}]}).axes
    (bar,) = axes.collections[0].get_segments()
    assert bar.tolist() == [[16, 0.2], [16, 0.9]]
    assert axes.get_xticks().tolist() == [16]


def test_a_value_that_is_not_defined_is_said_to_be_so(figures):
    figure = experiment_bars.bars(figures["bars"]["data"])
    assert [text.get_text() for text in figure.axes[0].texts] == ["not defined"]


def test_of_many_the_best_are_shown_and_the_caption_says_so(figures):
    data = figures["wins"]["data"]
    figure = experiment_bars.wins(data)
    shown = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    best = sorted(data["bars"], key=lambda bar: bar["value"], reverse=True)[: experiment_bars.MOST_ROWS]
    assert shown == [bar["name"] for bar in best]
    assert "Shown: the 20 highest of 84." in experiment_picture(figures["wins"]).caption


def test_the_observed_value_stands_in_the_histogram(figures):
    data = figures["histogram"]["data"]
    figure = experiment_bars.histogram(data)
    assert sum(patch.get_height() for patch in figure.axes[0].patches) == len(data["null"])
    assert lines(figure)["observed, 0.780"].get_xdata()[0] == data["observed"]


def test_the_words_of_bars_hold_the_numbers():
    bar = {"name": "T2", "value": 0.5, "low": 0.4, "high": 0.6, "ceiling": 0.9, "group": "ours", "probability": 0.25}
    words = figure_words("wins", {"bars": [bar]}).replace("\u00a0", " ")
    assert words == "T2, ours: 0.500 (0.400 to 0.600), ceiling 0.900, would win in 25 %."


def test_the_words_of_curves_name_the_panel_where_it_has_a_title():
    curve = {"name": "MCTL", "x": [50, 100], "mean": [0.9, 0.8], "low": [0.7, 0.6], "high": [1.0, 0.9]}
    words = [
        figure_words("curves", {"panels": [{"title": title, "x_label": "", "curves": [curve]}]})
        for title in ("", "accuracy")
    ]
    assert words[0].startswith("MCTL: from 0.900") and words[1].startswith("accuracy, MCTL: from 0.900")


def test_empty_bins_are_not_drawn(figures):
    figure = experiment_curves.reliability(figures["reliability"]["data"])
    assert [text.get_text() for text in figure.axes[0].texts] == ["12", "20", "18", "25"]
