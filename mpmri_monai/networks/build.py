"""A network by the name of its architecture, as a configuration or a reference.json gives it."""

from __future__ import annotations

import difflib
import inspect
from typing import Any

from mpmri_monai.errors import ConfigError
from mpmri_monai.networks.comparison import ConvNetwork, DenseNetwork
from mpmri_monai.networks.layered import LayeredNetwork
from mpmri_monai.networks.mctl import MCTLNetwork
from mpmri_monai.networks.planes import KINDS, PlanesNetwork
from mpmri_monai.networks.resnet3d import ResNet3D
from mpmri_monai.networks.spp_resnet import SPPResNet
from mpmri_monai.networks.subset import SubsetNetwork

ARCHITECTURES: dict[str, tuple[type[LayeredNetwork], dict[str, Any]]] = {
    "spp_resnet": (SPPResNet, {}),
    "subset": (SubsetNetwork, {}),
    "mctl": (MCTLNetwork, {}),
    "dense": (DenseNetwork, {}),
    "cnn": (ConvNetwork, {}),
    "resnet10": (ResNet3D, {"depth": 10}),
    "resnet18": (ResNet3D, {"depth": 18}),
    **{kind: (PlanesNetwork, {"kind": kind}) for kind in KINDS},
}
"""Each architecture's class, and the arguments of it that the name fixes."""


def build_network(architecture: str = "spp_resnet", **arguments: Any) -> LayeredNetwork:
    """Return a new network.

    One configuration serves every architecture: arguments that only others take are left out, so that changing
    ``architecture`` alone is enough.

    Args:
        architecture: one of ``ARCHITECTURES``.
        arguments: of the network's class.

    Raises:
        ConfigError: E_ARCHITECTURE, there is no such architecture, or no architecture takes such an argument, or this
            one needs another; or the network refuses the values.
    """
    if architecture not in list(ARCHITECTURES):  # whatever a configuration gives, a list too
        raise _unknown("an architecture", architecture, list(ARCHITECTURES))
    network, fixed = ARCHITECTURES[architecture]
    known = {name for one, given in ARCHITECTURES.values() for name in _parameters(one) if name not in given}
    for name in arguments:
        if name not in known:
            raise _unknown("an argument of a network", name, sorted(known))
    taken = {name: value for name, value in arguments.items() if name in _parameters(network) and name not in fixed}
    needed = [name for name, one in _parameters(network).items() if one.default is one.empty]
    missing = [name for name in needed if name not in taken and name not in fixed]
    if missing:
        raise ConfigError(
            expected=f"{', '.join(needed)} for the architecture {architecture}",
            found=f"no {', '.join(missing)}",
            code="E_ARCHITECTURE",
        )
    return network(**taken, **fixed)


def _parameters(network: type) -> dict[str, inspect.Parameter]:
    """Return the arguments that the class takes, those included that it hands on to its base class."""
    own = dict(inspect.signature(network).parameters)
    handed_on = [name for name, one in own.items() if one.kind is one.VAR_KEYWORD]
    for name in handed_on:
        del own[name]
    return _parameters(network.__base__) | own if handed_on else own


def _unknown(what: str, found: str, known: list[str]) -> ConfigError:
    near = difflib.get_close_matches(str(found), known, n=1)
    return ConfigError(
        expected=f"{what} among {', '.join(known)}",
        found=repr(found),
        fix=f"did you mean {near[0]}?" if near else None,
        code="E_ARCHITECTURE",
    )
