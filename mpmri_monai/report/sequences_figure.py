"""Figure 3 of Jia et al. (KSII TIIS 13(10), 2019): the sequences of one lesion and what fusions of three look like."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from mpmri_monai.report.panels import show_absent, show_crop
from mpmri_monai.report.style import new_figure
from mpmri_monai.sequences import PAPER_FUSIONS, fusion_name

COLUMNS = 5


def sequences_and_fusions(
    crops: np.ndarray,
    mask: np.ndarray | None,
    sequences: Sequence[str],
    present: Mapping[str, bool],
    run_fusion: Sequence[str],
    seen: int,
) -> Figure:
    """Draw every sequence of one sample in grey, then fusions of three as red, green and blue.

    Args:
        crops: (sequence, row, column) float in [0, 1].
        mask: (row, column) bool, the lesion; outlined in every panel.
        sequences: the names along the first axis of ``crops``.
        present: whether each sequence was acquired there; those that were not are shown hatched, never as black.
        run_fusion: the fusion of the run, shown first; one that is not of three channels has no colour image.
        seen: side in pixels of the central square that the network sees.
    """
    fusions = colour_fusions(sequences, run_fusion)
    rows = -(-len(sequences) // COLUMNS) + -(-len(fusions) // COLUMNS)
    figure = new_figure(7.2, 1.72 * rows)
    panels = figure.subplots(rows, COLUMNS).ravel()
    for axes in panels:
        axes.set_axis_off()
    index = {name: position for position, name in enumerate(sequences)}
    shape = crops.shape[1:]
    for axes, name in zip(panels, sequences, strict=False):
        axes.set_axis_on()
        if present[name]:
            show_crop(axes, crops[index[name]], mask, name, seen)
        else:
            show_absent(axes, shape, name)
    first = -(-len(sequences) // COLUMNS) * COLUMNS
    for axes, (names, title) in zip(panels[first:], fusions.items(), strict=False):
        axes.set_axis_on()
        missing = [name for name in names if not present[name]]
        if missing:
            show_absent(axes, shape, title, f"{', '.join(missing)}\nabsent")
        else:
            show_crop(axes, np.stack([crops[index[name]] for name in names], axis=-1), mask, title, seen)
    return figure


def colour_fusions(sequences: Sequence[str], run_fusion: Sequence[str]) -> dict[tuple[str, ...], str]:
    """Return fusions of three and their titles: that of the run first, then the paper's, each once."""
    titles: dict[tuple[str, ...], str] = {}
    if len(run_fusion) == 3:
        titles[tuple(run_fusion)] = f"{fusion_name(run_fusion)}\n(this run)"
    for paper, names in PAPER_FUSIONS.items():
        if set(names) <= set(sequences):
            titles.setdefault(names, f"{fusion_name(names)}\n(paper: {paper})")
    return titles
