"""Successive halving: many candidates get little training, the better ones more (Jamieson and Talwalkar 2016)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from mpmri_monai.errors import ConfigError

KEPT = 3
"""One candidate in so many goes on to the next rung: of 84 fusions 28, then 10."""


@dataclass(frozen=True)
class Rung:
    """One round of the search."""

    number: int
    epochs: int
    candidates: int
    """How many are trained for so many epochs; the best of the last rung wins."""


def rungs(candidates: int, epochs: Sequence[int]) -> list[Rung]:
    """Return the rounds of a search among so many candidates.

    Args:
        candidates: at least one.
        epochs: of each rung, growing; rungs that only one candidate would reach are left out, the first is not.

    Raises:
        ConfigError: no candidate, or epochs that do not grow.
    """
    if candidates < 1:
        raise ConfigError(expected="at least 1 candidate", found="none", code="E_OPTION")
    if not epochs or min(epochs) < 1 or any(b <= a for a, b in pairwise(epochs)):
        found = ",".join(map(str, epochs)) or "none"
        raise ConfigError(expected="numbers of epochs that grow, such as 4,10,30", found=found, code="E_OPTION")
    sizes = [math.ceil(candidates / KEPT**number) for number in range(len(epochs))]
    return [
        Rung(number, count, size)
        for number, (count, size) in enumerate(zip(epochs, sizes, strict=True))
        if size > 1 or number == 0
    ]


def best_first(values: Mapping[str, float]) -> list[str]:
    """Return all candidates, the best first; ties keep their order, and those of value NaN come last.

    A value is NaN when the candidate could not be scored, because a training failed or a class was missing.
    """
    scored = [name for name in values if not math.isnan(values[name])]
    unscored = [name for name in values if math.isnan(values[name])]
    return sorted(scored, key=values.__getitem__, reverse=True) + unscored
