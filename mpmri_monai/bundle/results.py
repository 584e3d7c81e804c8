"""The end of a run: predictions, metrics beside baseline and ceiling, calibration, reference and report."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, Sequence
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
from mpmri_monai.errors import ConfigError
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
from mpmri_monai.samples import Settings
from mpmri_monai.sequences import fusion_name
from mpmri_monai.training import Trainer, predict, prediction_rows
from mpmri_monai.training.classical import CLASSICAL_HEADS, FEATURES, HEADS, NETWORK_HEAD, fit_classical
from mpmri_monai.transforms.averaging import CROPS, check_room

logger = logging.getLogger(__name__)


def check_scoring(
    head: str, averaging: bool, results: str, samples: Mapping[str, Any], features: str = "network"
) -> None:
    """Refuse, before a folder is claimed for the run, what could not be scored at its end.

    Args:
        head, averaging, features: as `finish_training`.
        results: as `RunFolder`.
        samples: settings of the samples store.

    Raises:
        ConfigError: no such head or features; a classical head, which is no file of tensors and so cannot answer on a
            new study, where more than predictions is asked for, or in more than one process; features without one; or
            stored crops that are volumes, or too small, to average over.
    """
    settings = Settings(**samples)
    if averaging:
        check_room(settings.stored_shape, settings.size)
    if head not in HEADS:
        raise ConfigError(expected=f"a head among {', '.join(HEADS)}", found=repr(head), code="E_HEAD")
    if features not in FEATURES:
        raise ConfigError(expected=f"features among {', '.join(FEATURES)}", found=repr(features), code="E_HEAD")
    if head == NETWORK_HEAD:
        if features != FEATURES[0]:
            raise ConfigError(
                expected=f"a classical head to fit on {features}",
                found=f"the head {head}, which sees what the network makes of them",
                fix=f"leave --features out, or add --head {CLASSICAL_HEADS[0]} --finetune_depth 0",
                code="E_HEAD",
            )
        return
    if results != "predictions":
        raise ConfigError(
            expected=f"--results predictions with the head {head}, which does not outlive its run",
            found=f"--results {results}",
            fix="add --results predictions, or train the network's own head",
            code="E_HEAD",
        )
    if idist.get_world_size() > 1:
        raise ConfigError(
            expected=f"one process to fit the head {head} in",
            found=f"{idist.get_world_size()} processes",
            fix="start it without torchrun",
            code="E_HEAD",
        )


def train(trainer: Trainer, head: str) -> None:
    """Train the network, or leave it as it is where a classical head is to be fitted on its features."""
    if head == NETWORK_HEAD:
        trainer.run()
    else:
        logger.info("no epoch is trained: the head %s is fitted on the features of the network as it is", head)


def finish_training(
    run: RunFolder,
    trainer: Trainer,
    network: nn.Module,
    config: dict[str, Any],
    size: int | Sequence[int],
    head: str = NETWORK_HEAD,
    averaging: bool = False,
    features: str = FEATURES[0],
) -> None:
    """Turn a trained network into the results of its run: weights, predictions, metrics, reference, report.

    What is there already, from a run that was stopped here, is made again with the same bytes. A finished run is left
    as it is, and said to be finished.

    Args:
        run: the run folder.
        trainer: its checkpoint knows which epoch's weights count.
        network: the trained network; ends with those weights.
        config: arguments of the network, kept in the reference so that the weights can be used again.
        size: of the network's input, as `transforms.batch.as_size` takes it.
        head: the network's own, or a classical one (see `training.classical`) fitted now on the training samples.
        averaging: predict the mean over the crops of `transforms.averaging`, and say so in the reference.
        features: what a classical head is fitted on: the network's, or the voxels themselves.
    """
    if run.finished:
        if idist.get_rank() == 0:
            print(f"This run is finished: {run.last_result}\nName another --output_dir to train again.")
        return
    epoch = trainer.checkpoint.finish()
    if idist.get_rank() > 0:
        return
    network = getattr(network, "module", network)  # DistributedDataParallel would wait for processes that have ended
    if epoch:
        logger.info("weights of epoch %d", epoch)
    if run.cohort.replica:
        logger.warning("split by %s: every result of this run is %s", run.cohort.split.unit, NOT_DISJOINT)
    device, answering = trainer.state.device, network
    if head != NETWORK_HEAD:
        answering = _with_classical_head(network, head, run.cohort, device, size, features)
    predictions = predict_roles(run.cohort, answering, device, size, averaging)
    write_predictions(run.path / "predictions.csv", predictions)
    if run.results == "predictions":
        return
    write_metrics(run.path, run.cohort, predictions)
    write_reference(run.path, run.cohort, config, size, averaging)
    _write_report(run)


def evaluate_run(
    run_path: str | Path,
    cohort: CohortData,
    network: nn.Module,
    device: Any,
    size: int | Sequence[int],
    head: str = NETWORK_HEAD,
    averaging: bool = False,
) -> None:
    """Compute the results of a trained run again, from its weights: predictions, metrics and report.

    Raises:
        WeightsError: the run has no weights yet, or they do not fit.
        ConfigError: no report of such a fit can be honest, its head is not in its weights, or averaging is asked for
            otherwise than in the training.
    """
    cohort.refuse_report()
    run_path = Path(run_path)
    _refuse_other_scoring(artefacts.read_json(run_path / "config.json"), head, averaging)
    load_weights(network, run_path / "model.pt")
    network.to(device)
    predictions = predict_roles(cohort, network, device, size, averaging)
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


def predict_roles(
    cohort: CohortData,
    network: nn.Module,
    device: str | torch.device,
    size: int | Sequence[int],
    averaging: bool = False,
) -> pd.DataFrame:
    """Return the predictions table of every role of this run's fit."""
    if averaging:
        logger.info("predictions are means over %d crops of each sample", CROPS)
    tables = []
    for role in ROLES:
        data = cohort.scored(role)
        if len(data.table):
            probabilities = predict(network, data, device, size, averaging)
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

    None for real patients, for a task about other classes than the truth's, and for permuted labels, which the truth
    does not explain.
    """
    if cohort.manifest.truth is None or cohort.permutation >= 0:
        return None
    truth = read_truth(cohort.manifest.path(cohort.manifest.truth))
    if "label" not in truth or not set(truth["label"]) <= set(cohort.task.classes):
        return None
    tested = predictions[predictions["role"] == "test"]
    lesions = set(zip(tested["patient"], tested["lesion"], strict=True))
    return {
        name: ceiling(truth, names, lesions, cohort.task.classes, cohort.seed)
        for name, names in (("fusion", cohort.fusion), ("all", cohort.manifest.sequences))
    }


def _with_classical_head(
    network: nn.Module,
    head: str,
    cohort: CohortData,
    device: str | torch.device,
    size: int | Sequence[int],
    features: str,
) -> nn.Module:
    logger.info("fitting the head %s on the training samples (%s features)", head, features)
    train = cohort.samples("train")
    return fit_classical(network, head, train, cohort.task, device, size, cohort.seed, features=features)


def _refuse_other_scoring(config: dict[str, Any], head: str, averaging: bool) -> None:
    """Refuse to evaluate a run otherwise than it was scored; runs of before these keys had neither."""
    trained = config.get("head", NETWORK_HEAD)
    if trained != NETWORK_HEAD or head != NETWORK_HEAD:
        raise ConfigError(
            expected=f"a run with the head {NETWORK_HEAD}: no other is kept in the weights",
            found=f"--head {head}, of a run with the head {trained}",
            fix="read the predictions.csv that the run wrote",
            code="E_RUN",
        )
    before = config.get("averaging", False)
    if before != averaging:
        raise ConfigError(
            expected="the averaging that the run was scored with",
            found=f"averaging {averaging}",
            fix=f"add --averaging {before}",
            code="E_RUN",
        )


def _write_report(run: RunFolder) -> None:
    cohort = run.cohort
    write_report(run.path, cohort.store, cohort.manifest, cohort.task, cohort.fusion, audit_run(run.path))
    _print_next(run.path)


def _print_next(folder: Path) -> None:
    print(
        f"Report: {folder / 'report.html'}\nPredictions: {folder / 'predictions.csv'}\nWeights: {folder / 'model.pt'}"
    )
    print(f"Next: mpmri bundle adopt {folder} BUNDLE, to put these weights into a bundle that answers on new studies")
