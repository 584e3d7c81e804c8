"""Networks, and how weights get into and out of them."""

from mpmri_monai.networks.initialise import INITS, initialise
from mpmri_monai.networks.spp_resnet import LAYERS, SpatialPyramidPooling, SPPResNet
from mpmri_monai.networks.warm_start import WarmStart, warm_start
from mpmri_monai.networks.weights import load_weights, read_weights, save_weights

__all__ = [
    "INITS",
    "LAYERS",
    "SPPResNet",
    "SpatialPyramidPooling",
    "WarmStart",
    "initialise",
    "load_weights",
    "read_weights",
    "save_weights",
    "warm_start",
]
