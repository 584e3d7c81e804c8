"""Seeds and threads: what makes two runs give the same bytes."""

from __future__ import annotations

import os

import numpy as np
import torch
from monai.utils import set_determinism

from mpmri_monai.errors import ConfigError


def seed_for(*parts: int) -> int:
    """Return a 32-bit seed that depends on all ``parts``, such as the run's seed and the epoch."""
    return int(np.random.SeedSequence([int(part) for part in parts]).generate_state(1)[0])


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and torch, and keep to deterministic algorithms where torch has them."""
    if not 0 <= seed < 2**32:
        raise ConfigError(expected="a seed from 0 to 4294967295", found=str(seed))
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS is deterministic only with a workspace
    set_determinism(seed=seed, use_deterministic_algorithms=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # a debugging aid that costs time and changes nothing


def pin_threads(threads: int) -> None:
    """Use ``threads`` CPU threads: sums in another order round differently, so the number is part of the result."""
    if threads < 1:
        raise ConfigError(expected="at least 1 thread", found=str(threads))
    torch.set_num_threads(threads)
