"""The loss of networks with one sigmoid a class: binary cross-entropy, from the logarithms of the sigmoids."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

LEAST_LOG = -torch.finfo(torch.float32).tiny
"""Logarithm of a sigmoid nearest to 0 that its complement is computed from: beyond, 1 − s is 0 in float32."""


class SigmoidLoss(nn.Module):
    """Binary cross-entropy of every output against its class, mean over classes and samples.

    The outputs are log s = logsigmoid(z). Their complement is log(1 − s) = log(−expm1(log s)), which stays exact where
    s is close to 0 or to 1.

    Args:
        weight: of each class (class,), given to all outputs of its samples; their mean is then weighted, as that of
            ``CrossEntropyLoss``.
    """

    def __init__(self, weight: Tensor | None = None) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, log_sigmoids: Tensor, label: Tensor) -> Tensor:
        """Return the loss of outputs (batch, class), logarithms of sigmoids, against class indices (batch,)."""
        log_rest = torch.log(-torch.expm1(log_sigmoids.clamp(max=LEAST_LOG)))
        true = functional.one_hot(label, log_sigmoids.shape[1]).bool()
        each = -torch.where(true, log_sigmoids, log_rest).mean(dim=1)
        if self.weight is None:
            return each.mean()
        of_sample = self.weight[label]
        return (each * of_sample).sum() / of_sample.sum()
