"""The end of an autoencoder's training: how well it reconstructs, and the encoder that a classifier starts from."""

from __future__ import annotations

import hashlib
import io
import logging
from pathlib import Path
from typing import Any

import torch

from mpmri_monai import artefacts
from mpmri_monai.bundle.patch_data import PatchData
from mpmri_monai.bundle.pretraining import REFERENCE_SCHEMA
from mpmri_monai.bundle.provenance import SCRATCH, seen_in_training
from mpmri_monai.bundle.reconstructions import draw_reconstructions
from mpmri_monai.bundle.run_folder import RunFolder
from mpmri_monai.networks import PatchAutoencoder
from mpmri_monai.sequences import fusion_name
from mpmri_monai.training import EvaluationLoader, SampleData, SampleDataset, Trainer, prepare_batch
from mpmri_monai.training.reconstruction import ReconstructionInferer

DECIMALS = 6
"""Written digits of an error, in squared ranges of the training patches."""

logger = logging.getLogger(__name__)


def finish_autoencoder(
    run: RunFolder, trainer: Trainer, network: PatchAutoencoder, arguments: dict[str, Any], recipe: dict[str, Any]
) -> None:
    """Write the errors of the last epoch's weights, a picture, and the encoder with the record of whom it has seen.

    ``encoder.pt`` holds the convolutions by the names that `MCTLNetwork` has for them; it is written last. Training a
    classifier with ``--pretrained encoder.pt`` starts from it, and the leak audit reads ``encoder.json`` beside it.

    Args:
        run: the run folder.
        trainer: trained to its last epoch.
        network: the trained network.
        arguments: of the network.
        recipe: how it was trained, for whoever reads the record.
    """
    if run.finished:
        print(f"This run is finished: {run.last_result}\nName another --output_dir to train again.")
        return
    epochs, device = trainer.checkpoint.finish(), trainer.state.device
    parts = {role: data for role in ("train", "val") if len((data := run.cohort.samples(role)).table)}
    metrics = {role: reconstruction(network, data, device) for role, data in parts.items()}
    metrics |= {"epochs": epochs, "masked": network.masked}
    if run.results == "report":
        data = parts.get("val", parts["train"])
        draw_reconstructions(network, data, run.cohort.fusion, device, run.path / "figures" / "reconstructions.png")
    artefacts.write_json(run.path / "metrics.json", metrics)
    _write_encoder(run.path, network, _record(run.cohort, arguments, recipe, metrics))
    for role in parts:
        logger.info("%s: %s", role, _sentence(metrics[role]))
    print(f"Next: train a classifier with --pretrained {run.path / 'encoder.pt'}")


@torch.no_grad()
def reconstruction(network: PatchAutoencoder, data: SampleData, device: str | torch.device) -> dict[str, Any]:
    """Return how well patches are reconstructed.

    Returns:
        ``patients`` and ``patches`` (counts); ``error``, the mean squared error in squared ranges, of the hidden voxels
        where the network was trained to fill them in; ``variance``, the error of predicting the mean of the training
        patches everywhere; and ``explained``, 1 - error / variance.
    """
    network.eval()
    infer, errors, squares = ReconstructionInferer(), [], []
    for batch in EvaluationLoader(SampleDataset(data, device), size=network.size):
        image, _, _, extra = prepare_batch(batch, device)
        errors.append(infer(image, network, **extra).double())
        shown = extra["present"].double()
        square = network.standardise(image).double().square().mean(dim=(2, 3, 4))
        squares.append((square * shown).sum(dim=1) / shown.sum(dim=1))
    error, variance = (float(torch.cat(values).mean()) for values in (errors, squares))
    return {
        "patients": int(data.table["patient"].nunique()),
        "patches": len(data.table),
        "error": round(error, DECIMALS),
        "variance": round(variance, DECIMALS),
        "explained": round(1 - error / variance, 4),
    }


def _record(
    cohort: PatchData, arguments: dict[str, Any], recipe: dict[str, Any], metrics: dict[str, Any]
) -> dict[str, Any]:
    return {
        "schema": REFERENCE_SCHEMA,
        "network": arguments,
        "fusion": fusion_name(cohort.fusion),
        "samples": cohort.settings.model_dump(mode="json"),
        "recipe": recipe,
        "trained_on": {
            "cohort": cohort.manifest.name,
            "synthetic": cohort.manifest.truth is not None,
            "manifest_digest": cohort.manifest.digest(),
            "patients": metrics["train"]["patients"],
            "patches": metrics["train"]["patches"],
            "seen": seen_in_training(cohort, SCRATCH),
        },
        "results": metrics,
    }


def _write_encoder(folder: Path, network: PatchAutoencoder, record: dict[str, Any]) -> None:
    content = io.BytesIO()  # the record names the sha256 of the weights, and has to be there before them
    torch.save({name: tensor.detach().cpu().contiguous() for name, tensor in network.encoder_state().items()}, content)
    digest = hashlib.sha256(content.getvalue()).hexdigest()
    artefacts.write_json(folder / "encoder.json", record | {"weights_sha256": digest})
    with artefacts.whole_file(folder / "encoder.pt") as part:
        part.write_bytes(content.getvalue())


def _sentence(found: dict[str, Any]) -> str:
    return (
        f"{found['patches']} patches of {found['patients']} patients, error {found['error']:.3g}, "
        f"of predicting the mean {found['variance']:.3g}: {found['explained']:.1%} explained"
    )
