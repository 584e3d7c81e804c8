"""Lesion crops straight from the phantom, without files: for tests and for tuning the classes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from mpmri_monai.phantom.scanner import Grid, Scan

COARSE = 5
"""The intensity window is estimated from every so many voxels of the sequence."""


def lesion_crops(
    scan: Scan, k: int, sequences: Sequence[str], pixels: int = 32, reach: float = 1.0
) -> NDArray[np.float32]:
    """Take lesion ``k`` at every slice of the first sequence that cuts it.

    Each crop is the square box of the lesion times ``reach`` around its centre, in the nearest acquired slice of every
    sequence, bilinear in that slice, in [0, 1] between the minimum and the 99th percentile of the sequence.

    Returns:
        (position, sequence, row, column) float32; at least one position.
    """
    lesion = scan.patient.body.lesions[k]
    center, half = lesion.box()
    side = 2 * lesion.radius * max(lesion.axes[:2]) * reach * pixels / max(pixels - 1, 1)
    steps = ((np.arange(pixels) + 0.5) / pixels - 0.5) * side
    heights = _heights(scan.grids[sequences[0]], center, 0.9 * lesion.radius * lesion.axes[2])
    crops = np.empty((len(heights), len(sequences), pixels, pixels), np.float32)
    for s, name in enumerate(sequences):
        low, high = _window(scan, name)
        for p, height in enumerate(heights):
            plane = np.stack(
                np.broadcast_arrays(center[0] - steps[None, :], center[1] - steps[:, None], height), axis=-1
            )
            crops[p, s] = np.clip((_sample(scan, name, plane, half) - low) / (high - low), 0, 1)
    return crops


def _heights(grid: Grid, center: NDArray, half_height: float) -> NDArray[np.float64]:
    """Return the z of the slices of ``grid``, at the lesion's axis, that lie inside it; else that of the nearest."""
    inverse = np.linalg.inv(grid.affine)
    middle = (inverse @ [*center, 1.0])[2]
    z = center[2] + (np.arange(grid.shape[2]) - middle) * grid.affine[2, 2]
    inside = np.abs(z - center[2]) <= half_height
    return z[inside] if inside.any() else z[[np.argmin(np.abs(z - center[2]))]]


def _sample(scan: Scan, name: str, plane: NDArray, half: NDArray) -> NDArray[np.float64]:
    """Return the acquired values at the points ``plane`` (row, column, 3), from the nearest slice."""
    grid = scan.grids[name]
    inverse = np.linalg.inv(grid.affine)
    index = plane @ inverse[:3, :3].T + inverse[:3, 3]
    low = np.floor(index.reshape(-1, 3).min(axis=0)).astype(int) - 1
    high = np.ceil(index.reshape(-1, 3).max(axis=0)).astype(int) + 1
    slice_index = int(np.rint(index[..., 2].mean()))
    part = grid.crop((low[0], low[1], slice_index), (int(high[0] - low[0]) + 1, int(high[1] - low[1]) + 1, 1))
    stored = scan.acquire(name, part)[0].astype(np.float64)
    return map_coordinates(stored, [index[..., 1] - low[1], index[..., 0] - low[0]], order=1, mode="nearest")


def _window(scan: Scan, name: str) -> tuple[float, float]:
    grid = scan.grids[name]
    coarse = Grid(
        grid.affine @ np.diag([COARSE, COARSE, 2, 1.0]),
        tuple(max(n // k, 1) for n, k in zip(grid.shape, (COARSE, COARSE, 2), strict=True)),
        1.0,
    )
    values = scan.acquire(name, coarse, noisy=False)
    return float(values.min()), float(np.quantile(values, 0.99))
