"""What a person should look at before trusting a set of masks: none of it stops the work."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from mpmri_monai.catalogue import Caution
from mpmri_monai.volumes.masks import Mask
from mpmri_monai.volumes.stack import Stack

FEWEST_VOXELS = 3
"""A connected part with fewer voxels is more likely a slip of the pen than a lesion (count)."""
STRAY_MM = 20.0
"""A part of a lesion this far from its largest part is likely a slip: parts of one lesion lie closer together."""
MOSTLY = 0.5
"""Share of a lesion that has to lie in the organ or the body."""
BODY_LEVEL = 0.1
"""Signal above this share of the slice's 99th percentile is body, not air."""
BODY_STEP = 4
"""The body is found on every so many rows and columns (voxels)."""
FLIPS = {"columns": (2,), "rows": (1,), "slices": (0,), "columns and rows": (1, 2)}
"""Axes of (slice, row, column) by the name of the axis that a tool may have turned round."""


def mask_cautions(masks: Mapping[str, Mask]) -> dict[str, tuple[Caution, ...]]:
    """Return what is worth knowing about the lesions of one study, by the names of the masks.

    * what was found when a mask was read, such as ``W_GAP``
    * ``W_TINY``: connected parts (26 neighbours) of fewer than 3 voxels
    * ``W_STRAY``: parts more than 20 mm from the largest one
    * ``W_OVERLAP``: voxels shared with another mask; said of both
    """
    found = {name: [*mask.cautions, *_parts(mask)] for name, mask in masks.items()}
    for one, other in combinations(masks, 2):
        shared = _shared_ml(masks[one], masks[other])
        if shared > 0:
            found[one].append(Caution("W_OVERLAP", f"shares {shared:.2f} ml with {other}"))
            found[other].append(Caution("W_OVERLAP", f"shares {shared:.2f} ml with {one}"))
    return {name: tuple(cautions) for name, cautions in found.items()}


def organ_caution(mask: Mask, organ: Mask, words: str = "liver") -> Caution | None:
    """Return ``W_OUTSIDE`` when less than half of a lesion lies in its organ; it tells when a mirrored one would."""
    points = mask.points_mm()
    inside = float(organ.contains(points).mean())
    if inside >= MOSTLY:
        return None
    mirrored = {axis: float(organ.contains(flipped.points_mm()).mean()) for axis, flipped in _flipped(mask)}
    return Caution("W_OUTSIDE", f"{inside:.0%} of it lies in the {words}{_hint(mirrored)}")


def body_caution(mask: Mask, stack: Stack) -> Caution | None:
    """Return ``W_OUTSIDE`` when less than half of a mask lies in the body; it tells when a mirrored one would.

    The mask has the grid of the stack (`fits`). The body is what is brighter than air in a slice, with holes filled.
    """
    points = mask.points_mm()
    inside = float(_in_body(points, stack).mean())
    if inside >= MOSTLY:
        return None
    mirrored = {axis: float(_in_body(flipped.points_mm(), stack).mean()) for axis, flipped in _flipped(mask)}
    return Caution("W_OUTSIDE", f"{inside:.0%} of it lies in the body{_hint(mirrored)}")


def _parts(mask: Mask) -> list[Caution]:
    (box,) = ndimage.find_objects(mask.voxels.astype(np.uint8))
    labels, count = ndimage.label(mask.voxels[box], np.ones((3, 3, 3)))
    sizes = np.bincount(labels.ravel())[1:]
    found = []
    tiny = int((sizes < FEWEST_VOXELS).sum())
    if tiny:
        found.append(Caution("W_TINY", f"{tiny} of its {count} parts have fewer than {FEWEST_VOXELS} voxels"))
    if count == 1:
        return found
    index = np.argwhere(labels)
    part = labels[tuple(index.T)] - 1
    points = mask.geometry.to_mm((index + [side.start for side in box])[:, ::-1])
    main = part == sizes.argmax()
    distance, _ = cKDTree(points[main]).query(points[~main])
    nearest = np.full(count, np.inf)
    np.minimum.at(nearest, part[~main], distance)
    far = (nearest > STRAY_MM) & (np.arange(count) != sizes.argmax())
    if far.any():
        words = f"{int(sizes[far].sum())} of its {int(sizes.sum())} voxels lie {nearest[far].min():.0f} mm"
        found.append(Caution("W_STRAY", f"{words} or more from its largest part"))
    return found


def _shared_ml(one: Mask, other: Mask) -> float:
    """Volume that two masks share, by the voxels of the finer one."""
    fine, coarse = sorted((one, other), key=_voxel_ml)
    points = fine.points_mm()
    return int(np.count_nonzero(coarse.contains(points))) * fine.voxel_ml


def _voxel_ml(mask: Mask) -> float:
    return mask.voxel_ml


def _flipped(mask: Mask) -> Iterator[tuple[str, Mask]]:
    for name, axes in FLIPS.items():
        yield name, Mask(np.flip(mask.voxels, axes), mask.geometry, mask.partial)


def _hint(mirrored: Mapping[str, float]) -> str:
    axis, share = max(mirrored.items(), key=lambda entry: entry[1])
    return f"; with its {axis} the other way round it would be {share:.0%}" if share >= MOSTLY else ""


def _in_body(points: NDArray[np.float64], stack: Stack) -> NDArray[np.bool_]:
    """Which points (point, 3) lie in the body."""
    index = np.round(stack.geometry.to_index(points)).astype(int)
    inside = np.zeros(len(index), bool)
    for k in np.unique(index[:, 2]):
        if 0 <= k < stack.geometry.shape[2]:
            body = _body(stack, k)
            here = np.flatnonzero(index[:, 2] == k)
            column, row = (index[here, :2] // BODY_STEP).T
            seen = (column >= 0) & (row >= 0) & (column < body.shape[1]) & (row < body.shape[0])
            inside[here[seen]] = body[row[seen], column[seen]]
    return inside


def _body(stack: Stack, k: int) -> NDArray[np.bool_]:
    """Body in one slice on a coarse grid (row, column)."""
    every = slice(None, None, BODY_STEP)
    signal = stack.block(k, every, every)
    low, high = np.percentile(signal, [1, 99])
    return ndimage.binary_fill_holes(signal > low + BODY_LEVEL * (high - low))
