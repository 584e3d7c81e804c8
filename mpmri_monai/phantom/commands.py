"""``mpmri phantom``: write a cohort or one more study, and say what was written and what to do next."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.table import Table

from mpmri_monai.phantom.classes import ClassModel
from mpmri_monai.phantom.cohort import LABELS, TRUTH, write_cohort
from mpmri_monai.phantom.presets import preset
from mpmri_monai.phantom.study import write_study
from mpmri_monai.phantom.truth import ceiling, named_fusions, read_truth

WORKERS = 2


def phantom_command(out: Path, preset_name: str, patients: int | None, seed: int | None) -> int:
    """Write a cohort into ``out``, print its lesions and ceilings and the next command; return the exit status."""
    manifest = write_cohort(out, preset_name, patients=patients, seed=seed, workers=WORKERS)
    chosen, console = preset(preset_name), Console()
    told = f"Manifest: {manifest}    labels: {out / LABELS}"
    if chosen.labelled:
        truth = read_truth(out / TRUTH)
        console.print(_lesions(truth, chosen.anatomy.findings))
        console.print(_ceilings(truth, chosen.anatomy.findings))
        told += f"    truth: {out / TRUTH}"
    console.print(told, soft_wrap=True)
    console.print(
        f"Next: python -m monai.bundle run training --config_file {_config(chosen.bundle, 'train')} "
        f"--manifest {manifest}",
        soft_wrap=True,
    )
    return 0


def study_command(out: Path, preset_name: str, seed: int | None, number: int = 0) -> int:
    """Write one study that is in no cohort into ``out``, print the next command; return the exit status."""
    study = write_study(out, preset_name, number=number, seed=seed)
    Console().print(
        f"Next: python -m monai.bundle run inference --config_file {_config(preset(preset_name).bundle, 'inference')} "
        f"--study {study.dicom} --lesion_mask {study.lesion_mask} --output_dir OUT",
        soft_wrap=True,
    )
    return 0


def _config(bundle: str, name: str) -> str:
    return f"bundles/{bundle}/configs/{name}.json"


def _lesions(truth: pd.DataFrame, model: ClassModel) -> Table:
    table = Table(model.label, "lesions", "patients", "median diameter, mm", title="Lesions")
    for label in model.classes:
        rows = truth[truth["label"] == label]
        median = f"{rows['diameter_mm'].median():.0f}" if len(rows) else "-"
        table.add_row(label, str(len(rows)), str(rows["patient"].nunique()), median)
    return table


def _ceilings(truth: pd.DataFrame, model: ClassModel) -> Table:
    table = Table(
        "sequences", "accuracy", "95 %", "macro AUC", "95 %", title="Ceiling: no classifier does better on average"
    )
    for name, sequences in named_fusions(model).items():
        found = ceiling(truth, sequences)
        cells = [cell for metric in ("accuracy", "macro_auc") for cell in _cells(found[metric])]
        table.add_row(name, *cells)
    return table


def _cells(metric: dict[str, float | None]) -> tuple[str, str]:
    if metric["mean"] is None:
        return "-", "-"
    return f"{metric['mean']:.3f}", f"{metric['low']:.3f} to {metric['high']:.3f}"
