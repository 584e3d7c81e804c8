"""What a reader made of a study, judged against the volumes that are in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from faults.builder import Truth

POSITION_TOLERANCE_MM = 0.1
"""A reader's corner may lie this far from the true one (mm); scanners write positions to about 0.02 mm."""
SIGNAL_TOLERANCE = 1e-4
"""Part of the signal by which a reader's value may differ: float32 and rounded slopes."""
SIGNAL_ROUNDING = 1e-3
"""Signal by which it may differ in addition (stored values are integers of order 1000)."""


@dataclass(frozen=True, eq=False)
class Found:
    """A volume as a reader returns it."""

    signal: NDArray
    """(slice, row, column), or any other order of axes that the affine describes, first axis last."""
    affine: NDArray[np.float64]
    """(4, 4), index along the last, middle and first axis of ``signal`` -> RAS+ mm."""
    later: bool = False
    """Whether the reader says that it was made after the volume before it."""


@dataclass(frozen=True)
class Reading:
    """Everything that a reader did with one study."""

    found: tuple[Found, ...] = ()
    refused: tuple[str, ...] = ()
    """Codes of problems, or kinds of errors, that were raised or reported."""
    warned: tuple[str, ...] = ()
    """Codes of warnings, or the bare fact that there were some."""
    roles: tuple[tuple[str, Found], ...] = ()
    """Sequence of a protocol -> volume."""


@dataclass(frozen=True)
class Outcome:
    """The judgement."""

    verdict: str
    """"right", "refuses" (nothing wrong was returned) or "wrong"."""
    detail: str
    """What is wrong, in a few words."""
    refused: tuple[str, ...]
    warned: tuple[str, ...]


def judge(reading: Reading, truths: Sequence[Truth]) -> Outcome:
    """Compare what was read with what there is to be read, voxel by voxel and with its place in space."""
    matches = [match(found, truths) for found in reading.found]
    wrong = _fault(reading, matches, truths)
    if not wrong and not reading.refused and len(set(matches)) < len(truths):
        wrong = f"{len(set(matches))} of {len(truths)} volumes"
    verdict = "wrong" if wrong else "refuses" if reading.refused else "right"
    return Outcome(verdict, wrong, tuple(sorted(set(reading.refused))), tuple(sorted(set(reading.warned))))


def _fault(reading: Reading, matches: Sequence[int | None], truths: Sequence[Truth]) -> str:
    """What is wrong with the volumes that were returned; empty when nothing is."""
    known = [index for index in matches if index is not None]
    if len(known) < len(matches):
        return _difference(reading.found[matches.index(None)], truths)
    if any(found.later and known[k] >= known[k + 1] for k, found in enumerate(reading.found[1:])):
        return "volumes in another order"
    if len(set(known)) < len(known):
        return "a volume twice"
    misplaced = [name for name, found in reading.roles if match(found, [t for t in truths if t.name == name]) is None]
    return f"another volume as {' '.join(misplaced)}" if misplaced else ""


def match(found: Found, truths: Sequence[Truth]) -> int | None:
    """Index of the true volume that ``found`` is, in whatever order its axes run; None when it is none of them."""
    for index, truth in enumerate(truths):
        turned = _on_grid(found, truth)
        tolerance = SIGNAL_ROUNDING + SIGNAL_TOLERANCE * np.abs(truth.signal)
        if turned is not None and np.all(np.abs(turned - truth.signal) <= tolerance):
            return index
    return None


def _on_grid(found: Found, truth: Truth) -> NDArray | None:
    """Turn and flip the voxels of ``found`` into the grid of ``truth``; None when they lie elsewhere."""
    if found.signal.ndim != 3 or abs(np.linalg.det(found.affine)) == 0:
        return None
    steps = np.linalg.solve(truth.affine, found.affine)
    order = np.round(steps[:3, :3]).astype(int)
    if not (np.abs(order).sum(axis=0) == 1).all() or not (np.abs(order).sum(axis=1) == 1).all():
        return None
    axes = np.abs(order).argmax(axis=1)  # axis of `found` that runs along each axis of `truth`
    turned = found.signal.transpose(2, 1, 0).transpose(axes)
    turned = turned[tuple(slice(None, None, int(order[k, axes[k]])) for k in range(3))].transpose(2, 1, 0)
    if turned.shape != truth.signal.shape:
        return None
    shape = np.array(truth.signal.shape[::-1])
    corners = np.array([[0, 0, 0, 1], [*(shape - 1), 1]], dtype=float)
    flip = np.eye(4)
    flip[:3, :3] = order
    flip[:3, 3] = [shape[k] - 1 if order[k, axes[k]] < 0 else 0 for k in range(3)]
    placed = corners @ (found.affine @ np.linalg.inv(flip)).T
    return turned if np.abs(placed - corners @ truth.affine.T).max() <= POSITION_TOLERANCE_MM else None


def _difference(found: Found, truths: Sequence[Truth]) -> str:
    """How a wrong volume differs, in a few words."""
    steps = np.linalg.norm(found.affine[:3, :3], axis=0)
    size = " x ".join(map(str, found.signal.shape[::-1]))
    if found.signal.ndim != 3:
        return f"{size} values"
    if not truths:
        return f"a volume of {found.signal.shape[0]} slices, step {steps[2]:.2f} mm"
    like = truths[0]
    if sorted(found.signal.shape) != sorted(like.signal.shape):
        return f"{size} voxels, step {steps[2]:.2f} mm"
    if _on_grid(found, Truth("", np.zeros(like.signal.shape), like.affine)) is None:
        return f"in another place, step {steps[2]:.2f} mm"
    return "other voxels"
