"""``mpmri phantom``: write a cohort or one more study, and say what was written and what to do next."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.table import Table

from mpmri_monai.phantom.cohort import LABELS, TRUTH, write_cohort
from mpmri_monai.phantom.study import write_study
from mpmri_monai.phantom.truth import ceiling, read_truth
from mpmri_monai.sequences import GRADES, PAPER_FUSIONS, SEQUENCES, fusion_name

WORKERS = 2


def phantom_command(out: Path, preset: str, patients: int | None, seed: int | None) -> int:
    """Write a cohort into ``out``, print its lesions and ceilings and the next command; return the exit status."""
    manifest = write_cohort(out, preset, patients=patients, seed=seed, workers=WORKERS)
    truth = read_truth(out / TRUTH)
    console = Console()
    console.print(_lesions(truth))
    console.print(_ceilings(truth))
    console.print(f"Manifest: {manifest}    labels: {out / LABELS}    truth: {out / TRUTH}", soft_wrap=True)
    console.print(
        "Next: python -m monai.bundle run training --config_file bundles/hcc_grade/configs/train.json "
        f"--manifest {manifest}",
        soft_wrap=True,
    )
    return 0


def study_command(out: Path, preset: str, seed: int | None, number: int = 0) -> int:
    """Write one study that is in no cohort into ``out``, print the next command; return the exit status."""
    study = write_study(out, preset, number=number, seed=seed)
    Console().print(
        "Next: python -m monai.bundle run inference --config_file bundles/hcc_grade/configs/inference.json "
        f"--study {study.dicom} --lesion_mask {study.lesion_mask} --output_dir OUT",
        soft_wrap=True,
    )
    return 0


def _lesions(truth) -> Table:
    table = Table("grade", "lesions", "patients", "median diameter, mm", title="Lesions")
    for grade in GRADES:
        rows = truth[truth["label"] == grade]
        median = f"{rows['diameter_mm'].median():.0f}" if len(rows) else "-"
        table.add_row(grade, str(len(rows)), str(rows["patient"].nunique()), median)
    return table


def _ceilings(truth) -> Table:
    table = Table(
        "sequences", "accuracy", "95 %", "macro AUC", "95 %", title="Ceiling: no classifier does better on average"
    )
    for sequences in (SEQUENCES, *PAPER_FUSIONS.values()):
        found = ceiling(truth, sequences)
        cells = [cell for metric in ("accuracy", "macro_auc") for cell in _cells(found[metric])]
        table.add_row("all" if sequences == SEQUENCES else fusion_name(sequences), *cells)
    return table


def _cells(metric: dict[str, float | None]) -> tuple[str, str]:
    if metric["mean"] is None:
        return "-", "-"
    return f"{metric['mean']:.3f}", f"{metric['low']:.3f} to {metric['high']:.3f}"
