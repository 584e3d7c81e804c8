"""Voxels of one volume as they are stored, with their geometry and rescaling."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mpmri_monai.errors import GeometryError
from mpmri_monai.volumes.geometry import Geometry

if TYPE_CHECKING:
    from monai.data import MetaTensor

SAMPLE_STEP = 8
"""Every so many rows and columns make the sample that a first guess at a quantile is taken from (voxels)."""
GUESS_MARGIN = 1.5
"""The first guess aims at this many times the voxels that are looked for, so that it is seldom too high."""


@dataclass(frozen=True, eq=False)
class Stack:
    """Voxels of one volume. Signal is ``stored * slope + intercept``, with one slope and intercept per slice."""

    stored: NDArray
    """(slice, row, column), integer or float."""
    slope: NDArray[np.float64]
    """(slice,), positive."""
    intercept: NDArray[np.float64]
    """(slice,)."""
    geometry: Geometry
    instances: tuple[str, ...] = field(default=(), repr=False)
    """(slice,): which image each slice comes from, as in ``FileHeader.instance``; empty when it is not DICOM. Masks
    name the images that they were drawn on by it. Never printed or written."""
    frame_of_reference: str = field(default="", repr=False)
    """UID of the space that the positions are given in; empty when unknown. Never printed or written."""

    def __post_init__(self) -> None:
        columns, rows, slices = self.geometry.shape
        if self.stored.shape != (slices, rows, columns) or not len(self.slope) == len(self.intercept) == slices:
            raise GeometryError(
                expected=f"{slices} x {rows} x {columns} voxels and {slices} slopes and intercepts",
                found=f"{' x '.join(map(str, self.stored.shape))}, {len(self.slope)} and {len(self.intercept)}",
            )

    @cached_property
    def digest(self) -> str:
        """sha256 (hex) of the voxels, their rescaling and their affine; computed when first asked for."""
        stored = np.ascontiguousarray(self.stored)
        content = hashlib.sha256(f"{stored.dtype.str}{stored.shape}".encode())
        for values in (stored, self.slope, self.intercept, self.geometry.affine):
            content.update(np.ascontiguousarray(values).view(np.uint8).data)
        return content.hexdigest()

    def block(self, slice_index: int, rows: slice, columns: slice) -> NDArray[np.float32]:
        """Signal (row, column) of a part of one slice."""
        values = self.stored[slice_index, rows, columns].astype(np.float32)
        return values * np.float32(self.slope[slice_index]) + np.float32(self.intercept[slice_index])

    def intensity_range(self, trim: float = 0.01) -> tuple[float, float]:
        """Smallest signal, and largest after the top ``trim`` of the grey values is cut off.

        Exact over all voxels: of N voxels the ``floor(trim * N)`` largest are cut off, and the largest of the rest is
        returned, which is the smallest value that at least ``1 - trim`` of all voxels do not exceed. This is Imax of
        equation 2 in Jia et al., KSII TIIS 13(10), 2019.

        Args:
            trim: part of the voxels to cut off, at least 0 and below 1.
        """
        cut = int(Fraction(trim).limit_denominator(10**6) * self.stored.size)
        if np.all(self.slope == self.slope[0]) and np.all(self.intercept == self.intercept[0]):
            scale, shift = np.float32(self.slope[0]), np.float32(self.intercept[0])
            low, high = self.stored.min(), _largest_after(self.stored, cut)
            return float(np.float32(low) * scale + shift), float(np.float32(high) * scale + shift)
        signal = self._signal()
        return float(signal.min()), float(_largest_after(signal, cut))

    def _signal(self) -> NDArray[np.float32]:
        values = self.stored.astype(np.float32)
        values *= self.slope.astype(np.float32)[:, None, None]
        values += self.intercept.astype(np.float32)[:, None, None]
        return values

    def volume(self) -> MetaTensor:
        """Signal as MetaTensor (channel, column, row, slice), float32, with the RAS+ affine in mm."""
        import torch
        from monai.data import MetaTensor

        voxels = np.ascontiguousarray(self._signal().transpose(2, 1, 0)[None])
        return MetaTensor(torch.from_numpy(voxels), affine=torch.from_numpy(self.geometry.affine.copy()))


def _largest_after(values: NDArray, cut: int) -> np.generic:
    """Return the largest value after the ``cut`` largest ones.

    A sample gives a guess a little below the answer; only the few voxels above the guess are then ordered. When too few
    are, the guess was too high and all voxels are ordered instead, so the answer is exact in any case.
    """
    sample = values[:, ::SAMPLE_STEP, ::SAMPLE_STEP].ravel()
    above = min(sample.size - 1, int(GUESS_MARGIN * cut * sample.size / values.size) + 1)
    guess = np.partition(sample, sample.size - 1 - above)[sample.size - 1 - above]
    candidates = np.concatenate([plane[plane >= guess] for plane in values])
    if candidates.size <= cut:
        candidates = values.ravel()
    place = candidates.size - 1 - cut
    return np.partition(candidates, place)[place]
