"""How an autoencoder is trained by the same engines: its output is the error of each patch, its loss their mean."""

from __future__ import annotations

import torch
from torch import Tensor

from mpmri_monai.networks import PatchAutoencoder
from mpmri_monai.training.inferer import Inferer, laid_out

VALIDATION_SEED = 0
"""Seed of what is hidden in validation: the same in every epoch, so that the curve shows the network alone."""


class ReconstructionInferer(Inferer):
    """Inferer whose output is the squared error of each patch's reconstruction; precisions as `Inferer`.

    Which voxels a masked autoencoder does not see is drawn for every batch: in training from torch's own generator,
    which the trainer seeds each epoch, else always in the same way.
    """

    def __call__(  # type: ignore[override]
        self, inputs: Tensor, network: PatchAutoencoder, present: Tensor | None = None, extent_mm: Tensor | None = None
    ) -> Tensor:
        """Return mean squared errors, float32 (patch,), of patches (patch, channel, depth, row, column)."""
        generator = None if network.training else torch.Generator().manual_seed(VALIDATION_SEED)
        inputs, hidden = laid_out(inputs), network.draw_hidden(inputs, generator)
        with torch.autocast(inputs.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            return network.squared_errors(inputs, present, hidden)


def mean_error(errors: Tensor, labels: Tensor) -> Tensor:
    """Return the loss of a batch, the mean of its patches' errors (patch,); there are no labels to compare with."""
    return errors.mean()
