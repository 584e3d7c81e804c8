"""The explanation of one lesion's answer, with everything that a report shows of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from mpmri_monai.errors import ConfigError
from mpmri_monai.explain.grad_cam import grad_cam
from mpmri_monai.explain.leave_out import importance
from mpmri_monai.explain.lesion import Lesion, probabilities
from mpmri_monai.explain.occlusion import occlusion
from mpmri_monai.explain.variants import agreement
from mpmri_monai.networks import LayeredNetwork
from mpmri_monai.transforms.batch import centre_crop


@dataclass(frozen=True)
class Explanation:
    """What speaks for one class of one lesion. Maps are of the crop that the network sees, not of the stored one."""

    explained: str
    """The class that all of it is about."""
    probability: float
    """Of that class on the central crops, not calibrated: what the changes are measured against."""
    grad_cam: np.ndarray | None
    """float32 (sample, *spatial) in [0, 1], 1 being the lesion's largest value; None where there is no such map."""
    occlusion: np.ndarray
    """float32 (*spatial): change of the probability when the place is covered on all slices."""
    importance: Mapping[str, float]
    """By sequence the change of the probability when it is left out; not in it are those that cannot be."""
    agreement: float
    """Share of the test-time variants with the same class."""
    variants: int
    """How many there were."""


def explain(
    network: LayeredNetwork,
    image: Tensor,
    present: Tensor,
    extent_mm: Tensor,
    classes: Sequence[str],
    *,
    fusion: Sequence[str],
    size: int | Sequence[int],
    predicted: str | None = None,
) -> Explanation:
    """Return the explanation of a lesion's answer.

    Args:
        network: as trained; it comes back as it was, but in evaluation.
        image: float (sample, channel, row, column) or (sample, channel, depth, row, column) in [0, 1], the stored
            crops; those of ``size`` serve too, with fewer variants.
        present: bool (sample, channel).
        extent_mm: float (sample,).
        classes: names along the network's output.
        fusion: sequence names along the channels.
        size: of the network's input, as `as_size` takes it.
        predicted: the class to explain, that of the answer; None for the one most probable on the central crops.

    Raises:
        ConfigError: the arguments do not fit together, or ``predicted`` is none of the classes.
    """
    stored = Lesion(image, present, extent_mm)
    central = stored.seen_as(centre_crop(image, size))
    network = network.eval()
    shares = probabilities(network, central, central.one)[0]
    _check_names(classes, len(shares), fusion, image.shape[1], predicted)
    index = int(shares.argmax()) if predicted is None else list(classes).index(predicted)
    maps = grad_cam(network, central, index)
    steady, count = agreement(network, stored, size, index)
    return Explanation(
        explained=classes[index],
        probability=float(shares[index]),
        grad_cam=None if maps is None else maps.float().cpu().numpy(),
        occlusion=occlusion(network, central, index).float().cpu().numpy(),
        importance=importance(network, central, index, fusion),
        agreement=steady,
        variants=count,
    )


def _check_names(
    classes: Sequence[str], outputs: int, fusion: Sequence[str], channels: int, predicted: str | None
) -> None:
    if len(classes) != outputs or len(fusion) != channels:
        raise ConfigError(
            expected=f"the names of {outputs} classes and {channels} sequences, as the network has them",
            found=f"{len(classes)} classes and {len(fusion)} sequences",
        )
    if predicted is not None and predicted not in classes:
        raise ConfigError(expected=f"a class among {', '.join(classes)}", found=repr(predicted))
