"""The network of a training run: where its weights start, and which device and process trains it."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import torch

from mpmri_monai.artefacts import file_digest, read_json, write_json
from mpmri_monai.bundle.cohort_data import CohortData
from mpmri_monai.bundle.provenance import SCRATCH
from mpmri_monai.bundle.run_folder import START
from mpmri_monai.errors import ConfigError, WeightsError
from mpmri_monai.networks import LayeredNetwork, WarmStart, initialise, warm_start
from mpmri_monai.networks.layered import HEAD

PATIENTS_TO_CHOOSE_BY = 10
"""Validation patients per class below which choosing the best epoch chooses noise."""

logger = logging.getLogger(__name__)


def start_from(
    network: LayeredNetwork,
    pretrained: str,
    init: str = "he",
    folder: Path | str | None = None,
    depth: int = -1,
    same_task: Mapping[str, Any] | None = None,
    keep_statistics: bool = False,
) -> LayeredNetwork:
    """Return ``network`` with random weights (``scratch``), or with what fits of the file ``pretrained``.

    All but its last ``depth`` layers are frozen, and the log says so.

    Args:
        network: a new one.
        pretrained: ``scratch`` or a file of weights. The head is new, as a file names no classes, but for `same_task`.
        init: how all that no file fills is drawn: ``he``, ``gaussian`` or ``xavier``, as in ``networks.initialise``.
        folder: of the run; the first process leaves ``warm_start.json`` there, what became of every tensor.
        depth: layers that are tuned, counted from the head; -1 for all.
        same_task: ``task, fusion, samples, network`` as they are here, to go on with weights of the very same question:
            the head is then taken too. The reference beside the weights has to say the same. Empty or None for a new
            head.
        keep_statistics: every batch norm keeps the statistics of the file, see `LayeredNetwork.keep_statistics`.

    Raises:
        WeightsError: the file is missing, damaged, or belongs to another network; or a layer that it does not fill
            would be frozen, and with it random weights taken for pretrained ones; or its reference is missing or says
            otherwise than ``same_task``.
        ConfigError: there is no such ``init`` or ``depth``, or there are no weights whose task or statistics to keep.
        OutputError: the report cannot be written.
    """
    _refuse_nothing_to_keep(pretrained, bool(same_task), keep_statistics)
    initialise(network, init)
    network.tune(depth)
    if keep_statistics:
        network.keep_statistics()
    if network.frozen_layers:
        logger.info("frozen, statistics of batch norm too: %s", ", ".join(network.frozen_layers))
    first = folder is not None and idist.get_rank() == 0
    if pretrained == SCRATCH:
        if first:  # of a start that another configuration made here before its first epoch
            (Path(folder) / START).unlink(missing_ok=True)
        return network
    if same_task:
        _refuse_other_task(Path(pretrained), same_task)
    report = warm_start(network, pretrained, leave_out=None if same_task else HEAD)
    _refuse_frozen_noise(network, report, pretrained)
    logger.info("pretrained weights: %s", report)
    if first:
        write_json(Path(folder) / START, report.as_json())
    return network


def _refuse_nothing_to_keep(pretrained: str, head: bool, statistics: bool) -> None:
    if pretrained == SCRATCH and (head or statistics):
        raise ConfigError(
            expected=f"pretrained weights to keep {'the head' if head else 'the statistics of batch norm'} of",
            found=f"--pretrained {SCRATCH}",
            fix="name a file of weights, or train with configs/train.json alone",
            code="E_OPTION",
        )


def _refuse_other_task(weights: Path, here: Mapping[str, Any]) -> None:
    """Refuse to keep the head of another question: its outputs would be read as other classes without a word."""
    path = weights.parent / "reference.json"
    try:
        there = read_json(path)
        if there["weights_sha256"] != file_digest(weights):
            raise ValueError
        pairs = [(key, there[key], here[key]) for key in ("task", "fusion")]
        for group in ("samples", "network"):
            shared = [key for key in there[group] if key in here[group]]
            pairs += [(f"{group}#{key}", there[group][key], here[group][key]) for key in shared]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WeightsError(
            expected="weights with the reference.json that describes them, to go on with",
            found="none beside them, or one about others",
            where=str(weights),
            fix="name models/model.pt of a bundle, or model.pt of a run",
            code="E_WEIGHTS",
        ) from error
    other = [f"{key} {was} → {now}" for key, was, now in pairs if was != now]
    if other:
        raise WeightsError(
            expected="the task, channels and samples that the weights were trained with",
            found="; ".join(other),
            where=str(weights),
            fix="give those of the weights; or train with configs/train.json, where the head is new",
            code="E_WEIGHTS",
        )


def _refuse_frozen_noise(network: LayeredNetwork, report: WarmStart, pretrained: str) -> None:
    """Refuse to freeze a layer with random weights, as of an embedding of another width than the file's.

    The constants of absent channels are no such: they begin at 0 in every network. Nor is a head, which is frozen only
    where a classical one takes its place; with it goes what a file of such weights never holds, as the dense layer
    above an encoder, which has no part in the fixed features.
    """
    fresh, layers = {*report.names("fresh")} - {"absent"}, network.layers()
    if not network.tuned_depth:
        fresh &= {*network.expected_from_file()}
    random = [name for name in network.frozen_layers if name != "head" and fresh & set(layers[name])]
    if random:
        deep_enough = len(layers) - list(layers).index(random[0])
        raise WeightsError(
            expected=f"pretrained weights of every frozen layer ({', '.join(network.frozen_layers)})",
            found=f"none that fit {', '.join(random)}: {report}",
            where=str(pretrained),
            fix=f"--finetune_depth of at least {deep_enough}, or the file's own network (pooling, levels, width)",
            code="E_WEIGHTS",
        )


def enough_to_choose_by(cohort: CohortData) -> bool:
    """Return whether the best epoch is chosen on the validation set; else the last one counts.

    It is where validation holds enough patients of each class. An inner fit never chooses: its held-out patients score
    it. A replica always does, on its test set, as the protocols that it replicates did.
    """
    if cohort.replica:
        return True
    return cohort.split.inner < 0 and cohort.smallest_class("val") >= PATIENTS_TO_CHOOSE_BY


def process_rank() -> int:
    """Return this process's rank. Ignite's first look at it is collective, so every process has to ask for it."""
    return idist.get_rank()


def process_device() -> torch.device:
    """Return the device of this process under torchrun: one GPU each, or the CPU where there is none."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
    torch.cuda.set_device(device)
    return device


def device_ids(device: torch.device | str) -> list[torch.device] | None:
    """Return what DistributedDataParallel wants to know of ``device``."""
    device = torch.device(device)
    return [device] if device.type == "cuda" else None


def check_device(device: torch.device | str) -> None:
    """Raise ConfigError when this machine has no such device."""
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, TypeError) as error:  # torch raises all three
        raise ConfigError(
            expected="a device that this machine has, such as cpu or cuda", found=repr(str(device)), code="E_DEVICE"
        ) from error
