"""The pictures of a run report: each figure with its title, its caption and the words for who cannot see it."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd
from matplotlib.figure import Figure

from mpmri_monai.report import figures, tables, wording
from mpmri_monai.report.answer import draw_answers
from mpmri_monai.report.examples import error_answers, example_figures, plane_figures
from mpmri_monai.report.run_folder import RunFolder
from mpmri_monai.report.style import png
from mpmri_monai.report.tsic import Curves, tsic
from mpmri_monai.sequences import Task

if TYPE_CHECKING:
    from mpmri_monai.samples import Store


@dataclass(frozen=True)
class Picture:
    """A figure in the report: its file name, what to say of it, and its pixels."""

    key: str
    title: str
    caption: str
    alt: str
    content: bytes
    wide: float | None = None
    """Width in inches of a figure that spans the page; None for one that shares it with another."""

    @property
    def source(self) -> str:
        """The pixels as a data URI, so that the report needs no second file."""
        return "data:image/png;base64," + base64.b64encode(self.content).decode()


def picture(key: str, title: str, caption: str, alt: str, figure: Figure, wide: bool = False) -> Picture:
    """Return ``figure`` as a picture of the report."""
    return Picture(key, title, caption, alt, png(figure), figure.get_figwidth() if wide else None)


def interval_pictures(folder: RunFolder, nouns: Mapping[str, str]) -> list[Picture]:
    """Return the forest plots of accuracy and macro AUC; ``nouns`` as of `levels.level_names`."""
    metrics, pictures = folder.metrics, []
    cases = wording.several(nouns["lesion"])
    nothing = {"accuracy": "always naming the commonest class", "macro_auc": "0.5"}
    for name, row in zip(nothing, tables.headline_rows(metrics, nouns["lesion"]), strict=True):
        caption = f"Bars: {wording.percent(metrics)} % intervals over patients. Dotted: {nothing[name]}."
        if metrics.get("ceiling"):
            caption += f" Green: ceiling, defined for {cases} only."
        alt = f"{row[0]} of {cases}: network {row[1]}, baseline {row[2]}, no information {row[3]}, ceiling {row[4]}."
        pictures.append(picture(f"interval_{name}", row[0], caption, alt, figures.forest(metrics, name, nouns)))
    return pictures


def performance_pictures(folder: RunFolder, nouns: Mapping[str, str]) -> list[Picture]:
    """Return learning curves, where something was trained, ROC and confusion matrix of lesions."""
    metrics, pictures = folder.metrics, []
    classes, level = metrics["classes"], metrics["levels"]["lesion"]
    if not folder.history.empty:
        caption = _history_words(folder.history)
        curves = figures.learning_curves(folder.history)
        pictures.append(picture("learning_curves", "Learning curves", caption, caption, curves))
    noun, cases = nouns["lesion"], wording.several(nouns["lesion"])
    score = " The score of a lesion is its mean probability over slices." if "slice" in nouns else ""
    why = wording.why_undefined(level, classes, noun)
    areas = [f"{name} {wording.with_interval(level['metrics'].get(f'auc_{name}'), why)}" for name in classes]
    rows = [
        f"of {sum(row)} {truth}: "
        + ", ".join(f"{count} called {name}" for name, count in zip(classes, row, strict=True))
        for truth, row in zip(classes, level["confusion"], strict=True)
    ]
    total = sum(map(sum, level["confusion"]))
    repeated = f" Each repeat in which a {noun} was tested counts once." if total != level["n"] else ""
    return [
        *pictures,
        picture(
            "roc",
            "ROC, each class against the rest",
            f"{noun.capitalize()} level.{score}",
            f"ROC curves at {noun} level; AUC of " + "; ".join(areas) + ".",
            figures.roc_curves(level, classes, noun),
        ),
        picture(
            "confusion",
            "Confusion matrix",
            f"{noun.capitalize()} level. Counts, and their share of the true class; shading follows the share."
            + repeated,
            f"Confusion matrix of {cases}; " + "; ".join(rows) + ".",
            figures.confusion_matrix(level, classes, noun),
        ),
    ]


def _history_words(history: pd.DataFrame) -> str:
    last = history.iloc[-1]
    text = (
        f"Training loss went from {history['train_loss'].iloc[0]:.2f} to {last['train_loss']:.2f} in {len(history)} "
        f"epochs, training accuracy to {last['train_accuracy']:.2f}."
    )
    validated = history[history["val_loss"].notna()]
    if len(validated):
        best, end = validated.loc[validated["val_loss"].idxmin()], validated.iloc[-1]
        text += f" Validation loss was lowest at epoch {best['epoch']:.0f} ({best['val_loss']:.2f}) "
        text += f"and ended at {end['val_loss']:.2f}."
    else:
        text += " No patients were set aside for validation."
    if figures.rate_steps(history):
        text += " Dotted lines: changes of the learning rate."
    return text


def signal_picture(curves: Curves | None, task: Task) -> Picture:
    """Return the time-signal intensity curves."""
    if curves is None:
        caption = alt = "No contrast phase was measured in this cohort."
    else:
        caption = "Mean ± 1 standard error over lesions of the whole cohort (grey: over studies), "
        caption += f"each divided by its {curves.scale}."
        if curves.left_out:
            caption += f" Left out for want of that signal: {wording.plural(curves.left_out, 'lesion')}."
        alt = "Time-signal intensity curves. " + "; ".join(
            f"{group}: " + ", ".join(f"{row.phase} {row.mean:.2f}" for row in part.itertuples())
            for group, part in curves.points.groupby("group", sort=False)
        )
    return picture("tsic", "Time–signal intensity curves", caption, alt, tsic(curves, task.classes))


def example_pictures(
    store: Store, sequences: Sequence[str], task: Task, fusion: Sequence[str], roles: pd.Series | None
) -> list[Picture]:
    """Return figure 3 for a typical lesion of each class, and its planes where samples are 3D.

    ``roles`` as of `tables.sample_roles`.
    """
    made = {"sequences": example_figures, "planes": plane_figures}
    return [
        picture(f"{key}_{name}", title, caption, caption, figure, wide=True)
        for key, figures_of in made.items()
        for name, title, caption, figure in figures_of(store, sequences, task, fusion, roles)
    ]


def error_pictures(
    store: Store, task: Task, fusion: Sequence[str], results: pd.DataFrame, nouns: Mapping[str, str]
) -> list[Picture]:
    """Return the surest errors as one picture, or none when every lesion was right."""
    answers = error_answers(store, task, fusion, results)
    cases = wording.several(nouns["lesion"])
    shown = "middle slice, and the mean probability over slices" if "slice" in nouns else "middle plane"
    caption = f"The {cases} that the network got wrong with the highest probability, as it saw them: {shown}."
    alt = caption + " " + "; ".join(f"{item.lesion}: {item.predicted}, {item.note}" for item in answers) + "."
    return [picture("errors", "Surest errors", caption, alt, draw_answers(answers), wide=True)] if answers else []
