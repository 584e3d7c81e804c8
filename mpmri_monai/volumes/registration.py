"""The rigid motion of one sequence against another, found by mutual information and bounded by what breathing does.

Nothing is resampled here: a motion is applied by changing the affine of the sequence, so that its voxels stay what was
acquired.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product

import numpy as np
import SimpleITK as sitk
from numpy.typing import ArrayLike, NDArray

from mpmri_monai.volumes.boxes import Box, placed, reach, signal_of
from mpmri_monai.volumes.geometry import Geometry
from mpmri_monai.volumes.masks import Mask
from mpmri_monai.volumes.stack import Stack

MAX_SHIFT_MM = 30.0
"""A larger motion at the middle of the region is not believed; breathing deeply moves the liver by about 20 mm."""
MAX_ANGLE_DEG = 10.0
"""A larger turn is not believed: a patient who turned that far lies in another position."""
MARGIN_MM = 10.0
"""Tissue around the region that takes part: the boundary of an organ shows the motion, its inside little (mm)."""
CENTRAL = 0.6
"""Without a region the middle of the reference takes part: this share of its columns and of its rows."""
PITCH_MM = 2.5
"""Voxels are averaged to about this size before; finer ones cost time and show no breathing motion better (mm)."""
CLIPPED = 0.5
"""Percent of the voxels clipped at either end, so that a few bright vessels do not use up the histogram."""
BINS = 32
"""Bins of the joint histogram (Mattes et al., IEEE TMI 22(1), 2003), each way."""
SMOOTHING_MM = (4.0, 0.0)
"""Standard deviation of the Gaussian smoothing, from the coarse level to the fine one; the voxels are large already."""
SAMPLED = (0.5, 0.5)
"""Share of the voxels of the region that the metric is computed from, level by level."""
SEED = 20190
"""Of the draw of those voxels: the same images give the same motion."""
STEPS = 100
"""Most steps of the optimiser, each level."""
FIRST_STEP, LAST_STEP = 2.0, 0.01
"""Length of the optimiser's first step and of the one that it ends at (mm at the border of the images)."""
RELAXATION = 0.7
"""Factor on the step where the gradient turns back."""
LEAST_GAIN = 0.02
"""A motion has to raise the mutual information by this much (nats). Between unrelated images it rises by up to 0.003 by
chance; a motion of 1 mm between phases of one examination gains 0.1."""
NO_SHIFT_MM, NO_ANGLE_DEG = 1.0, 1.0
"""A motion below both that gains nothing means that the sequence lies where it belongs."""
LEAST_VOXELS = 1000
"""Fewer voxels of the reference in the region do not fill a joint histogram."""


@dataclass(frozen=True, eq=False)
class Motion:
    """Where a sequence belongs, seen from where the scanner put it."""

    matrix: NDArray[np.float64]
    """(4, 4), rigid: RAS+ mm as acquired -> RAS+ mm on the reference; the identity when refused."""
    refused: str | None = None
    """Why the motion that was found is not used."""

    def then(self, other: Motion) -> Motion:
        """Return this motion followed by another; refused when one of the two is."""
        return Motion(other.matrix @ self.matrix, self.refused or other.refused)

    def moved(self, geometry: Geometry) -> Geometry:
        """Return where the voxels of a grid lie after the motion."""
        return Geometry(self.matrix @ geometry.affine, geometry.shape)

    def shift_at(self, point_mm: ArrayLike) -> float:
        """Return how far (mm) the motion took what is now at a point (3,), RAS+ mm."""
        point = np.append(np.asarray(point_mm, dtype=np.float64), 1.0)
        return float(np.linalg.norm((point - np.linalg.solve(self.matrix, point))[:3]))


def find_motion(reference: Stack, moving: Stack, region: Mask | None = None) -> Motion:
    """Find the rigid motion that takes one sequence of a study onto another.

    Mutual information (Mattes et al. 2003) over the region and 10 mm around it, two levels of smoothing, gradient
    descent from the scanner's own position. The draw of voxels is seeded and the sums run in one thread, so the same
    images give the same motion to the last bit.

    Args:
        reference: stays where it is.
        moving: is moved.
        region: an organ that moves as one, such as the liver, in the space of the reference; without it the middle of
            the reference takes part.

    Returns:
        The motion. It is the identity where the sequence lies within 1 mm and 1° of where it fits best and would gain
        nothing. It is refused, and the identity, when it is larger than 30 mm or 10°, when it fits hardly better than
        the scanner's own position, or when the two share too little to tell.
    """
    box = _box(reference.geometry, region)
    fixed = _image(reference, box)
    inside = _inside(fixed, region)
    if np.count_nonzero(sitk.GetArrayViewFromImage(inside)) < LEAST_VOXELS:
        return _refusal("too small a region in common")
    needed = reach(moving.geometry, _corners_mm(fixed), MAX_SHIFT_MM)
    if needed is None:
        return _refusal("no region in common")
    return _register(fixed, inside, _image(moving, needed))


