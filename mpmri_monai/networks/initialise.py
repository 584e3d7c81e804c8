"""Random weights to train from, as the transfer-learning literature compares them."""

from __future__ import annotations

from torch import nn

from mpmri_monai.errors import ConfigError

INITS = ("he", "gaussian", "xavier")
CONVOLUTIONS = nn.Conv2d | nn.Conv3d | nn.ConvTranspose3d
GAUSSIAN_SD = 0.01
"""Of every weight, as in AlexNet (Krizhevsky et al. 2012), from which Tajbakhsh et al. (2016) take it."""


def initialise(network: nn.Module, init: str = "he") -> None:
    """Draw the weights of a new network, in place, from torch's global generator.

    * ``he``: what a network of this package drew when it was made, left as it is. Convolutions N(0, 2 / fan_out)
      (He et al. 2015), their biases 0; linear layers, biases too, U(±1/√fan_in), PyTorch's default.
    * ``xavier``: convolutions and linear layers U(±√(6 / (fan_in + fan_out))) (Glorot & Bengio 2010), biases 0.
    * ``gaussian``: convolutions and linear layers N(0, 0.01²), biases 0.

    Batch norm (scale 1, shift 0) and the constants of absent channels (0) are not random.

    Raises:
        ConfigError: there is no such ``init``.
    """
    if init not in INITS:
        raise ConfigError(expected=f"an init among {', '.join(INITS)}", found=repr(init))
    if init == "he":
        return
    for module in network.modules():
        if isinstance(module, CONVOLUTIONS | nn.Linear):
            if init == "xavier":
                nn.init.xavier_uniform_(module.weight)
            else:
                nn.init.normal_(module.weight, std=GAUSSIAN_SD)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def draw_convolutions(network: nn.Module) -> None:
    """Draw the convolutions of a network that is being made: N(0, 2 / fan_out) (He et al. 2015), biases 0."""
    for module in network.modules():
        if isinstance(module, CONVOLUTIONS):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
