"""A detector slid over an organ: 2.5D windows cut exactly as training samples are, a map of probabilities, candidates.

On each slice of the reference and for each box size one large crop is taken by the sampling's own steps. The windows of
that size lie whole pixels apart in it, so that each is a part of it, and equals the sample that would be taken there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter
from torch import Tensor, nn
from torch.nn import functional

from mpmri_monai.errors import MaskError
from mpmri_monai.samples.intensity import Window, intensity_windows
from mpmri_monai.samples.locate import reference_planes
from mpmri_monai.samples.organ_planes import corners_mm, planes_through
from mpmri_monai.samples.plane import CropPlane, ParallelPlanes
from mpmri_monai.samples.resample import Footprint, footprint, show
from mpmri_monai.samples.sample import PRESENT_FRACTION
from mpmri_monai.samples.settings import Settings
from mpmri_monai.training.inferer import Inferer, lay_out
from mpmri_monai.volumes import Geometry, Mask, Stack

STRIDE = 1 / 3
"""Distance between windows, as a share of their box."""
SIZE_STEP = 2**0.5
"""Largest ratio of one box size to the next: some box is then within 19 % of a lesion's extent."""
PASSED_OVER = 0.01
"""Between windows that score lower than this no others are looked at: a lesion that is seen a third of a box off its
middle scores more."""
BATCH = 256
"""Windows that go through the network at once; bounds the memory."""
MOST_CANDIDATES = 30
"""Candidates kept of a study, best first: more than anyone looks at, and enough for a curve."""


@dataclass(frozen=True, eq=False)
class Detector:
    """A trained network that tells lesions from background, and how it sees a place.

    Attributes:
        network: maps windows (batch, channel, row, column) to logits (batch, class).
        inferer: runs it as it was run for its predictions.
        fusion: the sequences that are its channels.
        settings: how its samples were taken; the box of a window is its ``pixels`` wide.
        window: side of what the inferer takes, in pixels: the box alone, or for averaging the stored crop.
        finding: index of the class that is looked for.
        sizes_mm: sides of the boxes to try.
    """

    network: nn.Module
    inferer: Inferer
    fusion: tuple[str, ...]
    settings: Settings
    window: int
    finding: int
    sizes_mm: tuple[float, ...]


@dataclass(frozen=True)
class Candidate:
    """A place that looks like a lesion."""

    center_mm: tuple[float, float, float]
    """RAS+."""
    size_mm: float
    """Side of the box; the height is taken to be the same."""
    score: float
    """Mean probability (0…1) over the slices through it. It ranks; how often such a place is a lesion it does not say,
    for training saw lesions far more often than a study shows them."""


@dataclass(frozen=True, eq=False)
class Found:
    """What a search came to."""

    candidates: tuple[Candidate, ...]
    """Best first."""
    probability_map: Stack
    """The highest probability of any box size at each place; 0 where nothing was searched."""
    windows: int
    """How many went through the network."""
    reached: float
    """Share (0…1) of the region that lies within half a slice spacing of a slice that was searched."""


@dataclass(frozen=True, eq=False)
class Lattice:
    """The windows of one box size: centres on a square grid, the same on every plane."""

    size_mm: float
    step_mm: float
    across: NDArray[np.float64]
    """(column,): mm along the planes' row direction."""
    down: NDArray[np.float64]
    """(row,): mm along the planes' column direction."""
    probability: NDArray[np.float64]
    """(plane, row, column); NaN where there was nothing to look at."""
    looked: int
    """How many windows went through the network."""


def box_sizes_mm(smallest: float, largest: float, settings: Settings) -> tuple[float, ...]:
    """Return sides of boxes, evenly spaced on a logarithmic scale, that suit lesions from ``smallest`` to ``largest``
    (mm); no smaller than those that samples of lesions were cut with."""
    smallest, largest = (max(extent, settings.minimum_box_mm) for extent in (smallest, largest))
    count = max(1, int(np.ceil(np.log(largest / smallest) / np.log(SIZE_STEP))))
    return tuple(float(smallest * (largest / smallest) ** ((i + 0.5) / count)) for i in range(count))


