"""A pretraining run's own check, and its end: the test set is seen once, by the weights of the last epoch."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ignite.engine import Events
from numpy.typing import NDArray
from torch import nn

from mpmri_monai import artefacts
from mpmri_monai.bundle.run_folder import RunFolder
from mpmri_monai.errors import ConfigError
from mpmri_monai.natural import NaturalDataset, NaturalEvaluationLoader, NaturalImages, draw_embeddings
from mpmri_monai.networks import load_weights
from mpmri_monai.training import Inferer, Trainer

REFERENCE_SCHEMA = "mpmri-monai/pretrained/1"
SAME_ACCURACY = 0.001
"""Accuracies of the same weights on two machines may differ by this: rounding moves images that lie on a border."""

logger = logging.getLogger(__name__)


def check_smoothing(label_smoothing: float) -> None:
    """Raise ConfigError for a label_smoothing that torch refuses only in the first step."""
    if not 0 <= label_smoothing <= 1:
        raise ConfigError(expected="a label_smoothing from 0 to 1", found=str(label_smoothing), code="E_OPTION")


def finish_pretraining(
    run: RunFolder, trainer: Trainer, network: nn.Module, arguments: dict[str, Any], recipe: dict[str, Any]
) -> None:
    """Write the weights of the last epoch, their accuracy on the test set, and what another training wants to know.

    Args:
        run: the run folder, made for the results ``pretraining``.
        trainer: trained to its last epoch; its checkpoint keeps no best one, as the test set chooses nothing.
        network: the trained network.
        arguments: of the network, kept so that the weights can be used again.
        recipe: how it was trained, for whoever reads the record.
    """
    if run.finished:
        print(f"This run is finished: {run.last_result}\nName another --output_dir to train again.")
        return
    epochs = trainer.checkpoint.finish()
    images, seconds = run.cohort, trainer.state.times.get(Events.EPOCH_COMPLETED.name)
    metrics = {
        "images": images.name,
        "accuracy": _test(network, images, trainer.state.device, run.path),
        "test_images": len(images.test),
        "epochs": epochs,
        "seed": recipe["seed"],
        "precision": recipe["precision"],
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "seconds_per_epoch": round(seconds, 1) if seconds else None,  # of the last one; a resumed run may train none
    }
    artefacts.write_json(run.path / "metrics.json", metrics)
    reference = {
        "schema": REFERENCE_SCHEMA,
        "images": images.name,
        "classes": list(images.classes),
        "network": arguments,
        "recipe": recipe,
        "weights_sha256": artefacts.file_digest(run.path / "model.pt"),
        "trained_on": {"images": len(images.train), "digests": images.digests(), "seen": []},
        "test": metrics,
    }
    artefacts.write_json(run.path / "reference.json", reference)
    shown = f"test accuracy {metrics['accuracy']:.4f} after {epochs} epochs, {metrics['parameters']} parameters"
    logger.info("%s: %s", images.name, shown)
    print(f"{images.name}: {shown}\nWeights: {run.path / 'model.pt'}")
    print(f"Next: train a bundle with --pretrained {run.path / 'model.pt'}")


def evaluate_pretraining(run_path: str | Path, images: NaturalImages, network: nn.Module, device: Any) -> None:
    """Compute the test accuracy of a finished run again from its weights, and draw its embeddings again.

    Raises:
        WeightsError: the run has no weights, or they do not fit.
        ConfigError: the run is not finished, or its weights do not give the recorded accuracy.
    """
    run_path = Path(run_path)
    load_weights(network, run_path / "model.pt")
    if not (run_path / "metrics.json").is_file():
        raise ConfigError(
            expected="a finished run", found=f"no metrics.json in {run_path}", fix="let it end first", code="E_RUN"
        )
    found = _test(network.to(device, memory_format=torch.channels_last), images, device, run_path)
    recorded = artefacts.read_json(run_path / "metrics.json")["accuracy"]
    print(f"{images.name}: test accuracy {found:.4f}, recorded {recorded:.4f}")
    if abs(found - recorded) > SAME_ACCURACY:
        raise ConfigError(
            expected=f"the recorded accuracy {recorded:.4f}",
            found=f"{found:.4f}",
            where=str(run_path),
            fix="these are not the weights that were tested: train again in another --output_dir",
            code="E_RUN",
        )


def _test(network: nn.Module, images: NaturalImages, device: Any, folder: Path) -> float:
    """Return accuracy over the test set; draw the embeddings when they have two dimensions."""
    embeddings, predicted = embed_and_predict(network, images, device)
    if embeddings.shape[1] == 2:
        draw_embeddings(embeddings, images, folder / "figures" / "embeddings.png")
    return float((predicted == images.test_labels).mean())


@torch.no_grad()
def embed_and_predict(network: nn.Module, images: NaturalImages, device: Any) -> tuple[NDArray, NDArray]:
    """Return embeddings (image, dimension) and predicted classes (image,) of the test set."""
    network.eval()
    infer, embeddings, predicted = Inferer(), [], []
    keep = network.embedding.register_forward_hook(lambda module, inputs, output: embeddings.append(output.cpu()))
    try:
        for batch in NaturalEvaluationLoader(NaturalDataset(images.test, images.test_labels, device=device)):
            predicted.append(infer(batch["image"], network).argmax(dim=1).cpu().numpy())
    finally:
        keep.remove()
    return torch.cat(embeddings).numpy(), np.concatenate(predicted)
