"""What the bundle learns on generated cohorts, beside baseline and ceiling; and that it learns nothing from nonsense.

    python benchmarks/learning.py folds MANIFEST OUT --folds 5      # k-fold over patients, pooled, with intervals
    python benchmarks/learning.py permuted MANIFEST OUT --folds 3 --permutations 20

Each fold is the bundle's own training command. A fold that is done is not done again. Options of the bundle follow
after ``--``: ``... -- --max_epochs 10 --fusion T2-S0-S2``.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from mpmri_monai import artefacts
from mpmri_monai.bundle import CohortData
from mpmri_monai.cohort import load_manifest, save_manifest
from mpmri_monai.evaluation import evaluate, metrics_table, read_predictions, roi_baseline
from mpmri_monai.phantom.truth import ceiling, read_truth
from mpmri_monai.sequences import task

TRAIN = Path(__file__).resolve().parents[1] / "bundles" / "hcc_grade" / "configs" / "train.json"


def train_folds(manifest: Path, out: Path, folds: int, jobs: int, options: list[str]) -> pd.DataFrame:
    """Train every fold with the bundle's command, ``jobs`` at a time; return the predictions of all test patients."""

    def train(fold: int) -> pd.DataFrame:
        folder = out / f"fold{fold}"
        if not (folder / "report.html").exists():
            command = [sys.executable, "-m", "monai.bundle", "run", "training", "--config_file", str(TRAIN)]
            command += ["--manifest", str(manifest), "--output_dir", str(folder), "--threads", str(2 // jobs or 1)]
            command += ["--split#folds", str(folds), "--split#fold", str(fold), *options]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return read_predictions(folder / "predictions.csv")

    with ThreadPoolExecutor(jobs) as pool:
        pooled = pd.concat(pool.map(train, range(folds)), ignore_index=True)
    return pooled[pooled["role"] == "test"]


def _cohort(manifest: Path, folder: Path) -> CohortData:
    config = artefacts.read_json(folder / "config.json")
    return CohortData(manifest, config["task"], config["fusion"], config["samples"], config["split"], config["seed"])


def folds_command(manifest: Path, out: Path, folds: int, jobs: int, options: list[str]) -> None:
    """Print the pooled result of all folds beside the baseline, fitted in the same folds, and the ceiling."""
    predictions = train_folds(manifest, out, folds, jobs, options)
    grade = task("hcc_grade")
    baselines = []
    for fold in range(folds):
        cohort = _cohort(manifest, out / f"fold{fold}")
        rows = roi_baseline(cohort.rows, cohort.roles, grade, cohort.manifest.sequences, seed=cohort.seed, outer=fold)
        baselines.append(rows[rows["role"] == "test"])
    console = Console(width=150)
    network, baseline = evaluate(predictions, grade), evaluate(pd.concat(baselines, ignore_index=True), grade)
    console.print(metrics_table(network))
    table = Table("lesion level", "accuracy", "macro AUC", title=f"{cohort.manifest.name}, {folds} folds over patients")
    for name, found in (("network", network), ("ROI-mean baseline", baseline)):
        metrics = found["levels"]["lesion"]["metrics"]
        table.add_row(name, *(_interval(metrics[key], "value") for key in ("accuracy", "macro_auc")))
    if cohort.manifest.truth:
        truth = read_truth(cohort.manifest.path(cohort.manifest.truth))
        lesions = set(zip(predictions["patient"], predictions["lesion"], strict=True))
        for name, shown in (("ceiling, fusion", cohort.fusion), ("ceiling, all sequences", cohort.manifest.sequences)):
            bound = ceiling(truth, shown, lesions, grade.classes, cohort.seed)
            table.add_row(name, *(_interval(bound[key], "mean") for key in ("accuracy", "macro_auc")))
    console.print(table)


def permuted_command(manifest: Path, out: Path, folds: int, permutations: int, jobs: int, options: list[str]) -> None:
    """Print the mean macro AUC over permutations of the labels; it is 0.5 when nothing leaks."""
    grade = task("hcc_grade")
    values = []
    for number in range(permutations):
        folder = out / f"permutation{number:02d}"
        predictions = train_folds(manifest, folder, folds, jobs, ["--permutation", str(number), *options])
        metrics = evaluate(predictions, grade, bootstraps=2)["levels"]
        values.append([metrics[level]["metrics"]["macro_auc"]["value"] for level in ("slice", "lesion", "patient")])
        print(f"permutation {number}: macro AUC of lesions {values[-1][1]:.3f}", flush=True)
    for level, column in zip(("slice", "lesion", "patient"), np.array(values).T, strict=True):
        error = column.std(ddof=1) / np.sqrt(len(column))
        print(
            f"{level}: mean macro AUC {column.mean():.3f} over {len(column)} permutations, standard error {error:.3f}"
        )


def _first(manifest: Path, patients: int, out: Path) -> Path:
    whole = load_manifest(manifest)
    save_manifest(whole.model_copy(update={"studies": whole.studies[:patients]}), out / "manifest.json")
    return out / "manifest.json"


def _interval(metric: dict[str, float], key: str) -> str:
    return f"{metric[key]:.3f} [{metric['low']:.3f}, {metric['high']:.3f}]"


def main() -> None:
    """Read the command line and run one of the two experiments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("folds", "permuted"))
    parser.add_argument("manifest", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--permutations", type=int, default=20)
    parser.add_argument("--patients", type=int, help="use only the first of the manifest's patients")
    parser.add_argument("--jobs", type=int, default=1, help="folds trained at the same time, with one thread each")
    own = sys.argv[1:]
    options = own[own.index("--") + 1 :] if "--" in own else []
    given = parser.parse_args(own[: own.index("--")] if "--" in own else own)
    manifest = _first(given.manifest, given.patients, given.out) if given.patients else given.manifest
    if given.what == "folds":
        folds_command(manifest, given.out, given.folds, given.jobs, options)
    else:
        permuted_command(manifest, given.out, given.folds, given.permutations, given.jobs, options)


if __name__ == "__main__":
    main()
