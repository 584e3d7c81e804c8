"""The body of the patient, told from air: where a lesion is looked for when no organ was outlined."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import binary_fill_holes, label

from mpmri_monai.errors import MaskError
from mpmri_monai.volumes import Mask, Stack

BODY_LEVEL = 0.1
"""Signal above this share of the way from the lowest to the highest of a slice's `RANGE` is body, not air; slice by
slice, so that one bright slice does not hide the others."""
RANGE = (1.0, 99.0)
"""Percentiles, so that a few odd voxels decide nothing."""


def body_mask(stack: Stack) -> Mask:
    """Return the largest connected part of a volume that is not air, without holes in its slices, on its grid.

    Raises:
        MaskError: E_MASK_EMPTY: nothing stands out from air, as in an empty volume.
    """
    slices, rows, columns = stack.stored.shape
    every = slice(None)
    inside = np.zeros((slices, rows, columns), bool)
    for k in range(slices):
        signal = stack.block(k, every, every)
        low, high = np.percentile(signal, RANGE)
        inside[k] = signal > low + BODY_LEVEL * (high - low)
    parts, count = label(inside)
    if not count:
        raise MaskError(
            expected="a volume in which a body stands out from air",
            found="one without any signal above it",
            fix="name an organ to search (a mask of the liver), or check the export of the images",
            code="E_MASK_EMPTY",
        )
    largest = np.bincount(parts.ravel())[1:].argmax() + 1
    return Mask(np.stack([binary_fill_holes(plane) for plane in parts == largest]), stack.geometry)
