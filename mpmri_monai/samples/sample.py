"""The sample: one position of one lesion or background region, every sequence taken at the same physical place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mpmri_monai.cohort import Study
from mpmri_monai.errors import GeometryError, MaskError
from mpmri_monai.samples.intensity import Window, refuse_empty
from mpmri_monai.samples.locate import Position
from mpmri_monai.samples.plane import AXIAL, CropGrid
from mpmri_monai.samples.resample import Footprint, angle_deg, footprint, show
from mpmri_monai.samples.settings import Grid, Settings
from mpmri_monai.volumes import Stack

PRESENT_FRACTION = 0.5
"""A sequence that covers less of the lesion's box (what the network sees) is not present there."""

OBLIQUE_DEG = 2.0
"""Largest angle between the slices of two stacks that passes without a flag: at the corner of a 60 mm lesion it moves
a point by 1.5 mm, a quarter of a 6 mm slice."""


@dataclass(frozen=True, eq=False)
class Sample:
    """One sample with all sequences of the manifest; where ``present`` is false the image is 0 and means nothing."""

    patient: str
    study: str
    site: str
    lesion: str
    sample: str
    kind: str
    """``lesion`` or ``background``; with a grid also ``study`` (no lesion, but labels) or ``patch`` (random)."""
    labels: Mapping[str, str]
    """Class name by label key; empty for background and patches."""
    sequences: tuple[str, ...]
    image: NDArray[np.float32]
    """(sequence, row, column) or (sequence, depth, row, column), in [0, 1]."""
    mask: NDArray[np.bool_]
    """(row, column) or (depth, row, column): as of `Position`."""
    present: NDArray[np.bool_]
    """(sequence,)."""
    offset_mm: NDArray[np.float64]
    """(sequence,): largest distance between asked and acquired position in the crop; NaN when absent."""
    signal: NDArray[np.float64]
    """(sequence,): mean in ``mask`` before normalisation; NaN when absent."""
    level: NDArray[np.float64]
    """(sequence,): mean in ``mask`` after normalisation; NaN when absent."""
    position_mm: NDArray[np.float64]
    """(3,): centre of the crop, RAS+."""
    extent_mm: float
    """Larger in-plane extent of the lesion."""
    pitch_mm: float
    voxels: Mapping[str, str]
    """Digest of the voxels of each sequence that the sample was taken from."""
    flags: tuple[str, ...]
    """``oblique:<sequence>`` (slices more than 2° from the reference's), ``partial:<sequence>`` (part of the box is not
    covered), ``unaligned:<sequence>`` (its motion was refused: taken where the scanner put it), ``stray`` (the box is
    stretched by mask voxels far from the rest); of grid samples that are not axial, ``sagittal:<sequence>`` or
    ``coronal:<sequence>``, as the slices of the reference are, and ``cut``: the lesion reaches beyond what the network
    sees."""
    shift_mm: NDArray[np.float64] | None = None
    """(sequence,): how far alignment moved what is at the centre of the crop; 0 for the reference, NaN when absent.
    None where sequences are not aligned."""


def take_samples(
    study: Study,
    stacks: Mapping[str, Stack],
    windows: Mapping[str, Window],
    positions: Sequence[Position],
    sequences: Sequence[str],
    settings: Settings,
) -> list[Sample]:
    """Take every position in every sequence; a sequence that the study lacks is not present.

    Raises:
        MaskError: a lesion lies outside every sequence.
        ConfigError: E_WINDOW: an intensity window is empty; said of grid samples alone.
        GeometryError: E_GRID: every sequence covers less than half of what the network sees of a grid sample.
    """
    if settings.grid is not None:
        refuse_empty(windows)
    samples = [_take_sample(study, stacks, windows, position, tuple(sequences), settings) for position in positions]
    seen = {sample.lesion for sample in samples if sample.present.any()}
    unseen = sorted({sample.lesion for sample in samples if sample.kind != "background"} - seen)
    if unseen:
        lost = [position for position in positions if position.region in unseen]
        if settings.grid is not None and any(_lies_in(position, stacks) for position in lost):
            raise GeometryError(
                expected=f"a sequence that covers at least half of a {_in_words(settings.grid)}",
                found=f"none that does around {', '.join(unseen)}",
                where=f"study {study.study}",
                fix="take a smaller grid: fewer slices or pixels, or smaller depth_mm or plane_mm",
                code="E_GRID",
            )
        raise MaskError(
            expected="lesions inside the images",
            found=f"no sequence of the study covers {', '.join(unseen)}",
            where=f"study {study.study}",
            fix="check that mask and images belong to the same study",
            code="E_MASK_OUT",
        )
    return samples


