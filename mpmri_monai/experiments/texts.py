"""Numbers as the cells of an experiment's tables show them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

NOT_DEFINED = "not defined"


def with_interval(metric: Mapping[str, Any], key: str = "value") -> str:
    """Return ``0.812 [0.701, 0.893]`` of a metric with ``low`` and ``high``, any of which may be None."""
    if metric[key] is None:
        return NOT_DEFINED
    if metric.get("low") is None or metric.get("high") is None:
        return f"{metric[key]:.3f} [no interval]"
    return f"{metric[key]:.3f} [{metric['low']:.3f}, {metric['high']:.3f}]"