@torch.no_grad()
def search(stacks: Mapping[str, Stack], region: Mask, detector: Detector, device: str | torch.device = "cpu") -> Found:
    """Slide a detector over a region of a study.

    A window is looked at where its centre lies in the region and a sequence of the fusion covers half of its box, as in
    training. Windows of a size are averaged over the slices that a ball of that size cuts, as the slices of a lesion
    are.

    Args:
        stacks: the sequences; of those beside the fusion, the references give the slices, and all phases count for a
            common intensity window.
        region: the organ to search, or the body.
        detector: looks.
        device: where the network runs.

    Raises:
        MaskError: E_MASK_OUT: no slice cuts the region, or no sequence of the fusion covers it.
    """
    planes = planes_through(region, reference_planes(stacks))
    if not len(planes.offsets_mm):
        raise _outside()
    settings = detector.settings
    windows = intensity_windows(stacks, settings.trim, settings.joint_dce, settings.window)
    seen = {name: (stacks[name], windows[name]) for name in detector.fusion if name in stacks}
    lay_out(detector.network.to(device).eval())
    lattices = [_slide(size, planes, region, seen, detector, device) for size in detector.sizes_mm]
    looked = sum(lattice.looked for lattice in lattices)
    if not looked:
        raise _outside()
    return Found(
        candidates=_candidates(lattices, planes),
        probability_map=_map(lattices, planes),
        windows=looked,
        reached=_reached(region, planes),
    )


def _slide(
    size_mm: float,
    planes: ParallelPlanes,
    region: Mask,
    seen: Mapping[str, tuple[Stack, Window]],
    detector: Detector,
    device: str | torch.device,
) -> Lattice:
    """Return the probabilities of all windows of one size."""
    pixels = detector.settings.pixels
    pitch, step = size_mm / pixels, max(1, round(STRIDE * pixels))
    corners = corners_mm(region)
    axes = np.stack([planes.row_direction, planes.column_direction], axis=-1)
    low, high = (corners @ axes).min(axis=0), (corners @ axes).max(axis=0)
    middle, reach = (low + high) / 2, int(np.ceil((high - low).max() / 2 / (step * pitch)))
    steps = np.arange(-reach, reach + 1) * step * pitch
    across, down = middle[0] + steps, middle[1] + steps
    probability, looked = np.full((len(planes.offsets_mm), len(down), len(across)), np.nan), 0
    for k, offset in enumerate(planes.offsets_mm):
        crop = CropPlane(
            centre_mm=planes.point(*middle, offset),
            row_direction=planes.row_direction,
            column_direction=planes.column_direction,
            pitch_mm=pitch,
            pixels=2 * reach * step + detector.window,
        )
        centres = (
            offset * planes.normal
            + down[:, None, None] * planes.column_direction
            + across[None, :, None] * planes.row_direction
        )
        wanted = region.contains(centres)
        if wanted.any():
            image, covered = _take(crop, seen, detector.fusion, detector.settings, planes.spacing_mm)
            present = _shares(covered, detector, step) >= PRESENT_FRACTION
            probability[k], count = _Slice(image, present, step, size_mm, detector, device).look(wanted)
            looked += count
    return Lattice(size_mm, step * pitch, across, down, probability, looked)


def _take(
    plane: CropPlane,
    seen: Mapping[str, tuple[Stack, Window]],
    fusion: Sequence[str],
    settings: Settings,
    slab_mm: float,
) -> tuple[Tensor, Tensor]:
    """Return a crop of every sequence of the fusion, and where it is covered: both (channel, row, column)."""
    image, covered = np.zeros((len(fusion), *plane.shape), np.float32), np.zeros((len(fusion), *plane.shape), bool)
    places: dict[tuple, Footprint] = {}
    for i, name in enumerate(fusion):
        if name not in seen:
            continue
        stack, window = seen[name]
        grid = (stack.geometry.affine.tobytes(), stack.geometry.shape)
        if grid not in places:
            places[grid] = footprint(stack.geometry, plane, settings.through_plane, slab_mm)
        crop = show(stack, places[grid], window)
        image[i], covered[i] = crop.image, crop.covered
    return torch.from_numpy(image), torch.from_numpy(covered)


