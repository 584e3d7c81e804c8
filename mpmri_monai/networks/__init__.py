"""Networks, and how weights get into and out of them."""

from mpmri_monai.networks.build import ARCHITECTURES, build_network
from mpmri_monai.networks.initialise import INITS, initialise
from mpmri_monai.networks.layered import LayeredNetwork
from mpmri_monai.networks.mctl import MCTLNetwork
from mpmri_monai.networks.pyramid import SpatialPyramidPooling
from mpmri_monai.networks.spp_resnet import LAYERS, SPPResNet
from mpmri_monai.networks.warm_start import WarmStart, warm_start
from mpmri_monai.networks.weights import load_weights, read_weights, save_weights

__all__ = [
    "ARCHITECTURES",
    "INITS",
    "LAYERS",
    "LayeredNetwork",
    "MCTLNetwork",
    "SPPResNet",
    "SpatialPyramidPooling",
    "WarmStart",
    "build_network",
    "initialise",
    "load_weights",
    "read_weights",
    "save_weights",
    "warm_start",
]
