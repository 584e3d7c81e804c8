"""Spatial pyramid pooling (He et al., TPAMI 37(9), 2015) of pictures and of volumes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import torch
from torch import Tensor, nn

from mpmri_monai.errors import ConfigError


class SpatialPyramidPooling(nn.Module):
    """Maximum over the cells of 1×1, 2×2, … grids: a vector whose length does not depend on the size of the map.

    Cells are cut as in adaptive pooling, by slicing and ``amax``: unlike ``AdaptiveMaxPool2d``, its gradient is
    deterministic on CUDA.

    Args:
        levels: cells per side, one entry a level; (1, 2) gives 1 + 4 = 5 values per channel.
    """

    def __init__(self, levels: Sequence[int] = (1, 2)) -> None:
        super().__init__()
        if (
            not isinstance(levels, Sequence)
            or not levels
            or any(type(level) is not int or level < 1 for level in levels)
        ):
            raise ConfigError(expected="pyramid levels, whole numbers from 1 on, as [1, 2]", found=repr(levels))
        self.levels = tuple(levels)

    @property
    def cells(self) -> int:
        return sum(level * level for level in self.levels)

    def forward(self, features: Tensor) -> Tensor:
        """Pool ``features`` (batch, channel, row, column) to (batch, channel · cells)."""
        _refuse_small(features.shape[-2:], max(self.levels))
        return torch.cat([part for level in self.levels for part in _maxima(features, (level, level))], dim=1)


class VolumePyramidPooling(SpatialPyramidPooling):
    """Maximum over the cells of 1×1×1, 2×2×2, … grids; along depth no more cells than the map has slices.

    Args:
        levels: cells per side, one entry a level.
        depth: slices of the maps; (1, 2) gives 1 + 8 = 9 values per channel from two slices on, 1 + 4 for one slice.
    """

    def __init__(self, levels: Sequence[int], depth: int) -> None:
        super().__init__(levels)
        self.depth = depth

    @property
    def cells(self) -> int:
        return sum(min(level, self.depth) * level * level for level in self.levels)

    def forward(self, features: Tensor) -> Tensor:
        """Pool ``features`` (batch, channel, depth, row, column) to (batch, channel · cells)."""
        _refuse_small(features.shape[-2:], max(self.levels))
        grids = [(min(level, self.depth), level, level) for level in self.levels]
        return torch.cat([part for grid in grids for part in _maxima(features, grid)], dim=1)


def _refuse_small(plane: Sequence[int], cells: int) -> None:
    if min(plane) < cells:
        raise ConfigError(
            expected=f"feature maps of at least {cells}×{cells}",
            found="×".join(map(str, plane)),
            fix="use larger crops or fewer pyramid levels",
        )


def _maxima(features: Tensor, grid: tuple[int, ...]) -> list[Tensor]:
    """Return the maximum in each cell, (batch, channel); ``grid`` holds the number of cells along each axis."""
    lengths = features.shape[-len(grid) :]
    bounds = [_cell_bounds(length, cells) for length, cells in zip(lengths, grid, strict=True)]
    axes = tuple(range(-len(grid), 0))
    return [features[(..., *(slice(*bound) for bound in cell))].amax(dim=axes) for cell in product(*bounds)]


def _cell_bounds(length: int, cells: int) -> list[tuple[int, int]]:
    return [(i * length // cells, -(-(i + 1) * length // cells)) for i in range(cells)]
