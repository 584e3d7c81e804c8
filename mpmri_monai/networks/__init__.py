"""Networks, and how weights get into and out of them."""

from mpmri_monai.networks.autoencoder import PatchAutoencoder
from mpmri_monai.networks.build import ARCHITECTURES, build_network
from mpmri_monai.networks.comparison import ConvNetwork, DenseNetwork
from mpmri_monai.networks.initialise import INITS, initialise
from mpmri_monai.networks.layered import LayeredNetwork
from mpmri_monai.networks.mctl import MCTLNetwork
from mpmri_monai.networks.planes import PlanesNetwork
from mpmri_monai.networks.pyramid import SpatialPyramidPooling, VolumePyramidPooling
from mpmri_monai.networks.resnet3d import ResNet3D
from mpmri_monai.networks.spp_resnet import LAYERS, SPPResNet
from mpmri_monai.networks.subset import SubsetNetwork
from mpmri_monai.networks.warm_start import WarmStart, warm_start
from mpmri_monai.networks.weights import load_weights, read_weights, save_state, save_weights

__all__ = [
    "ARCHITECTURES",
    "INITS",
    "LAYERS",
    "ConvNetwork",
    "DenseNetwork",
    "LayeredNetwork",
    "MCTLNetwork",
    "PatchAutoencoder",
    "PlanesNetwork",
    "ResNet3D",
    "SPPResNet",
    "SpatialPyramidPooling",
    "SubsetNetwork",
    "VolumePyramidPooling",
    "WarmStart",
    "build_network",
    "initialise",
    "load_weights",
    "read_weights",
    "save_state",
    "save_weights",
    "warm_start",
]
