"""Freed memory is kept for the next step."""

import ctypes
import resource
import sys

import pytest
import torch

from mpmri_monai.training.memory import keep_memory

STEPS, NUMBERS, PAGE_BYTES = 20, 10_000_000, 4096
"""Of 40 MB: of pieces below 32 MB glibc keeps some by itself."""


@pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "mallopt"), reason="a C library without mallopt"
)
def test_memory_that_was_freed_costs_no_new_pages():
    keep_memory()
    torch.ones(NUMBERS)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(STEPS):
        torch.ones(NUMBERS)
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
    assert faults < 5 * torch.ones(NUMBERS).nbytes / PAGE_BYTES  # it may take a few steps until a place is found
