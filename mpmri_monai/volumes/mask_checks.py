"""What a person should look at before trusting a set of masks: none of it stops the work."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
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


def mask_cautions(
    masks: Mapping[str, Mask], organ: Mask | None = None, stacks: Mapping[str, Stack] | None = None
) -> dict[str, tuple[Caution, ...]]:
    """Return what is worth knowing about the lesions of one study, by the names of the masks.

    * what was found when a mask was read: ``W_GAP``, ``W_SUBPIXEL``, ``W_OFF_SLICE``
    * ``W_TINY``: connected parts (26 neighbours) of fewer than 3 voxels
    * ``W_STRAY``: parts more than 20 mm from the largest one
    * ``W_OUTSIDE``: less than half of it, of a box its middle, lies in the organ, or in the body when no organ is
      given; the message says when it would with an axis the other way round, for that is the commonest fault of a mask
    * ``W_OVERLAP``: voxels shared with another mask; said of both

    Args:
        masks: of the lesions.
        organ: that holds them.
        stacks: sequences by name; the body is looked for in the one that a mask was drawn on.
    """
    found = {name: [*mask.cautions, *_parts(mask), *_place(mask, organ, stacks or {})] for name, mask in masks.items()}
    for one, other in combinations(masks, 2):
        shared = _shared_ml(masks[one], masks[other])
        if shared > 0:
            found[one].append(Caution("W_OVERLAP", f"shares {shared:.2f} ml with {other}"))
            found[other].append(Caution("W_OVERLAP", f"shares {shared:.2f} ml with {one}"))
    return {name: tuple(cautions) for name, cautions in found.items()}


def _place(mask: Mask, organ: Mask | None, stacks: Mapping[str, Stack]) -> list[Caution]:
    """Whether a lesion lies where lesions are."""
    if organ is not None:
        where, inside = "organ", organ.contains
    elif mask.drawn_on is not None and mask.drawn_on in stacks:
        where, inside = "body", partial(_in_body, stacks[mask.drawn_on])
    else:
        return []
    share = float(inside(mask.points_mm()).mean())
    if share >= MOSTLY:
        return []
    mirrored = {axis: float(inside(flipped.points_mm()).mean()) for axis, flipped in _flipped(mask)}
    axis, best = max(mirrored.items(), key=lambda entry: entry[1])
    hint = f"; with its {axis} the other way round it would be {best:.0%}" if best >= MOSTLY else ""
    what = "its middle lies outside" if _is_box(mask) else f"{share:.0%} of it lies in"
    return [Caution("W_OUTSIDE", f"{what} the {where}{hint}")]


def _parts(mask: Mask) -> list[Caution]:
    if _is_box(mask):
        return []
    labels, count = ndimage.label(mask.voxels[mask.box], np.ones((3, 3, 3)))
    sizes = np.bincount(labels.ravel())[1:]
    found = []
    tiny = int((sizes < FEWEST_VOXELS).sum())
    if tiny:
        found.append(Caution("W_TINY", f"{tiny} of its {count} parts have fewer than {FEWEST_VOXELS} voxels"))
    if count == 1:
        return found
    index = np.argwhere(labels)
    part = labels[tuple(index.T)] - 1
    points = mask.geometry.to_mm((index + [side.start for side in mask.box])[:, ::-1])
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
    """Volume that two masks share: of two boxes exactly, else by the voxels of the finer one."""
    if _is_box(one) and _is_box(other):
        (low, high), (bottom, top) = _ends(one), _ends(other)
        return float(np.prod((np.minimum(high, top) - np.maximum(low, bottom)).clip(0))) / 1000
    fine, coarse = sorted((one, other), key=_voxel_ml)
    points = fine.points_mm()
    return int(np.count_nonzero(coarse.contains(points))) * fine.voxel_ml


def _ends(box: Mask) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the lowest and the highest corner (3,) of a box, which is parallel to the axes of the body."""
    middle, half = box.points_mm()[0], np.abs(box.geometry.affine[:3, :3]).sum(axis=1) / 2
    return middle - half, middle + half


def _voxel_ml(mask: Mask) -> float:
    return mask.voxel_ml


def _flipped(mask: Mask) -> Iterator[tuple[str, Mask]]:
    for name, axes in FLIPS.items():
        yield name, Mask(np.flip(mask.voxels, axes), mask.geometry, mask.partial)


def _in_body(stack: Stack, points: NDArray[np.float64]) -> NDArray[np.bool_]:
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


def _is_box(mask: Mask) -> bool:
    """Whether it is a box, whose one voxel is as large as the lesion."""
    return mask.voxels.size == 1
