"""All cases of the fault matrix, in the order of its table."""

from __future__ import annotations

from faults import split_cases, stack_cases  # noqa: F401  (each module adds its cases)
from faults.case import CASES, Case

__all__ = ["CASES", "Case"]