def _register(fixed: sitk.Image, inside: sitk.Image, moving: sitk.Image) -> Motion:
    middle = _middle_mm(inside)
    transform = sitk.Euler3DTransform()
    transform.SetCenter(middle)
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(BINS)
    method.SetMetricFixedMask(inside)
    method.SetMetricSamplingStrategy(method.RANDOM)
    method.SetMetricSamplingPercentagePerLevel(SAMPLED, SEED)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetShrinkFactorsPerLevel([1] * len(SMOOTHING_MM))
    method.SetSmoothingSigmasPerLevel(SMOOTHING_MM)
    method.SetSmoothingSigmasAreSpecifiedInPhysicalUnits(True)
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetOptimizerAsRegularStepGradientDescent(FIRST_STEP, LAST_STEP, STEPS, RELAXATION)
    method.SetInitialTransform(transform, inPlace=True)
    try:
        with _one_thread():
            before = method.MetricEvaluate(fixed, moving)
            method.Execute(fixed, moving)
            after = method.MetricEvaluate(fixed, moving)
    except RuntimeError:  # SimpleITK's only error: too few voxels of the region meet the moving image
        return _refusal("too small a region in common")
    return _judged(transform, middle, gain=before - after)  # the metric is the negative mutual information


@contextmanager
def _one_thread() -> Iterator[None]:
    """Run SimpleITK in one thread: the order in which several add up differs from run to run, and so does the motion.

    The number of threads of the method itself does not reach all of its parts.
    """
    threads = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    try:
        yield
    finally:
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(threads)


def _judged(transform: sitk.Euler3DTransform, middle: NDArray[np.float64], gain: float) -> Motion:
    """Return the motion of a transform from the reference to the moving image, or why it is refused."""
    onto_moving = np.eye(4)
    onto_moving[:3, :3] = np.reshape(transform.GetMatrix(), (3, 3))
    onto_moving[:3, 3] = transform.TransformPoint((0.0, 0.0, 0.0))
    shift = float(np.linalg.norm(np.array(transform.TransformPoint(middle.tolist())) - middle))
    angle = float(np.degrees(np.arccos(np.clip((np.trace(onto_moving[:3, :3]) - 1) / 2, -1, 1))))
    if shift > MAX_SHIFT_MM:
        return _refusal(f"a shift of {shift:.0f} mm, more than {MAX_SHIFT_MM:g}")
    if angle > MAX_ANGLE_DEG:
        return _refusal(f"a turn of {angle:.0f} degrees, more than {MAX_ANGLE_DEG:g}")
    if gain >= LEAST_GAIN:
        return Motion(np.linalg.inv(onto_moving))
    if shift <= NO_SHIFT_MM and angle <= NO_ANGLE_DEG:
        return Motion(np.eye(4))
    return _refusal("no place that fits clearly better than the scanner's")


def _refusal(why: str) -> Motion:
    return Motion(np.eye(4), why)


def _box(geometry: Geometry, region: Mask | None) -> Box:
    """Return the part (column, row, slice) of the reference that takes part."""
    if region is not None:
        return reach(geometry, _block_corners_mm(region), MARGIN_MM) or (slice(0, 1),) * 3
    columns, rows, slices = geometry.shape
    edge = (1 - CENTRAL) / 2
    return (
        slice(int(edge * columns), max(int((1 - edge) * columns), 1)),
        slice(int(edge * rows), max(int((1 - edge) * rows), 1)),
        slice(0, slices),
    )


def _block_corners_mm(mask: Mask) -> NDArray[np.float64]:
    """Return the centres (8, 3) of the corner voxels of the smallest block that holds a mask."""
    used = [np.flatnonzero(mask.voxels.any(axis=tuple({0, 1, 2} - {axis}))) for axis in (2, 1, 0)]
    return mask.geometry.to_mm(list(product(*((one[0], one[-1]) for one in used))))


def _image(stack: Stack, part: Box) -> sitk.Image:
    """Return the signal of a part of a stack in RAS+ mm, clipped, with voxels of about 2.5 mm in the slices."""
    signal = signal_of(stack, part)
    signal = np.clip(signal, *np.percentile(signal, (CLIPPED, 100 - CLIPPED)))
    image = placed(signal, stack.geometry, part)
    factors = [max(1, round(PITCH_MM / spacing)) for spacing in stack.geometry.spacing_mm]
    return sitk.BinShrink(image, [min(factor, size) for factor, size in zip(factors, image.GetSize(), strict=True)])


def _inside(fixed: sitk.Image, region: Mask | None) -> sitk.Image:
    """Return which voxels of the reference take part, as an image of 0 and 1."""
    if region is None:
        return sitk.Cast(fixed * 0 + 1, sitk.sitkUInt8)
    whole = tuple(slice(0, count) for count in region.geometry.shape)
    mask = placed(region.voxels.astype(np.uint8), region.geometry, whole)
    mask = sitk.Resample(mask, fixed, sitk.Transform(), sitk.sitkNearestNeighbor, 0)
    if not sitk.GetArrayViewFromImage(mask).any():
        return mask
    distance = sitk.SignedMaurerDistanceMap(mask, squaredDistance=False, useImageSpacing=True)
    return sitk.Cast(distance <= MARGIN_MM, sitk.sitkUInt8)


def _middle_mm(inside: sitk.Image) -> NDArray[np.float64]:
    """Return the centre of gravity of the voxels that take part."""
    index = np.argwhere(sitk.GetArrayViewFromImage(inside))[:, ::-1].mean(axis=0)
    return np.array(inside.TransformContinuousIndexToPhysicalPoint(index.tolist()))


def _corners_mm(image: sitk.Image) -> NDArray[np.float64]:
    last = [count - 1 for count in image.GetSize()]
    corners = product(*((0, end) for end in last))
    return np.array([image.TransformIndexToPhysicalPoint(corner) for corner in corners])
