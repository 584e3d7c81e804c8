"""Where a class is seen: Grad-CAM (Selvaraju et al., ICCV 2017) of the last convolution, by MONAI.

Two properties of MONAI's `GradCAM` decide how it is used here. It leaves its hooks on the network and its gradients in
it: it works on a copy. And with a class for each sample it sums over all pairs of sample and class: it is asked for one
class, that of the lesion.
"""

from __future__ import annotations

import copy

import torch
from monai.visualize import GradCAM
from torch import Tensor, nn
from torch.nn import functional

from mpmri_monai.explain.lesion import Lesion
from mpmri_monai.networks import LayeredNetwork

UPSAMPLING = {2: "bilinear", 3: "trilinear"}


def last_convolution(network: LayeredNetwork) -> str | None:
    """Return the name of the last part of a network that has convolutions; None of one that has none."""
    parts = [part for layer in network.layer_parts.values() for part in layer if _convolves(network, part)]
    return parts[-1] if parts else None


def grad_cam(network: LayeredNetwork, lesion: Lesion, class_index: int) -> Tensor | None:
    """Return how much each place of each sample speaks for a class, float (sample, *spatial) in [0, 1].

    1 is the largest value over all samples of the lesion, so that slices compare; a map is 0 where no place speaks for
    the class.

    Args:
        network: as trained; it is left as it is.
        lesion: what it sees.
        class_index: along the network's output.

    Returns:
        None where there is no such map: a network without convolutions, or one that convolves other planes than
        those of its input.
    """
    layer = last_convolution(network)
    if layer is None:
        return None
    own = copy.deepcopy(network).eval().requires_grad_(True)  # frozen layers have no gradient to weigh maps by
    with torch.enable_grad():
        maps = GradCAM(own, layer).compute_map(
            lesion.image, class_idx=class_index, present=lesion.present, extent_mm=lesion.extent_mm
        )
    spatial = lesion.image.shape[2:]
    maps = _of_samples(maps.detach(), lesion)
    if maps is None:
        return None
    maps = functional.interpolate(maps, spatial, mode=UPSAMPLING[len(spatial)], align_corners=False)[:, 0]
    highest = maps.max()
    return maps / highest if highest > 0 else maps


def _of_samples(maps: Tensor, lesion: Lesion) -> Tensor | None:
    """Return one map for each sample, (sample, 1, …); None when the network convolved something else than the image.

    A network with one encoder for all sequences (`SubsetNetwork`) has a map for each that is there, sample by sample:
    their mean is the sample's.
    """
    if maps.ndim != lesion.image.ndim:
        return None
    if len(maps) == len(lesion.image):
        return maps
    there = lesion.present.sum(dim=1)
    if len(maps) != there.sum():
        return None
    return torch.stack([part.mean(dim=0) for part in maps.split(there.tolist())])


def _convolves(network: nn.Module, part: str) -> bool:
    modules = dict(network.named_modules())  # `absent` is a parameter and in no layer a module
    return part in modules and any(isinstance(module, nn.Conv2d | nn.Conv3d) for module in modules[part].modules())
