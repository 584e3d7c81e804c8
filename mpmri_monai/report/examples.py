"""Which lesions a report shows: a typical one of each class, and the errors that the network was surest of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from mpmri_monai.report.answer import LesionAnswer
from mpmri_monai.report.panels import central
from mpmri_monai.report.sequences_figure import sequences_and_fusions
from mpmri_monai.report.tables import sample_classes
from mpmri_monai.sequences import Task

if TYPE_CHECKING:
    from mpmri_monai.samples import Store

ERRORS_SHOWN = 4


def example_figures(
    store: Store, sequences: Sequence[str], task: Task, fusion: Sequence[str], roles: pd.Series | None
) -> Iterator[tuple[str, str, str, Figure]]:
    """Yield class, title, caption and figure 3 for a typical lesion of each class that there is.

    Typical is the lesion of median size among those with the most sequences, of the test patients where these have one.
    """
    labels = sample_classes(store.table, task)
    for name in task.classes:
        row = _typical(store, labels == name, sequences, None if roles is None else roles == "test")
        if row is None:
            continue
        sample = store.table.iloc[row]
        present = {sequence: bool(sample[f"present_{sequence}"]) for sequence in sequences}
        crops = store.images(np.array([row]), list(sequences))[0]
        mask = np.asarray(store.masks(np.array([row]))[0])
        seen = store.settings.pixels
        caption = (
            f"Lesion {sample['lesion']} of patient {sample['patient']}, {sample['extent_mm']:.0f} mm, middle slice, "
            "outlined. Each sequence in grey as normalised for the network, whose view is the dashed square; below, "
            "three sequences as red, green and blue."
        )
        figure = sequences_and_fusions(crops, mask, sequences, present, fusion, seen)
        yield name, f"Sequences and fusions: {name}", caption, figure


def error_answers(store: Store, task: Task, fusion: Sequence[str], results: pd.DataFrame) -> list[LesionAnswer]:
    """Return the errors with the highest probability as the network saw them; ``results`` as of ``lesion_results``."""
    answers = []
    for found in results[results["wrong"]].head(ERRORS_SHOWN).to_dict("records"):
        table = store.table
        here = (table["patient"].astype(str) == found["patient"]) & (table["study"].astype(str) == found["study"])
        row = _middle(store, np.flatnonzero(here & (table["lesion"].astype(str) == found["lesion"])))
        sample = table.iloc[row]
        answers.append(
            LesionAnswer(
                lesion=found["lesion"],
                image=central(store.images(np.array([row]), list(fusion))[0], store.settings.pixels),
                mask=central(np.asarray(store.masks(np.array([row]))[0]), store.settings.pixels),
                fusion=tuple(fusion),
                present={name: bool(sample[f"present_{name}"]) for name in fusion},
                probabilities={name: found[f"p_{name}"] for name in task.classes},
                predicted=found["predicted"],
                note=f"patient {found['patient']}, truth: {found['label']}",
            )
        )
    return answers


def _typical(store: Store, chosen: pd.Series, sequences: Sequence[str], preferred: pd.Series | None) -> int | None:
    if preferred is not None and (chosen & preferred).any():
        chosen = chosen & preferred
    rows = store.table[chosen]
    if rows.empty:
        return None
    present = rows[[f"present_{name}" for name in sequences]].astype(bool).sum(axis=1)
    lesions = (
        rows[present == present.max()]
        .drop_duplicates(["study", "lesion"])
        .sort_values(["extent_mm", "study", "lesion"])
    )
    lesion = lesions.iloc[len(lesions) // 2]
    same = (store.table["study"] == lesion["study"]) & (store.table["lesion"] == lesion["lesion"])
    return _middle(store, np.flatnonzero(same))


def _middle(store: Store, rows: np.ndarray) -> int:
    """Return the row whose mask is largest: the slice through the middle of the lesion."""
    areas = np.asarray(store.masks(rows)).reshape(len(rows), -1).sum(axis=1)
    return int(rows[int(areas.argmax())])
