"""The loss from log-sigmoids against torch's own from logits."""

import pytest
import torch
from torch.nn import functional

from mpmri_monai.training.sigmoid_loss import SigmoidLoss

LABELS = torch.tensor([0, 1, 1, 0, 1])


def logits(scale):
    values = scale * torch.randn(5, 2, generator=torch.Generator().manual_seed(0))
    return values.requires_grad_()


@pytest.mark.parametrize("scale", [1.0, 5.0, 20.0])
def test_it_and_its_gradient_are_those_of_the_logits(scale):
    ours, theirs = logits(scale), logits(scale)
    loss = SigmoidLoss()(functional.logsigmoid(ours), LABELS)
    truth = functional.one_hot(LABELS, 2).float()
    wanted = functional.binary_cross_entropy_with_logits(theirs, truth)
    torch.testing.assert_close(loss, wanted)
    loss.backward()
    wanted.backward()
    torch.testing.assert_close(ours.grad, theirs.grad)


@pytest.mark.parametrize("value", [-1000.0, 1000.0])
def test_it_stays_finite_however_sure_the_network_is(value):
    sure = torch.full((5, 2), value, requires_grad=True)
    loss = SigmoidLoss()(functional.logsigmoid(sure), LABELS)
    loss.backward()
    assert loss.isfinite() and sure.grad.isfinite().all()


def test_weights_count_a_class_as_often_as_copies_of_its_samples():
    outputs = functional.logsigmoid(logits(1.0))
    weighted = SigmoidLoss(torch.tensor([3.0, 1.0]))(outputs, LABELS)
    copies = torch.cat([outputs, outputs[LABELS == 0], outputs[LABELS == 0]])
    torch.testing.assert_close(weighted, SigmoidLoss()(copies, torch.cat([LABELS, torch.zeros(4, dtype=int)])))
