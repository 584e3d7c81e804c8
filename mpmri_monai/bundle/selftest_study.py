"""The study of a self-test: a few slices around one lesion of the phantom, small enough to travel in a bundle."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from mpmri_monai.errors import ConfigError
from mpmri_monai.phantom.masks import lesion_mask
from mpmri_monai.phantom.patients import HELD_OUT, Plan, draw_patient
from mpmri_monai.phantom.presets import PRESETS, Preset
from mpmri_monai.phantom.scanner import Grid, draw_scan

STUDY, MASK = "study", "lesions.nii.gz"
LESION, EDGE = 1, 2
"""Values of the mask: the lesion, and a region of its size half beside it, whose answer is no clear one."""
REACH = 2.2
"""Sides of the lesion that the study covers in the plane: more than the stored crop, whose reach is 1.6."""
SLICES_AROUND_MM = 7.0
"""Beyond the lesion, above and below: one slice of the thick ones more."""
LARGEST_BYTES = 300_000
"""All files of a self-test's study together: it travels with every copy of the bundle."""


def preset_of(protocol: str, sequences: Sequence[str]) -> Preset:
    """Return the first phantom that is read by ``protocol`` and acquires ``sequences``.

    Raises:
        ConfigError: E_SELFTEST, none does.
    """
    for chosen in PRESETS.values():
        if chosen.labelled and chosen.anatomy.protocol == protocol and set(sequences) <= set(chosen.sequences):
            return chosen
    raise ConfigError(
        expected=f"a phantom of the protocol {protocol} with {' '.join(sequences)}",
        found="none",
        fix="a bundle for other anatomy has no self-test yet: check it on a study of your own",
        code="E_SELFTEST",
    )


def write_study(folder: Path, chosen: Preset, sequences: Sequence[str], number: int) -> None:
    """Write a study that is in no cohort as NIfTI: ``study/<sequence>.nii.gz`` and ``lesions.nii.gz``.

    Equal arguments give equal files. Nothing in them is of a person.

    Args:
        folder: exists.
        chosen: hospital and lesions are drawn as in this preset.
        sequences: to write.
        number: which one; its class is ``number`` modulo the number of classes.
    """
    classes = chosen.anatomy.findings.classes
    plan = Plan(number, chosen.sites[0], (classes[number % len(classes)],))
    scan = draw_scan(draw_patient(chosen, plan, chosen.seed, stream=HELD_OUT))
    grid = scan.grids[chosen.anatomy.drawn_on]
    lesion = lesion_mask(scan) == LESION
    low, high = _box_mm(lesion, grid)
    margin = (high - low) * (REACH - 1) / 2
    margin[2] = SLICES_AROUND_MM
    _save(folder / MASK, *_cropped(_with_edge(lesion), grid, low - margin, high + margin))
    (folder / STUDY).mkdir()
    for name in sequences:
        volume = scan.acquire(name).astype(np.int16)
        _save(folder / STUDY / f"{name}.nii.gz", *_cropped(volume, scan.grids[name], low - margin, high + margin))


def _with_edge(lesion: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Return the mask (slice, row, column): the lesion, and what of it, moved by half its width, lies beside it."""
    columns = np.flatnonzero(lesion.any(axis=(0, 1)))
    moved = np.roll(lesion, (columns[-1] - columns[0] + 1) // 2, axis=2)
    mask = np.where(moved, EDGE, 0)
    mask[lesion] = LESION
    return mask.astype(np.uint8)


def _box_mm(mask: NDArray[np.bool_], grid: Grid) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the lowest and highest coordinates, mm, of the centres of the voxels in ``mask`` (slice, row, column)."""
    index = np.argwhere(mask)[:, ::-1]
    points = index @ grid.affine[:3, :3].T + grid.affine[:3, 3]
    return points.min(axis=0), points.max(axis=0)


def _cropped(
    voxels: NDArray, grid: Grid, low: NDArray[np.float64], high: NDArray[np.float64]
) -> tuple[NDArray, NDArray[np.float64]]:
    """Return the voxels (slice, row, column) that hold the box from ``low`` to ``high`` mm, and their affine."""
    corners = np.stack(np.meshgrid(*zip(low, high, strict=True), indexing="ij"), axis=-1).reshape(-1, 3)
    inverse = np.linalg.inv(grid.affine)
    index = corners @ inverse[:3, :3].T + inverse[:3, 3]
    start = np.maximum(np.floor(index.min(axis=0)).astype(int), 0)
    stop = np.minimum(np.ceil(index.max(axis=0)).astype(int) + 1, grid.shape)
    part = grid.crop(start, tuple(stop - start))
    return voxels[start[2] : stop[2], start[1] : stop[1], start[0] : stop[0]], part.affine


def _save(path: Path, voxels: NDArray, affine: NDArray[np.float64]) -> None:
    """Write voxels (slice, row, column) with their affine, which is of indices (column, row, slice)."""
    image = nib.Nifti1Image(np.ascontiguousarray(voxels.transpose(2, 1, 0)), affine)
    image.header.set_xyzt_units("mm")
    nib.save(image, path)