def _take_sample(
    study: Study,
    stacks: Mapping[str, Stack],
    windows: Mapping[str, Window],
    position: Position,
    sequences: tuple[str, ...],
    settings: Settings,
) -> Sample:
    plane, mask, normal = position.plane, position.mask, position.plane.normal
    image = np.zeros((len(sequences), *plane.shape), np.float32)
    present = np.zeros(len(sequences), bool)
    offset, signal, level = np.full((3, len(sequences)), np.nan)
    cut = settings.grid is not None and position.kind == "lesion" and mask.sum() > _seen(mask, settings.size).sum()
    flags = ["cut"] if cut else []
    places: dict[tuple, Footprint] = {}
    for i, sequence in enumerate(sequences):
        if sequence not in stacks:
            continue
        stack = stacks[sequence]
        grid = (stack.geometry.affine.tobytes(), stack.geometry.shape)
        if grid not in places:
            places[grid] = footprint(stack.geometry, plane, settings.through_plane, position.slab_mm)
        crop = show(stack, places[grid], windows[sequence])
        fraction = _seen(crop.covered, settings.size).mean()
        lesion = mask & crop.covered
        if fraction < PRESENT_FRACTION or not lesion.any():
            continue
        image[i], present[i], offset[i] = crop.image, True, crop.offset_mm
        signal[i], level[i] = _mean(crop.signal, lesion), _mean(crop.image, lesion)
        if fraction < 1:
            flags.append(f"partial:{sequence}")
        if angle_deg(normal, stack.geometry.normal) > OBLIQUE_DEG:
            flags.append(f"oblique:{sequence}")
        if isinstance(plane, CropGrid) and plane.body_plane != AXIAL:
            flags.append(f"{plane.body_plane}:{sequence}")
    digits = 5 if position.kind == "patch" else 2
    return Sample(
        patient=study.patient,
        study=study.study,
        site=study.site,
        lesion=position.region,
        sample=f"{position.region}-{position.number:0{digits}d}",
        kind=position.kind,
        labels=_labels(study, position),
        sequences=sequences,
        image=image,
        mask=mask,
        present=present,
        offset_mm=offset,
        signal=signal,
        level=level,
        position_mm=plane.centre_mm,
        extent_mm=position.extent_mm,
        pitch_mm=plane.pitch_mm,
        voxels={sequence: stack.digest for sequence, stack in stacks.items()},
        flags=tuple(flags),
    )


def _labels(study: Study, position: Position) -> Mapping[str, str]:
    if position.kind == "lesion":
        return study.labels | next(lesion.labels for lesion in study.lesions if lesion.id == position.region)
    return study.labels if position.kind == "study" else {}


def _lies_in(position: Position, stacks: Mapping[str, Stack]) -> bool:
    """Return whether some sequence covers a part of the lesion."""
    places = (footprint(stack.geometry, position.plane) for stack in stacks.values())
    return any((position.mask & (place.count > 0)).any() for place in places)


def _in_words(grid: Grid) -> str:
    size = f"{grid.slices} x {grid.pixels} x {grid.pixels}"
    return f"grid of {size} points, {grid.depth_mm:g} and {grid.plane_mm:g} mm apart"


def _seen(image: NDArray, size: tuple[int, ...]) -> NDArray:
    """Return the central part that the network sees."""
    margins = [(stored - side) // 2 for stored, side in zip(image.shape, size, strict=True)]
    return image[tuple(slice(margin, margin + side) for margin, side in zip(margins, size, strict=True))]


def _mean(image: NDArray[np.float32], inside: NDArray[np.bool_]) -> float:
    return float(image[inside].mean(dtype=np.float64))