def _shares(covered: Tensor, detector: Detector, step: int) -> Tensor:
    """Return how much of the box of each window of a large crop is covered (0…1): (channel, row, column)."""
    pixels, margin = detector.settings.pixels, (detector.window - detector.settings.pixels) // 2
    seen = covered[:, margin : covered.shape[1] - margin, margin : covered.shape[2] - margin]
    return functional.avg_pool2d(seen.float(), kernel_size=pixels, stride=step)


@dataclass(frozen=True, eq=False)
class _Slice:
    """The windows of one size on one slice."""

    image: Tensor
    """(channel, row, column) of one large crop."""
    present: Tensor
    """(channel, row, column) of the lattice."""
    step: int
    size_mm: float
    detector: Detector
    device: str | torch.device

    def probability(self, wanted: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Return the probability at the wanted windows (row, column); NaN at the others."""
        side = self.detector.window
        windows = self.image.unfold(1, side, self.step).unfold(2, side, self.step)
        rows, columns = torch.nonzero(torch.from_numpy(wanted), as_tuple=True)
        found = np.full(wanted.shape, np.nan)
        for row, column in zip(rows.split(BATCH), columns.split(BATCH), strict=True):
            if not len(row):
                continue
            present = self.present[:, row, column].T
            crops = windows[:, row, column].transpose(0, 1) * present[..., None, None]
            logits = self.detector.inferer(
                crops.to(self.device),
                self.detector.network,
                present=present.to(self.device),
                extent_mm=torch.full((len(row),), self.size_mm, dtype=torch.float32, device=self.device),
            )
            probability = torch.softmax(logits.double(), dim=1)[:, self.detector.finding]
            found[row.numpy(), column.numpy()] = probability.cpu().numpy()
        return found

    def look(self, wanted: NDArray[np.bool_]) -> tuple[NDArray[np.float64], int]:
        """Return the probability at the wanted windows, NaN where nothing covers them, and how many were looked at.

        Every second window along either axis comes first. The others follow where one beside them is not passed over;
        elsewhere the highest of those beside them stands for them.
        """
        usable = wanted & self.present.any(dim=0).numpy()
        coarse = np.zeros_like(usable)
        coarse[::2, ::2] = usable[::2, ::2]
        first = coarse | (usable & ~maximum_filter(coarse, 3))
        probability = self.probability(first)
        beside = maximum_filter(np.nan_to_num(probability), 3)
        second = usable & ~first & (beside >= PASSED_OVER)
        probability[second] = self.probability(second)[second]
        rest = usable & ~first & ~second
        probability[rest] = beside[rest]
        return probability, int(first.sum() + second.sum())


def _candidates(lattices: Sequence[Lattice], planes: ParallelPlanes) -> tuple[Candidate, ...]:
    """Return the best windows of all sizes, each about another place.

    Each is then moved to the mean of the windows of its size that it took away, weighted by their scores: a network is
    as sure of a lesion seen a little off its middle.
    """
    centres, sizes, scores = [], [], []
    for lattice in lattices:
        mean = _over_slices(lattice, planes.spacing_mm)
        k, row, column = np.nonzero(np.isfinite(mean))
        place = np.stack([lattice.across[column], lattice.down[row], planes.offsets_mm[k]], axis=-1)
        centres.append(place @ np.stack([planes.row_direction, planes.column_direction, planes.normal]))
        sizes.append(np.full(len(k), lattice.size_mm))
        scores.append(mean[k, row, column])
    centre, size, score = np.concatenate(centres), np.concatenate(sizes), np.concatenate(scores)
    found = []
    for best, same in _suppress(centre, size, score):
        alike = same[size[same] == size[best]]
        middle = np.average(centre[alike], axis=0, weights=score[alike] + np.finfo(float).tiny)
        found.append(Candidate(tuple(map(float, middle)), float(size[best]), float(score[best])))
    return tuple(found)


def _suppress(
    centre: NDArray[np.float64], size: NDArray[np.float64], score: NDArray[np.float64]
) -> Iterator[tuple[int, NDArray[np.int_]]]:
    """Yield, best first, the windows that stay when each takes away those about the same place, and which these are,
    itself among them.

    They are about the same place when the balls as wide as their boxes overlap. Boxes come out smaller than the lesions
    in them, so that those of lesions that touch do not. Were some overlap allowed, a large lesion would be found
    several times, by the best box and by small ones at its rim.
    """
    left = np.argsort(-score, kind="stable")
    for _ in range(MOST_CANDIDATES):
        if not len(left):
            return
        best = int(left[0])
        same = np.linalg.norm(centre[left] - centre[best], axis=1) < (size[left] + size[best]) / 2
        yield best, left[same]
        left = left[~same]


def _over_slices(lattice: Lattice, spacing_mm: float) -> NDArray[np.float64]:
    """Return the mean over the slices that a ball of the box's size cuts, weighted by the areas that it has in them; of
    the slices that were looked at."""
    probability, radius = lattice.probability, lattice.size_mm / 2
    half = int(radius / spacing_mm)
    area = 1 - (np.arange(-half, half + 1) * spacing_mm / radius) ** 2
    padded = np.pad(probability, ((half, half), (0, 0), (0, 0)), constant_values=np.nan)
    near = np.lib.stride_tricks.sliding_window_view(padded, 2 * half + 1, axis=0)
    weight = np.where(np.isfinite(near), area, 0.0)
    total = (np.nan_to_num(near) * weight).sum(axis=-1)
    with np.errstate(invalid="ignore"):
        return np.where(np.isfinite(probability), total / weight.sum(axis=-1), np.nan)


def _map(lattices: Sequence[Lattice], planes: ParallelPlanes) -> Stack:
    """Return the highest probability at the places of the finest lattice, each taken from the nearest window."""
    finest = lattices[int(np.argmin([lattice.step_mm for lattice in lattices]))]
    shape = (len(planes.offsets_mm), len(finest.down), len(finest.across))
    best = np.zeros(shape, np.float32)
    for lattice in lattices:
        row = np.rint((finest.down - lattice.down[0]) / lattice.step_mm).astype(int).clip(0, len(lattice.down) - 1)
        column = np.rint((finest.across - lattice.across[0]) / lattice.step_mm).astype(int)
        column = column.clip(0, len(lattice.across) - 1)
        best = np.fmax(best, lattice.probability[:, row[:, None], column]).astype(np.float32)
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1] = planes.row_direction * finest.step_mm, planes.column_direction * finest.step_mm
    affine[:3, 2] = planes.normal * planes.spacing_mm
    affine[:3, 3] = planes.point(finest.across[0], finest.down[0], planes.offsets_mm[0])
    return Stack(best, np.ones(shape[0]), np.zeros(shape[0]), Geometry(affine, shape[::-1]))


def _reached(region: Mask, planes: ParallelPlanes) -> float:
    heights, offsets = region.points_mm() @ planes.normal, planes.offsets_mm
    after = np.searchsorted(offsets, heights).clip(0, len(offsets) - 1)
    before = (after - 1).clip(0)
    apart = np.minimum(np.abs(offsets[after] - heights), np.abs(offsets[before] - heights))
    return float(np.mean(apart <= planes.spacing_mm / 2))


def _outside() -> MaskError:
    return MaskError(
        expected="a region to search that the images cover",
        found="one outside all of them",
        fix="check that mask and images belong to the same study",
        code="E_MASK_OUT",
    )
