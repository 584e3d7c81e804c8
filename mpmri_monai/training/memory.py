"""Memory that one training step frees and the next one needs again."""

from __future__ import annotations

import ctypes

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
"""Numbers of two parameters of glibc's ``mallopt``."""
KEPT_BYTES = 2**31 - 1
"""Free memory that the process keeps: the most that ``mallopt`` takes."""
LARGEST_BYTES = 2**28
"""Pieces below this are kept; larger ones, as of a whole cohort, go back to the system when they are freed."""


def keep_memory() -> None:
    """Let the C library keep freed memory in place of handing it back to the system after each training step.

    The maps of 3D convolutions are tens of MB: to get fresh pages for them took a quarter of the time of a step (on one
    CPU core 349 instead of 264 ms with 16 crops of 28×28×28 voxels, 231 instead of 182 with 64 patches of 25×25×4).
    Where the C library is another one than glibc, nothing is changed.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(TRIM_THRESHOLD, KEPT_BYTES)
        mallopt(MMAP_THRESHOLD, LARGEST_BYTES)
