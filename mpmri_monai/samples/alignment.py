"""Undoing the motion between the sequences of a study before they are sampled: optional, rigid, and kept once found.

The reference is the sequence that the lesions were drawn on. It stays, and with it the lesions; the others get another
affine, so that sampling still takes acquired pixels. An organ goes with the sequence that it was drawn on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from SimpleITK import Version_VersionString as simpleitk_version

from mpmri_monai.artefacts import cache_folder, digest, read_json, write_json
from mpmri_monai.cohort import Study
from mpmri_monai.errors import MaskError
from mpmri_monai.samples.locate import reference_of
from mpmri_monai.samples.sample import Sample
from mpmri_monai.volumes import Mask, Stack, fits, same_grid
from mpmri_monai.volumes.registration import Motion, find_motion

SCHEMA = "mpmri-monai/motion/1"
"""Goes into every key: a new number when the same images would give another motion."""


@dataclass(frozen=True, eq=False)
class Alignment:
    """What was done to the sequences of a study."""

    reference: str
    motions: Mapping[str, Motion]
    """By sequence; the reference has none."""
    voxels: Mapping[str, str]
    """Digest of each sequence as acquired."""

    def note(self, sample: Sample) -> Sample:
        """Return a sample of the aligned sequences with its shifts, its flags, and the digests of what was acquired."""
        shifts = np.full(len(sample.sequences), np.nan)
        flags = list(sample.flags)
        for i, sequence in enumerate(sample.sequences):
            motion = self.motions.get(sequence)
            if sample.present[i]:
                shifts[i] = 0.0 if motion is None else motion.shift_at(sample.position_mm)
                flags += [f"unaligned:{sequence}"] if motion is not None and motion.refused else []
        return replace(sample, shift_mm=shifts, flags=tuple(flags), voxels=self.voxels)

    def organ(self, mask: Mask | None, stacks: Mapping[str, Stack]) -> Mask | None:
        """Return an organ where its sequence was taken; on the grid of the reference it counts as drawn on that.

        Args:
            mask: of the organ, as drawn.
            stacks: the sequences as acquired.
        """
        motion = None if mask is None or mask.drawn_on is None else self.motions.get(mask.drawn_on)
        if mask is None or motion is None or fits(mask, stacks[self.reference].geometry):
            return mask
        return replace(mask, geometry=motion.moved(mask.geometry))


def align_sequences(
    study: Study, stacks: Mapping[str, Stack], lesions: Mapping[str, Mask], liver: Mask | None
) -> tuple[dict[str, Stack], Alignment]:
    """Return the sequences with their motion against the reference undone, and what that motion was.

    Of sequences on one grid, such as the phases of a dynamic series, the first is taken onto the reference and the
    others onto the first: so phases that resemble each other stay together, even where the way to the reference is
    refused. What is refused stays where the scanner put it (`mpmri_monai.volumes.registration.find_motion`). Motions
    are kept in the cache by the digests of the images, so that no pair is registered twice.

    Args:
        study: entry of the manifest.
        stacks: the sequences as acquired.
        lesions: masks, each on the grid that it was drawn on.
        liver: the organ that is followed; without it the middle of the images is.

    Raises:
        MaskError: E_ALIGN: lesions were drawn on several sequences, or it is not known on which.
        OutputError: the cache cannot be written.
    """
    reference = _reference(study, stacks, lesions)
    motions: dict[str, Motion] = {}
    for sequence, stack in stacks.items():
        first = _first_on_grid(stacks, sequence, reference)
        if sequence == first and sequence != reference:
            motions[sequence] = _kept_motion(stacks[reference], stack, liver)
        elif sequence != first:
            onto_first = _kept_motion(stacks[first], stack, liver)
            motions[sequence] = onto_first if first == reference else onto_first.then(motions[first])
    aligned = {
        sequence: replace(stack, geometry=motions[sequence].moved(stack.geometry)) if sequence in motions else stack
        for sequence, stack in stacks.items()
    }
    return aligned, Alignment(reference, motions, {sequence: stack.digest for sequence, stack in stacks.items()})


def _reference(study: Study, stacks: Mapping[str, Stack], lesions: Mapping[str, Mask]) -> str:
    """Return the sequence that stays: the one drawn on; for lesions that are boxes, the one that gives the slices."""
    drawn_on = {_drawn_on(study, name, mask, stacks) for name, mask in lesions.items() if mask.drawn_on is not None}
    if len(drawn_on) > 1:
        raise _unclear(study, f"lesions drawn on {' and '.join(sorted(drawn_on))}", "align none of them")
    if drawn_on:
        return drawn_on.pop()
    return reference_of(stacks)


def _drawn_on(study: Study, name: str, mask: Mask, stacks: Mapping[str, Stack]) -> str:
    """Return the sequence that a lesion was drawn on; a grid that several share does not tell which."""
    lesion = next(lesion for lesion in study.lesions if lesion.id == name)
    alike = [sequence for sequence, stack in stacks.items() if fits(mask, stack.geometry)]
    if lesion.drawn_on is None and lesion.region.value is not None and len(alike) > 1:
        raise _unclear(study, f"lesion {name} with the grid of {' and '.join(alike)}", "name it in drawn_on")
    return str(mask.drawn_on)


def _first_on_grid(stacks: Mapping[str, Stack], sequence: str, reference: str) -> str:
    """Return the sequence that leads those on the grid of ``sequence``: the reference if it is one, else the first."""
    geometry = stacks[sequence].geometry
    alike = [name for name, stack in stacks.items() if same_grid(geometry, stack.geometry)]
    return reference if reference in alike else alike[0]


def _unclear(study: Study, found: str, fix: str) -> MaskError:
    expected = "the one sequence that the lesions were drawn on, for it stays where it is"
    return MaskError(expected=expected, found=found, where=f"study {study.study}", fix=fix, code="E_ALIGN")


def _kept_motion(reference: Stack, moving: Stack, region: Mask | None) -> Motion:
    """Return the motion between two sequences from the cache, or find and keep it."""
    key = digest([SCHEMA, simpleitk_version(), reference.digest, moving.digest, _mask_digest(region)])
    path = cache_folder() / "motions" / f"{key}.json"
    kept = _read_motion(path)
    if kept is not None:
        return kept
    motion = find_motion(reference, moving, region)
    write_json(path, {"schema": SCHEMA, "matrix": motion.matrix.tolist(), "refused": motion.refused})
    return motion


def _read_motion(path: Path) -> Motion | None:
    """Return a kept motion, or None where there is no readable one."""
    try:
        content = read_json(path)
        return Motion(np.array(content["matrix"], dtype=np.float64).reshape(4, 4), content["refused"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _mask_digest(mask: Mask | None) -> str | None:
    if mask is None:
        return None
    content = hashlib.sha256(str(mask.voxels.shape).encode())
    content.update(np.packbits(mask.voxels).data)
    content.update(np.ascontiguousarray(mask.geometry.affine).data)
    return content.hexdigest()
