"""The network of a training run: where its weights start, and which device and process trains it."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import ignite.distributed as idist
import torch

from mpmri_monai.artefacts import write_json
from mpmri_monai.bundle.cohort_data import CohortData
from mpmri_monai.bundle.provenance import SCRATCH
from mpmri_monai.bundle.run_folder import START
from mpmri_monai.errors import ConfigError, WeightsError
from mpmri_monai.networks import LayeredNetwork, WarmStart, initialise, warm_start

PATIENTS_TO_CHOOSE_BY = 10
"""Validation patients per class below which choosing the best epoch chooses noise."""

logger = logging.getLogger(__name__)


def start_from(
    network: LayeredNetwork,
    pretrained: str,
    init: str = "he",
    folder: Path | str | None = None,
    depth: int = -1,
) -> LayeredNetwork:
    """Return ``network`` with random weights (``scratch``), or with what fits of the file ``pretrained``.

    All but its last ``depth`` layers are frozen, and the log says so.

    Args:
        network: a new one.
        pretrained: ``scratch`` or a file of weights. The head is always new: a file names no classes.
        init: how all that no file fills is drawn: ``he``, ``gaussian`` or ``xavier``, as in ``networks.initialise``.
        folder: of the run; the first process leaves ``warm_start.json`` there, what became of every tensor.
        depth: layers that are tuned, counted from the head; -1 for all.

    Raises:
        WeightsError: the file is missing, damaged, or belongs to another network; or a layer that it does not fill
            would be frozen, and with it random weights taken for pretrained ones.
        ConfigError: there is no such ``init`` or ``depth``.
        OutputError: the report cannot be written.
    """
    initialise(network, init)
    network.tune(depth)
    if network.frozen_layers:
        logger.info("frozen, statistics of batch norm too: %s", ", ".join(network.frozen_layers))
    first = folder is not None and idist.get_rank() == 0
    if pretrained == SCRATCH:
        if first:  # of a start that another configuration made here before its first epoch
            (Path(folder) / START).unlink(missing_ok=True)
        return network
    report = warm_start(network, pretrained)
    _refuse_frozen_noise(network, report, pretrained)
    logger.info("pretrained weights: %s", report)
    if first:
        write_json(Path(folder) / START, report.as_json())
    return network


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
