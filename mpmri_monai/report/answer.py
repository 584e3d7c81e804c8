"""The picture of an answer: for each lesion what the network saw, and the probabilities it gave."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from mpmri_monai.artefacts import whole_file
from mpmri_monai.report.panels import middle_plane, show_absent, show_crop
from mpmri_monai.report.style import INK, NETWORK, PALE, RESEARCH_ONLY, SMALL, TEXT, new_figure, png

PANEL, BARS, TITLE, FOOT = 1.5, 2.3, 0.55, 0.3  # inches: an image panel, the probabilities, the title, the last line


@dataclass(frozen=True)
class LesionAnswer:
    """One lesion as the network saw it and what it answered."""

    lesion: str
    image: np.ndarray
    """(channel, row, column) float in [0, 1], channels in the order of ``fusion``; of (channel, depth, row, column) the
    middle plane is drawn."""
    mask: np.ndarray | None
    """(row, column) or (depth, row, column) bool, the lesion; None when only its place is known."""
    fusion: tuple[str, ...]
    present: Mapping[str, bool]
    """For each sequence of ``fusion`` whether it was acquired there; an absent one is hatched, not shown as black."""
    probabilities: Mapping[str, float]
    """Class name -> probability, in the order of the classes."""
    predicted: str | None
    """None when the classifier abstains."""
    note: str = ""
    """A short addition to the title, such as the true class in a report."""
    noun: str = "lesion"
    """What ``lesion`` is the id of, where that is none."""


def draw_answer(
    image: np.ndarray,
    mask: np.ndarray | None,
    fusion: Sequence[str],
    present: Mapping[str, bool],
    probabilities: Mapping[str, float],
    lesion: str,
    predicted: str | None,
) -> Figure:
    """Draw one lesion: every channel with its outline, three channels as colours, and the probabilities.

    Args:
        image: (channel, row, column) or (channel, depth, row, column) float in [0, 1].
        mask: (row, column) or (depth, row, column) bool, or None.
        fusion: sequence names along the first axis of ``image``.
        present: sequence -> whether it was acquired.
        probabilities: class -> probability.
        lesion: the lesion's id.
        predicted: class name, or None when the classifier abstains.
    """
    return draw_answers([LesionAnswer(lesion, image, mask, tuple(fusion), present, probabilities, predicted)])


def draw_answers(answers: Sequence[LesionAnswer]) -> Figure:
    """Draw several lesions, one below the other, in one figure that says what it is for."""
    panels = max((_panel_count(answer) for answer in answers), default=1)
    height = max(len(answers), 1) * (PANEL + TITLE)
    figure = new_figure(max(panels * PANEL + BARS, 5.5), height + FOOT)
    *rows, foot = figure.subfigures(
        len(answers) + 1, 1, height_ratios=[PANEL + TITLE] * len(answers) + [FOOT], squeeze=False
    )[:, 0]
    for row, answer in zip(rows, answers, strict=True):
        _draw_row(row, answer, panels)
    text = RESEARCH_ONLY if answers else f"No lesion was given. {RESEARCH_ONLY}"
    foot.text(0.01, 0.5, text, fontsize=SMALL, color="#8C2D04", va="center", fontweight="bold")
    return figure


def answer_picture(path: Path | str, answers: Sequence[LesionAnswer]) -> Path:
    """Write the lesions of a study as one PNG, whole or not at all; OutputError when the place cannot be written."""
    with whole_file(path) as part:
        part.write_bytes(png(draw_answers(answers)))
    return Path(path)


def _panel_count(answer: LesionAnswer) -> int:
    return len(answer.fusion) + (len(answer.fusion) == 3)


def _draw_row(row: SubFigure, answer: LesionAnswer, panels: int) -> None:
    shares = [PANEL] * panels + [BARS]
    *images, bars = row.subplots(1, panels + 1, width_ratios=shares, squeeze=False)[0]
    for axes in images[_panel_count(answer) :]:
        axes.set_axis_off()
    channels = middle_plane(np.asarray(answer.image), leading=1)
    mask = None if answer.mask is None else middle_plane(np.asarray(answer.mask), leading=0)
    shape = channels.shape[1:]
    for axes, name, crop in zip(images, answer.fusion, channels, strict=False):
        if answer.present[name]:
            show_crop(axes, crop, mask, name)
        else:
            show_absent(axes, shape, name)
    if len(answer.fusion) == 3:
        colours = images[3]
        if all(answer.present[name] for name in answer.fusion):
            show_crop(colours, np.moveaxis(channels, 0, -1), mask, "as red, green, blue")
        else:
            show_absent(colours, shape, "as red, green, blue", "not complete")
    _draw_probabilities(bars, answer)
    finding = (
        "abstains" if answer.predicted is None else f"{answer.predicted} ({answer.probabilities[answer.predicted]:.2f})"
    )
    text = f"{answer.noun.capitalize()} {answer.lesion}: {finding}" + (f", {answer.note}" if answer.note else "")
    row.suptitle(text, fontsize=TEXT + 1, color=INK, fontweight="bold", x=0.01, ha="left")


def _draw_probabilities(axes: Axes, answer: LesionAnswer) -> None:
    names = list(answer.probabilities)
    values = [float(answer.probabilities[name]) for name in names]
    colours = [NETWORK if name == answer.predicted else "#9DB4CC" for name in names]
    axes.barh(names, np.ones(len(names)), color=PALE, height=0.5, alpha=0.4)
    axes.barh(names, values, color=colours, height=0.5)
    for y, value in enumerate(values):
        axes.text(1.03, y, f"{value:.2f}", va="center", fontsize=TEXT, color=INK)
    axes.set_xlim(0, 1.2)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xticks([])
    axes.tick_params(labelsize=TEXT, length=0, colors=INK)
    axes.set_title("probability", fontsize=SMALL, color=INK, pad=3)
    axes.spines[:].set_visible(False)
