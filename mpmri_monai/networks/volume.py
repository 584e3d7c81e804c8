"""What the networks for 3D crops have in common: one size of crop, standardised by the training set."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mpmri_monai.errors import ConfigError
from mpmri_monai.networks.layered import LayeredNetwork


class Standardise(nn.Module):
    """Subtract the training set's mean and divide by its range, channel by channel.

    Args:
        channels: of the images. Until it is fitted, means are 0 and ranges 1.
    """

    mean: Tensor
    range: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("range", torch.ones(channels))

    def forward(self, image: Tensor) -> Tensor:
        """Return ``image`` (batch, channel, …), standardised."""
        spatial = (slice(None), *(None,) * (image.dim() - 2))
        return (image - self.mean[spatial]) / self.range[spatial]

    def fit(self, images: Tensor, present: Tensor) -> None:
        """Take mean and range (maximum - minimum) of each channel over all voxels of the samples that have it.

        A channel that no sample has keeps 0 and 1: the network sees its constant alone.

        Args:
            images: (sample, channel, …).
            present: bool (sample, channel).

        Raises:
            ConfigError: E_CONSTANT, a channel has one value throughout, or values that are not finite.
        """
        for channel in range(len(self.mean)):
            values = images[present[:, channel], channel]
            if not len(values):
                continue
            spread = (values.amax() - values.amin()).item()
            if not 0 < spread < torch.inf:
                raise ConfigError(
                    expected="training samples that differ from voxel to voxel in each sequence, with finite values",
                    found=f"a range of {spread:g} in channel {channel + 1} of the fusion",
                    fix="look at the crops (mpmri contact-sheet); leave that sequence out of the fusion",
                    code="E_CONSTANT",
                )
            self.mean[channel] = values.mean(dtype=torch.float64)
            self.range[channel] = spread


class VolumeNetwork(LayeredNetwork):
    """A network that sees crops (channel, depth, row, column) of one size, standardised by the training set.

    Args:
        in_channels: sequences of the fusion.
        size: (depth, row, column) of the crops.

    Raises:
        ConfigError: E_SIZE, this is no size.
    """

    def __init__(self, in_channels: int, size: Sequence[int]) -> None:
        super().__init__(in_channels)
        self.size = checked_size(size)
        self.standardise = Standardise(in_channels)

    @property
    def voxels(self) -> int:
        """Voxels of a crop, in one channel."""
        depth, rows, columns = self.size
        return depth * rows * columns

    def fit_standardisation(self, images: Tensor, present: Tensor) -> None:
        """Fit mean and range; arguments and errors as in `Standardise.fit`."""
        self.standardise.fit(images, present)

    def prepared(self, image: Tensor, present: Tensor | None = None) -> Tensor:
        """Return ``image`` (batch, channel, depth, row, column) standardised, absent channels as their constants.

        Raises:
            ConfigError: E_SIZE, the crops are of another size than the network.
        """
        refuse_other_size(image, self.size)
        return self.fill_absent(self.standardise(image), present)


def checked_size(size: Sequence[int]) -> tuple[int, int, int]:
    """Return ``size`` as a tuple; raise ConfigError when it is not three whole numbers from 1 on."""
    if (
        not isinstance(size, Sequence)
        or len(size) != 3
        or any(type(length) is not int or length < 1 for length in size)
    ):
        raise ConfigError(
            expected="a size of three whole numbers, as [4, 25, 25] (slices, rows, columns)",
            found=repr(size),
            code="E_SIZE",
        )
    depth, rows, columns = size
    return depth, rows, columns


def refuse_other_size(image: Tensor, size: tuple[int, int, int]) -> None:
    """Raise ConfigError when ``image`` is not (batch, channel, *size)."""
    if image.dim() != 5 or tuple(image.shape[2:]) != size:
        raise ConfigError(
            expected=f"crops of {_text(size)} voxels (slices, rows, columns)",
            found=_text(image.shape[2:]),
            fix="give the network the size of the samples",
            code="E_SIZE",
        )


def at_least(least: int, **numbers: int) -> None:
    """Raise ConfigError when one of the named ``numbers`` is not a whole number from ``least`` on."""
    wrong = {name: value for name, value in numbers.items() if type(value) is not int or value < least}
    if wrong:
        raise ConfigError(
            expected=f"whole numbers from {least} on",
            found=", ".join(f"{name} {value!r}" for name, value in wrong.items()),
        )


def checked_dropout(dropout: float) -> nn.Dropout:
    """Return the dropout layer; raise ConfigError when ``dropout`` is no probability below 1."""
    if not isinstance(dropout, int | float) or not 0 <= dropout < 1:
        raise ConfigError(expected="0 <= dropout < 1", found=repr(dropout))
    return nn.Dropout(dropout)


def _text(size: Sequence[int]) -> str:
    return "×".join(map(str, size))
