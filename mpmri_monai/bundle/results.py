"""The end of a run: predictions, metrics beside baseline and ceiling, calibration, reference and report."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import pandas as pd
import torch
from rich.console import Console
from torch import nn

from mpmri_monai import artefacts
from mpmri_monai.bundle.audit import audit_run
from mpmri_monai.bundle.cohort_data import CohortData
from mpmri_monai.bundle.reference import write_reference
from mpmri_monai.bundle.run_folder import RunFolder
from mpmri_monai.bundle.workflow import on_command_line
from mpmri_monai.cohort import NOT_DISJOINT, ROLES
from mpmri_monai.evaluation import (
    calibrate,
    evaluate,
    metrics_table,
    operating_points,
    roi_baseline,
    write_predictions,
)
from mpmri_monai.networks import load_weights
from mpmri_monai.phantom.truth import ceiling, read_truth
from mpmri_monai.report import write_report
from mpmri_monai.sequences import fusion_name
from mpmri_monai.training import Trainer, predict, prediction_rows

logger = logging.getLogger(__name__)


def finish_training(run: RunFolder, trainer: Trainer, network: nn.Module, config: dict[str, Any], pixels: int) -> None:
    """Turn a trained network into the results of its run: weights, predictions, metrics, reference, report.

    What is there already, from a run that was stopped here, is made again with the same bytes. A finished run is left
    as it is, and said to be finished.

    Args:
        run: the run folder.
        trainer: its checkpoint knows which epoch's weights count.
        network: the trained network; ends with those weights.
        config: arguments of the network, kept in the reference so that the weights can be used again.
        pixels: side of the network's input.
    """
    if run.finished:
        if idist.get_rank() == 0:
            print(f"This run is finished: {run.last_result}\nName another --output_dir to train again.")
        return
    epoch = trainer.checkpoint.finish()
    if idist.get_rank() > 0:
        return
    logger.info("weights of epoch %d", epoch)
    if run.cohort.replica:
        logger.warning("split by %s: every result of this run is %s", run.cohort.split.unit, NOT_DISJOINT)
    predictions = predict_roles(run.cohort, network, trainer.state.device, pixels)
    write_predictions(run.path / "predictions.csv", predictions)
    if run.results == "predictions":
        return
    write_metrics(run.path, run.cohort, predictions)
    write_reference(run.path, run.cohort, config, pixels)
    _write_report(run)


def evaluate_run(run_path: str | Path, cohort: CohortData, network: nn.Module, device: Any, pixels: int) -> None:
    """Compute the results of a trained run again, from its weights: predictions, metrics and report.

    Raises:
        WeightsError: the run has no weights yet, or they do not fit.
        ConfigError: no report of such a fit can be honest.
    """
    cohort.refuse_report()
    run_path = Path(run_path)
    load_weights(network, run_path / "model.pt")
    network.to(device)
    predictions = predict_roles(cohort, network, device, pixels)
    write_predictions(run_path / "predictions.csv", predictions)
    write_metrics(run_path, cohort, predictions)
    write_report(run_path, cohort.store, cohort.manifest, cohort.task, cohort.fusion, audit_run(run_path))
    _print_next(run_path)


def exit_status(cohort: CohortData) -> None:
    """Name the studies that were left out, if any, and on the command line end with exit status 1 because of them."""
    failed = cohort.store.failed
    if not failed:
        return
    if idist.get_rank() == 0:
        print(f"{len(failed)} of {len(cohort.manifest.studies)} studies were left out:", file=sys.stderr)
        for study, why in sorted(failed.items()):
            print(f"  {study}: {why}", file=sys.stderr)
    if on_command_line():
        sys.exit(1)


def predict_roles(cohort: CohortData, network: nn.Module, device: str | torch.device, pixels: int) -> pd.DataFrame:
    """Return the predictions table of every role of this run's fit."""
    tables = []
    for role in ROLES:
        data = cohort.scored(role)
        if len(data.table):
            probabilities = predict(network, data, device, pixels)
            split = cohort.split_columns(role)
            tables.append(prediction_rows(data, probabilities, cohort.task, cohort.manifest.sequences, split))
    return pd.concat(tables, ignore_index=True)


def write_metrics(folder: Path, cohort: CohortData, predictions: pd.DataFrame) -> dict[str, Any]:
    """Write ``metrics.json`` of the test patients with baseline, ceiling and calibration; return the metrics."""
    metrics = evaluate(predictions, cohort.task, seed=cohort.seed)
    metrics["fusion"] = fusion_name(cohort.fusion)
    metrics["baseline"] = _baseline(cohort)
    metrics["ceiling"] = _ceiling(cohort, predictions)
    metrics["operating_points"] = operating_points(predictions, cohort.task, seed=cohort.seed)
    metrics["calibration"] = calibrate(predictions, cohort.task, seed=cohort.seed)
    artefacts.write_json(folder / "metrics.json", metrics)
    Console().print(metrics_table(metrics))
    return metrics


def _baseline(cohort: CohortData) -> dict[str, Any]:
    rows = roi_baseline(cohort.usable, cohort.roles, cohort.task, cohort.manifest.sequences, seed=cohort.seed)
    return evaluate(rows, cohort.task, seed=cohort.seed)


def _ceiling(cohort: CohortData, predictions: pd.DataFrame) -> dict[str, Any] | None:
    """Return the bounds that a phantom's truth puts on any classifier of the test lesions.

    None for real patients, and for permuted labels, which the truth does not explain.
    """
    if cohort.manifest.truth is None or not cohort.task.ordered or cohort.permutation >= 0:
        return None
    truth = read_truth(cohort.manifest.path(cohort.manifest.truth))
    tested = predictions[predictions["role"] == "test"]
    lesions = set(zip(tested["patient"], tested["lesion"], strict=True))
    return {
        name: ceiling(truth, names, lesions, cohort.task.classes, cohort.seed)
        for name, names in (("fusion", cohort.fusion), ("all", cohort.manifest.sequences))
    }


def _write_report(run: RunFolder) -> None:
    cohort = run.cohort
    write_report(run.path, cohort.store, cohort.manifest, cohort.task, cohort.fusion, audit_run(run.path))
    _print_next(run.path)


def _print_next(folder: Path) -> None:
    print(
        f"Report: {folder / 'report.html'}\nPredictions: {folder / 'predictions.csv'}\nWeights: {folder / 'model.pt'}"
    )
    print(f"Next: mpmri bundle adopt {folder} BUNDLE, to put these weights into a bundle that answers on new studies")
