"""Numbers as the cells of an experiment's tables show them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

NOT_DEFINED = "not defined"
NOTHING = "–"
"""In a cell that has nothing to say."""


def number(value: float, otherwise: str = NOTHING) -> str:
    """Return ``0.812``, or ``otherwise`` for NaN."""
    return otherwise if np.isnan(value) else f"{value:.3f}"


def value_range(values: Iterable[float]) -> str:
    """Return ``0.701–0.893``, the least and the greatest of the values; one of them where they are alike."""
    defined = [value for value in values if np.isfinite(value)]
    return "–".join(dict.fromkeys(f"{end(defined):.3f}" for end in (min, max))) if defined else NOT_DEFINED


def with_interval(metric: Mapping[str, Any], key: str = "value") -> str:
    """Return ``0.812 [0.701, 0.893]`` of a metric with ``low`` and ``high``, any of which may be None."""
    if metric[key] is None:
        return NOT_DEFINED
    if metric.get("low") is None or metric.get("high") is None:
        return f"{metric[key]:.3f} [no interval]"
    return f"{metric[key]:.3f} [{metric['low']:.3f}, {metric['high']:.3f}]"
