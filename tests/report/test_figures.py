import sys
from copy import deepcopy

import numpy as np
import pandas as pd
import pytest

from mpmri_monai.report import figures
from mpmri_monai.report.style import png
from mpmri_monai.sequences import GRADES

LEVEL = {
    "n": 10,
    "patients": 9,
    "per_class": {"well": 0, "moderately": 7, "poorly": 3},
    "confusion": [[0, 0, 0], [1, 5, 1], [0, 1, 2]],
    "roc": {"well": None, "moderately": {"fpr": [0, 1], "tpr": [0.5, 1]}, "poorly": {"fpr": [0, 1], "tpr": [0.7, 1]}},
    "metrics": {
        "accuracy": {"value": 0.7, "low": 0.4, "high": 0.9},
        "macro_auc": {"value": None, "low": None, "high": None},
        "auc_well": {"value": None, "low": None, "high": None},
        "auc_moderately": {"value": 0.75, "low": 0.5, "high": 0.9},
        "auc_poorly": {"value": 0.85, "low": 0.6, "high": 1.0},
    },
}


def texts(figure):
    found = [text.get_text() for axes in figure.axes for text in axes.texts]
    return found + [text.get_text() for legend in figure.legends for text in legend.get_texts()]


@pytest.fixture
def history():
    epochs = np.arange(1, 7)
    rate = [1e-3] * 3 + [1e-4] * 3
    columns = {"epoch": epochs, "train_loss": 1 / epochs, "train_accuracy": 1 - 0.5 / epochs, "learning_rate": rate}
    return pd.DataFrame(columns | {"val_loss": 2 / epochs, "val_accuracy": 1 - 0.6 / epochs})


def test_learning_curves_show_training_and_validation(history):
    history.loc[[1, 3], ["val_loss", "val_accuracy"]] = np.nan  # validated every other epoch
    upper, lower = figures.learning_curves(history).axes
    by_label = {line.get_label(): line for line in upper.lines}
    np.testing.assert_allclose(by_label["training"].get_ydata(), history["train_loss"])
    np.testing.assert_allclose(by_label["validation"].get_xdata(), [1, 3, 5, 6])
    assert len(lower.lines) == 3  # two curves, one change of the learning rate


def test_a_rate_that_falls_every_epoch_has_no_steps_to_mark(history):
    assert figures.rate_steps(history) == [4]
    assert figures.rate_steps(history.assign(learning_rate=1e-3)) == []
    falling = history.assign(learning_rate=1e-3 * 0.95 ** history["epoch"])
    assert figures.rate_steps(falling) == []
    assert len(figures.learning_curves(falling).axes[1].lines) == 2


def test_learning_curves_do_without_validation_and_without_epochs(history):
    history[["val_loss", "val_accuracy"]] = np.nan
    labels = {line.get_label() for line in figures.learning_curves(history).axes[0].lines}
    assert "training" in labels and "validation" not in labels
    assert not figures.learning_curves(history.iloc[:0]).axes


def test_roc_says_why_an_absent_class_has_no_area():
    figure = figures.roc_curves(LEVEL, GRADES, "lesion")
    assert "well (n = 0)\nAUC not defined: no lesion of class well" in texts(figure)
    assert any(text.startswith("poorly (n = 3)\nAUC 0.850") for text in texts(figure))
    assert figures.roc_curves(LEVEL, GRADES, "lesion").axes[0].lines[-1].get_ydata().tolist() == [0.7, 1]


def test_of_two_classes_only_one_curve_is_drawn():
    level = deepcopy(LEVEL) | {"per_class": {"background": 4, "hcc": 6}, "confusion": [[4, 0], [0, 6]]}
    level["roc"] = {"background": {"fpr": [0, 1], "tpr": [1, 1]}, "hcc": {"fpr": [0, 1], "tpr": [1, 1]}}
    figure = figures.roc_curves(level, ("background", "hcc"), "lesion")
    assert len(figure.axes[0].lines) == 2  # the diagonal and one curve


def test_confusion_matrix_writes_counts_and_row_percent():
    found = texts(figures.confusion_matrix(LEVEL, GRADES, "lesion"))
    assert found == [
        *["0\nno case"] * 3,
        *["1\n14 %", "5\n71 %", "1\n14 %"],
        *["0\n0 %", "1\n33 %", "2\n67 %"],
    ]


def test_forest_shows_values_and_gives_the_reason_for_missing_ones():
    metrics = {"classes": GRADES, "levels": {"lesion": LEVEL}}
    assert "0.700" in texts(figures.forest(metrics, "accuracy"))
    assert "network: not defined, no lesion of class well" in texts(figures.forest(metrics, "macro_auc"))


def test_forest_draws_the_ceiling_for_lesions_only(metrics):
    axes = figures.forest(metrics, "accuracy").axes[0]
    (band,) = axes.patches
    assert band.get_x() == pytest.approx(0.80) and band.get_width() == pytest.approx(0.15)
    assert band.get_y() < 1 < band.get_y() + band.get_height()  # the second of slice, lesion, patient
    bare = {key: value for key, value in metrics.items() if key != "ceiling"}
    assert not figures.forest(bare, "accuracy").axes[0].patches


def test_no_figure_needs_pyplot_and_the_same_figure_gives_the_same_bytes(metrics):
    first, second = (png(figures.forest(metrics, "accuracy")) for _ in range(2))
    assert first == second and first.startswith(b"\x89PNG")
    if "matplotlib.pyplot" in sys.modules:  # another library may import it; no figure may be registered there
        assert not sys.modules["matplotlib.pyplot"].get_fignums()
