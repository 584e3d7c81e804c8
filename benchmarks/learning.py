"""What the bundle learns on generated cohorts, beside baseline and ceiling: k folds over patients, pooled.

    python benchmarks/learning.py MANIFEST OUT --folds 5

Each fold is the bundle's own training command. A fold that is done is not done again. Options of the bundle follow
after ``--``: ``... -- --max_epochs 10 --fusion T2-S0-S2``.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.table import Table

from mpmri_monai import artefacts
from mpmri_monai.bundle import CohortData
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


def _interval(metric: dict[str, float], key: str) -> str:
    return f"{metric[key]:.3f} [{metric['low']:.3f}, {metric['high']:.3f}]"


def main() -> None:
    """Read the command line and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=1, help="folds trained at the same time, with one thread each")
    own = sys.argv[1:]
    options = own[own.index("--") + 1 :] if "--" in own else []
    given = parser.parse_args(own[: own.index("--")] if "--" in own else own)
    folds_command(given.manifest, given.out, given.folds, given.jobs, options)


if __name__ == "__main__":
    main()
