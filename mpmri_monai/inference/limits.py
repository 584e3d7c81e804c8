"""What training has seen, and why an answer is withheld: uncertain, too small, or outside of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mpmri_monai.evaluation.shift import same_start
from mpmri_monai.inference.model import TrainedModel
from mpmri_monai.samples.sample import Sample

EXTENT_SHARE = 0.1
"""A lesion may be this share smaller than the smallest of training, or larger than the largest: two readers' outlines
of one lesion differ by about as much."""

OFFSET_MM = 1.5
"""Slices may lie this much farther from the position asked for than in training: a quarter of a 6 mm slice."""

ROUNDING_MM = 0.05
"""Offsets are told to 0.1 mm; what is less than half of that is none."""

SIGNAL_FACTOR = 2.0
"""Signal is in the scanner's units, which receive gain and rescaling change freely, and it is normalised before the
network sees it. Only beyond this factor does it speak of another kind of image."""

CERTAIN = 0.95
"""An answer this probable is never withheld as uncertain: the least certain tenth of a network that is nearly always
right may lie far above."""

TIME_S = 10.0
"""A phase may be this much earlier or later than any of training: about the spread of arrival times of contrast."""


@dataclass(frozen=True)
class Outside:
    """Something about a lesion that training has not seen."""

    text: str
    far: bool
    """Whether it is beyond what is tolerated, so that no class is named."""


def outside_training(
    samples: Sequence[Sample], model: TrainedModel, times_s: Mapping[str, float]
) -> tuple[Outside, ...]:
    """Compare the samples of one lesion with the ranges of the reference.

    The pitch of the network's pixels follows from the extent, or is fixed by the settings, so it is not compared again.

    Args:
        samples: of the lesion, at least one.
        model: whose reference holds ``ranges``.
        times_s: sequence -> seconds since the first phase, where known.
    """
    ranges = model.reference["ranges"]
    dropped = bool(model.reference.get("sequence_dropout"))
    if not same_start(ranges.get("timing", {}), times_s):
        times_s = {}
    found = [*_extent(samples[0].extent_mm, ranges.get("extent_mm"))]
    for name in model.fusion:
        index = samples[0].sequences.index(name)
        seen = [sample for sample in samples if sample.present[index]]
        if seen:
            offset = float(np.max([sample.offset_mm[index] for sample in seen]))
            signal = float(np.mean([sample.signal[index] for sample in seen]))
            found += _offset(name, offset, ranges.get("offset_mm", {}).get(name))
            found += _signal(name, signal, ranges.get("signal", {}).get(name))
            found += _time(name, times_s.get(name), ranges.get("timing", {}).get(name))
        elif name in model.required and model.reference["present"][name] == 1 and not dropped:
            found.append(Outside(f"{name} is missing, which training never saw", True))
    return tuple(found)


def why_abstain(certainty: float, model: TrainedModel, outside: Sequence[Outside]) -> str | None:
    """Return why no class is named, in words; None when one is.

    Args:
        certainty: highest probability, calibrated where it can be.
        model: with the threshold of certainty.
        outside: as of `outside_training`.
    """
    reasons = [one.text for one in outside if one.far]
    threshold = model.certainty_threshold
    if threshold is not None and certainty < min(threshold, CERTAIN):
        reasons.append(
            f"uncertain: the highest probability is {certainty:.2f}, and below {min(threshold, CERTAIN):.2f} no class "
            "is named"
        )
    return "; ".join(reasons) or None


def _extent(extent: float, seen: Sequence[float] | None) -> Iterator[Outside]:
    if not seen:
        return
    low, high = seen
    span = f"while training saw {low:.1f} to {high:.1f} mm"
    if extent < low:
        yield Outside(f"too small: it measures {extent:.1f} mm, {span}", extent < low * (1 - EXTENT_SHARE))
    elif extent > high:
        yield Outside(f"too large: it measures {extent:.1f} mm, {span}", extent > high * (1 + EXTENT_SHARE))


def _offset(name: str, offset: float, seen: Sequence[float] | None) -> Iterator[Outside]:
    """Slices nearer to the position asked for than in training are no worse, so there is no lower end."""
    if seen and offset > seen[1] + ROUNDING_MM:
        text = f"{name} was acquired up to {offset:.1f} mm off the lesion's slices, while training saw {seen[1]:.1f} mm"
        yield Outside(text, offset > seen[1] + OFFSET_MM)


def _signal(name: str, signal: float, seen: Sequence[float] | None) -> Iterator[Outside]:
    if seen and not seen[0] <= signal <= seen[1]:
        text = f"the signal of {name} in the lesion is {signal:.4g}, while training saw {seen[0]:.4g} to {seen[1]:.4g}"
        low, high = seen
        lowest, highest = min(low / SIGNAL_FACTOR, low * SIGNAL_FACTOR), max(high / SIGNAL_FACTOR, high * SIGNAL_FACTOR)
        yield Outside(text, not lowest <= signal <= highest)


def _time(name: str, time: float | None, seen: Sequence[float] | None) -> Iterator[Outside]:
    if not seen:
        return
    if time is None:
        text = f"how long after training's first phase {name} was acquired is not known, so its phase was not compared"
        yield Outside(text, False)
    elif not seen[0] <= time <= seen[1]:
        text = f"{name} was acquired after {time:.1f} s, while training saw {seen[0]:.1f} to {seen[1]:.1f} s"
        yield Outside(text, not seen[0] - TIME_S <= time <= seen[1] + TIME_S)
