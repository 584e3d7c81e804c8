"""Finished runs asked again about their test patients, as if sequences had not been acquired."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd

from mpmri_monai.artefacts import make_folder
from mpmri_monai.evaluation import read_predictions, write_predictions
from mpmri_monai.experiments.context import Context
from mpmri_monai.experiments.perturbed import TrainedRun
from mpmri_monai.processes import in_processes
from mpmri_monai.sequences import fusion_name
from mpmri_monai.training import SampleData, pin_threads, predict, prediction_rows

MOST_SUBSETS = 15
"""Subsets of which all are tried, those of four sequences; of more sequences, one is left out or all but one."""

Kept = tuple[str, ...]
"""The sequences of the fusion that are left, in its order."""


def subsets(fusion: Sequence[str]) -> list[Kept]:
    """Return what may be left of a fusion, all of it first: every subset, of many sequences some (`MOST_SUBSETS`)."""
    count = len(fusion)
    sizes = range(count, 0, -1) if 2**count - 1 <= MOST_SUBSETS else (count, count - 1, 1)
    return [kept for size in sizes for kept in combinations(fusion, size)]


def left_with(data: SampleData, fusion: Sequence[str], kept: Kept) -> SampleData:
    """Return the samples as if only ``kept`` had been acquired; those that then show nothing are left out.

    Args:
        data: samples with the channels of ``fusion``.
        fusion: the channels, in order.
        kept: some of them.
    """
    present = data.present & np.isin(fusion, kept)
    shows = present.any(axis=1)
    table = data.table[shows].assign(**{f"present_{n}": present[shows, i] for i, n in enumerate(fusion)})
    image = data.image[shows] * present[shows].reshape(*present[shows].shape, *(1,) * (data.image.ndim - 2))
    return replace(
        data,
        image=image,
        present=present[shows],
        label=data.label[shows],
        extent_mm=data.extent_mm[shows],
        table=table,
    )


def predictions_by_subset(context: Context, cell: str) -> dict[Kept, pd.DataFrame]:
    """Return the test predictions of all finished runs of a cell by what is left; what was predicted before is read.

    They are kept in the experiment's folder, under ``missing``.

    Raises:
        EvaluationError: the cell has no finished run, or one is not what it was when it was trained.
    """
    context.predictions(cell)  # says so when no run has finished
    jobs = [(context.folder(run), context.out / "missing" / run.name) for run in context.runs(cell)]
    paths = list(in_processes(_predict_run, jobs, context.workers, "Leaving sequences out"))
    return {kept: pd.concat([read_predictions(one[kept]) for one in paths], ignore_index=True) for kept in paths[0]}


def _predict_run(job: tuple[Path, Path]) -> Mapping[Kept, Path]:
    """Write the predictions of one run for every subset that are not there yet; return where they are."""
    folder, out = job
    pin_threads(1)
    make_folder(out)
    run = TrainedRun(folder)
    fusion = run.cohort.fusion
    paths = {kept: out / f"{fusion_name(kept)}.csv" for kept in subsets(fusion)}
    for kept, path in paths.items():
        if not path.is_file():
            table = _predicted(run, left_with(run.data, fusion, kept))
            if kept == fusion:
                run.check(table)
            write_predictions(path, table)
    return paths


def _predicted(run: TrainedRun, data: SampleData) -> pd.DataFrame:
    probabilities = predict(run.network, data, "cpu", run.pixels)
    cohort = run.cohort
    return prediction_rows(data, probabilities, cohort.task, cohort.manifest.sequences, cohort.split_columns("test"))
