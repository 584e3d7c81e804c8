"""The pictures of a run report: each figure with its title, its caption and the words for who cannot see it."""

from __future__ import annotations

import base64
from dataclasses import dataclass

import pandas as pd

from mpmri_monai.report import figures, tables, wording
from mpmri_monai.report.answer import draw_answers
from mpmri_monai.report.examples import error_answers, example_figures
from mpmri_monai.report.run_folder import RunFolder
from mpmri_monai.report.style import png
from mpmri_monai.report.tsic import Curves, tsic
from mpmri_monai.sequences import Task


@dataclass(frozen=True)
class Picture:
    """A figure in the report: its file name, what to say of it, and its pixels."""

    key: str
    title: str
    caption: str
    alt: str
    content: bytes
    wide: bool = False

    @property
    def source(self) -> str:
        """The pixels as a data URI, so that the report needs no second file."""
        return "data:image/png;base64," + base64.b64encode(self.content).decode()


def interval_pictures(folder: RunFolder) -> list[Picture]:
    """Return the forest plots of accuracy and macro AUC."""
    metrics, pictures = folder.metrics, []
    nothing = {"accuracy": "always naming the commonest class", "macro_auc": "0.5"}
    for name, row in zip(nothing, tables.headline_rows(metrics), strict=True):
        caption = f"Bars: {wording.percent(metrics)} % intervals over patients. Dotted: {nothing[name]}."
        if metrics.get("ceiling"):
            caption += " Green: ceiling, defined for lesions only."
        alt = f"{row[0]} of lesions: network {row[1]}, baseline {row[2]}, no information {row[3]}, ceiling {row[4]}."
        pictures.append(Picture(f"interval_{name}", row[0], caption, alt, png(figures.forest(metrics, name))))
    return pictures


def performance_pictures(folder: RunFolder) -> list[Picture]:
    """Return learning curves, where something was trained, ROC and confusion matrix of lesions."""
    metrics, pictures = folder.metrics, []
    classes, level = metrics["classes"], metrics["levels"]["lesion"]
    if not folder.history.empty:
        caption = _history_words(folder.history)
        pictures.append(
            Picture(
                "learning_curves", "Learning curves", caption, caption, png(figures.learning_curves(folder.history))
            )
        )
    why = wording.why_undefined(level, classes, "lesion")
    areas = [f"{name} {wording.with_interval(level['metrics'].get(f'auc_{name}'), why)}" for name in classes]
    rows = [
        f"of {sum(row)} {truth}: "
        + ", ".join(f"{count} called {name}" for name, count in zip(classes, row, strict=True))
        for truth, row in zip(classes, level["confusion"], strict=True)
    ]
    return [
        *pictures,
        Picture(
            "roc",
            "ROC, each class against the rest",
            "Lesion level. The score of a lesion is its mean probability over slices.",
            "ROC curves at lesion level; AUC of " + "; ".join(areas) + ".",
            png(figures.roc_curves(level, classes, "lesion")),
        ),
        Picture(
            "confusion",
            "Confusion matrix",
            "Lesion level. Counts, and their share of the true class; shading follows the share.",
            "Confusion matrix of lesions; " + "; ".join(rows) + ".",
            png(figures.confusion_matrix(level, classes, "lesion")),
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
    if (history["learning_rate"].diff().fillna(0) != 0).any():
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
    return Picture("tsic", "Time–signal intensity curves", caption, alt, png(tsic(curves, task.classes)))


def lesion_pictures(store, manifest, task: Task, names, labels, roles, results) -> list[Picture]:
    pictures = [
        Picture(f"sequences_{name}", title, caption, caption, png(figure), wide=True)
        for name, title, caption, figure in example_figures(store, manifest.sequences, task, names, labels, roles)
    ]
    answers = error_answers(store, task, names, results)
    if answers:
        caption = "The lesions that the network got wrong with the highest probability, as it saw them: "
        caption += "middle slice, and the mean probability over slices."
        alt = caption + " " + "; ".join(f"{item.lesion}: {item.predicted}, {item.note}" for item in answers) + "."
        pictures.append(Picture("errors", "Surest errors", caption, alt, png(draw_answers(answers)), wide=True))
    return pictures
