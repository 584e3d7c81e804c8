"""What one hospital does in a federated training: receive weights, train on its own patients, send weights.

NVFlare runs this file as the training script of a client, with the path of the plan as its argument. The bundle is the
one that the hospital would train alone, driven by MONAI's own client; no image and no prediction leaves.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.fl.client import MonaiAlgo
from monai.fl.utils.constants import ExtraItems
from monai.fl.utils.exchange_object import ExchangeObject

from mpmri_monai.artefacts import read_json, write_text
from mpmri_monai.networks import save_weights

Weights = Mapping[str, np.ndarray]

FEDERATED = "federated.pt"
"""The common weights of the last round, in the folder of each site."""
START = "start.sha256"
"""Digest of the weights that a site began with, in its folder: all sites have to begin with the same."""


def take_part(plan_file: str) -> None:
    """Take part in a federated training until the server ends it.

    The last round trains nothing: it brings the weights that came of the round before.

    Args:
        plan_file: JSON with ``bundle, local_epochs, options`` and for each site ``sites: {name: {options}}``.
    """
    import nvflare.client as flare

    plan = read_json(plan_file)
    flare.init()
    site = flare.get_site_name()
    options = {**plan["options"], **plan["sites"][site]["options"]}
    folder = Path(options["output_dir"])
    client = client_of(plan["bundle"], options, plan["local_epochs"], site)
    samples = len(client.trainer.data_loader.dataset)
    while flare.is_running():
        received = flare.receive()
        if received is None:
            break
        weights = received.params or _start(client, folder)
        if received.current_round < received.total_rounds - 1:
            client.train(ExchangeObject(weights=weights))
            weights = weights_of(client)
        else:
            keep(client, weights, folder / FEDERATED)
        flare.send(flare.FLModel(params=dict(weights), meta={"NUM_STEPS_CURRENT_ROUND": samples}))
    client.finalize()


def client_of(bundle: str, options: Mapping[str, Any], local_epochs: int, site: str) -> MonaiAlgo:
    """Return MONAI's federated client on a bundle's own training configuration, ready to train.

    Args:
        bundle: its folder, unchanged.
        options: overrides of ``configs/train.json``.
        local_epochs: epochs between two exchanges.
        site: name of the hospital.
    """
    client = MonaiAlgo(
        bundle,
        local_epochs=local_epochs,
        send_weight_diff=False,
        train_kwargs=dict(options),
        config_evaluate_filename=None,
    )
    client.initialize({ExtraItems.CLIENT_NAME: site})
    return client


def weights_of(client: MonaiAlgo) -> dict[str, np.ndarray]:
    """Return a copy of the weights and the statistics of batch norm; on the CPU the client hands out its own."""
    return {name: np.array(torch.as_tensor(value).cpu()) for name, value in client.get_weights().weights.items()}


def keep(client: MonaiAlgo, weights: Weights, path: Path) -> None:
    """Write the common weights as a state dict of the bundle's network."""
    network = client.trainer.network
    own = network.state_dict()
    network.load_state_dict({name: torch.as_tensor(weights[name]).to(own[name].dtype) for name in own})
    save_weights(network, path)


def _start(client: MonaiAlgo, folder: Path) -> dict[str, np.ndarray]:
    """Return the weights that the bundle starts from, and leave their digest."""
    weights = weights_of(client)
    digest = hashlib.sha256()
    for name in sorted(weights):
        digest.update(weights[name].tobytes())
    write_text(folder / START, digest.hexdigest())
    return weights


if __name__ == "__main__":
    take_part(sys.argv[1])
