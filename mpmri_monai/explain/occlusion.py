"""What the answer would be if a part could not be seen: occlusion (Zeiler & Fergus, ECCV 2014), by MONAI.

A patch is covered in every sequence and every slice of the lesion at once, and what changes is the lesion's own
probability. MONAI's `OcclusionSensitivity` takes one image, fills with one number for all channels and turns a single
channel's logits into sigmoids. So a lesion is handed over as one image with a channel for each slice and sequence, as
deviations from each channel's mean: filled with 0, a covered patch has its own channel's mean.
"""

from __future__ import annotations

import warnings

import torch
from monai.visualize import OcclusionSensitivity
from torch import Tensor, nn

from mpmri_monai.explain.lesion import Lesion, copies_at_once, probabilities

PATCHES = 4
"""Sides of a covered patch in the side of the crop: 8 of 32 pixels."""
OVERLAP = 0.5
"""Of neighbouring patches: 49 places in a plane; each pixel has the mean over the patches that covered it."""


def occlusion(network: nn.Module, lesion: Lesion, class_index: int) -> Tensor:
    """Return the change of a class's probability when a place is covered, float (*spatial): below 0 it spoke for it.

    Args:
        network: as trained, in evaluation.
        lesion: what it sees; the probability is the mean over its samples.
        class_index: along the network's output.
    """
    spatial = lesion.image.shape[2:]
    mean = lesion.image.mean(dim=tuple(range(2, lesion.image.ndim)), keepdim=True)
    seen = _DeviationsSeen(network, lesion, mean).eval()  # or MONAI would put the network back into training
    sensitivity = OcclusionSensitivity(
        seen,
        mask_size=[max(1, side // PATCHES) for side in spatial],
        n_batch=copies_at_once(lesion),
        verbose=False,
        mode=0.0,
        overlap=OVERLAP,
        activate=_as_they_are,
    )
    deviations = (lesion.image - mean).flatten(0, 1)[None]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Using a non-tuple sequence", category=UserWarning)  # MONAI's own
        covered, _ = sensitivity(deviations)
    uncovered = seen(deviations)[0, class_index]
    return torch.as_tensor(covered)[0, class_index] - uncovered


class _DeviationsSeen(nn.Module):
    """A lesion's probabilities, (copy, class), from its deviations, (copy, sample · channel, *spatial)."""

    def __init__(self, network: nn.Module, lesion: Lesion, mean: Tensor) -> None:
        super().__init__()
        self.network, self.lesion, self.mean = network, lesion, mean

    def forward(self, deviations: Tensor) -> Tensor:
        images = deviations.unflatten(1, self.lesion.image.shape[:2]) + self.mean
        return probabilities(self.network, self.lesion, images)


def _as_they_are(probabilities: Tensor) -> Tensor:
    return probabilities
