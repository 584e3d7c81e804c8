"""Gradients that are too long for a step."""

from __future__ import annotations

import math

from ignite.engine import Engine
from monai.engines import IterationEvents
from torch.nn.utils import clip_grad_norm_

from mpmri_monai.errors import ConfigError


class GradientClipping:
    """Handler that shortens all gradients together to a largest Euclidean norm, before each step.

    From Pascanu et al. 2013, algorithm 1 (https://arxiv.org/abs/1211.5063). An embedding and a classifier without
    anything between them are a product of two matrices: each one's gradient grows with the other, and a step that is
    too long makes the next one longer.

    Args:
        norm: the largest one; 0 leaves gradients as they are.

    Raises:
        ConfigError: no such length.
    """

    def __init__(self, norm: float) -> None:
        if not 0 <= norm < math.inf:
            raise ConfigError(expected="a gradient_norm of 0 (none) or more", found=str(norm), code="E_OPTION")
        self.norm = norm

    def attach(self, engine: Engine) -> None:
        if self.norm:
            engine.add_event_handler(IterationEvents.BACKWARD_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        clip_grad_norm_(engine.network.parameters(), self.norm)
