"""Which lesions a report shows: a typical one of each class, and the errors that the network was surest of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from mpmri_monai.report.answer import LesionAnswer
from mpmri_monai.report.levels import WHOLE
from mpmri_monai.report.panels import central, middle_plane
from mpmri_monai.report.planes_figure import planes, planes_shown
from mpmri_monai.report.sequences_figure import colour_fusions, sequences_and_fusions
from mpmri_monai.report.tables import sample_classes
from mpmri_monai.report.wording import plural
from mpmri_monai.sequences import Task

if TYPE_CHECKING:
    from mpmri_monai.samples import Store

ERRORS_SHOWN = 4


def example_figures(
    store: Store, sequences: Sequence[str], task: Task, fusion: Sequence[str], roles: pd.Series | None
) -> Iterator[tuple[str, str, str, Figure]]:
    """Yield class, title, caption and figure 3 for a typical lesion of each class that there is.

    Typical is the lesion of median size among those with the most sequences, of the test patients where these have one.
    Of 3D samples, the middle plane is shown.
    """
    for name, row in _typical_rows(store, sequences, task, roles):
        sample = store.table.iloc[row]
        crops = middle_plane(store.images(np.array([row]), list(sequences))[0], leading=1)
        mask = _outline(store, row)
        mask = None if mask is None else middle_plane(mask, leading=0)
        place = "middle slice" if len(store.settings.size) == 2 else "middle plane"
        colours = "; below, three sequences as red, green and blue" if colour_fusions(sequences, fusion) else ""
        caption = (
            f"{_of_whom(sample)}, {place}{'' if mask is None else ', outlined'}. Each sequence in grey as normalised "
            f"for the network, whose view is the dashed square{colours}."
        )
        present, seen = _present(sample, sequences), store.settings.size[-1]
        figure = sequences_and_fusions(crops, mask, sequences, present, fusion, seen)
        yield name, f"Sequences and fusions: {name}", caption, figure


def plane_figures(
    store: Store, sequences: Sequence[str], task: Task, fusion: Sequence[str], roles: pd.Series | None
) -> Iterator[tuple[str, str, str, Figure]]:
    """Yield class, title, caption and all planes that the network sees of the same lesions; 3D samples have them."""
    if len(store.settings.size) == 2:
        return
    for name, row in _typical_rows(store, sequences, task, roles):
        sample = store.table.iloc[row]
        crops = central(store.images(np.array([row]), list(fusion))[0], store.settings.size)
        mask = _outline(store, row)
        mask = None if mask is None else central(mask, store.settings.size)
        depth = crops.shape[1]
        shown = "all" if len(planes_shown(depth)) == depth else f"{len(planes_shown(depth))} of the"
        grid = store.settings.grid
        caption = (
            f"{_of_whom(sample)}: {shown} {plural(depth, 'plane')} that the network sees, from the lowest to the "
            f"highest, {grid.depth_mm:g} mm apart, {grid.pixels * grid.plane_mm:g} mm wide{_where_outlined(mask)}."
        )
        yield name, f"Planes: {name}", caption, planes(crops, mask, fusion, _present(sample, fusion))


def error_answers(store: Store, task: Task, fusion: Sequence[str], results: pd.DataFrame) -> list[LesionAnswer]:
    """Return the errors with the highest probability as the network saw them; ``results`` as of ``lesion_results``."""
    answers = []
    for found in results[results["wrong"]].head(ERRORS_SHOWN).to_dict("records"):
        table = store.table
        here = (table["patient"].astype(str) == found["patient"]) & (table["study"].astype(str) == found["study"])
        row = _middle(store, np.flatnonzero(here & (table["lesion"].astype(str) == found["lesion"])))
        mask = _outline(store, row)
        answers.append(
            LesionAnswer(
                lesion=found["lesion"] if mask is not None else found["study"],
                image=central(store.images(np.array([row]), list(fusion))[0], store.settings.size),
                mask=None if mask is None else central(mask, store.settings.size),
                fusion=tuple(fusion),
                present=_present(table.iloc[row], fusion),
                probabilities={name: found[f"p_{name}"] for name in task.classes},
                predicted=found["predicted"],
                note=f"patient {found['patient']}, truth: {found['label']}",
                noun="lesion" if mask is not None else WHOLE,
            )
        )
    return answers


def _of_whom(sample: pd.Series) -> str:
    """Return which sample it is, and its size where that is known."""
    what = "The whole study" if sample["kind"] == WHOLE else f"Lesion {sample['lesion']}"
    size = "" if sample["kind"] == WHOLE or pd.isna(sample["extent_mm"]) else f", {sample['extent_mm']:.0f} mm"
    return f"{what} of patient {sample['patient']}{size}"


def _where_outlined(mask: np.ndarray | None) -> str:
    """Return that a lesion is outlined, unless it fills all of what is shown."""
    return "" if mask is None or mask.all() else ", the lesion outlined"


def _outline(store: Store, row: int) -> np.ndarray | None:
    """Return where the lesion is in a sample as stored; None of a whole study, in which nothing is outlined."""
    return None if store.table["kind"].iloc[row] == WHOLE else np.asarray(store.masks(np.array([row]))[0])


def _present(sample: pd.Series, sequences: Sequence[str]) -> dict[str, bool]:
    return {name: bool(sample[f"present_{name}"]) for name in sequences}


def _typical_rows(
    store: Store, sequences: Sequence[str], task: Task, roles: pd.Series | None
) -> Iterator[tuple[str, int]]:
    """Yield each class that there is and the row of its typical lesion."""
    labels = sample_classes(store.table, task)
    for name in task.classes:
        row = _typical(store, labels == name, sequences, None if roles is None else roles == "test")
        if row is not None:
            yield name, row


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
    """Return the row whose mask is largest: of slices, that through the middle of the lesion."""
    areas = np.asarray(store.masks(rows)).reshape(len(rows), -1).sum(axis=1)
    return int(rows[int(areas.argmax())])
