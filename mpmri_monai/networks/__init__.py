"""Networks, and how weights get into and out of them."""

from mpmri_monai.networks.spp_resnet import SpatialPyramidPooling, SPPResNet
from mpmri_monai.networks.weights import WarmStart, load_weights, read_weights, save_weights, warm_start

__all__ = [
    "SPPResNet",
    "SpatialPyramidPooling",
    "WarmStart",
    "load_weights",
    "read_weights",
    "save_weights",
    "warm_start",
]
