import math

import pytest
import torch
from monai.engines import SupervisedTrainer

from mpmri_monai.errors import ConfigError
from mpmri_monai.training import GradientClipping


def moved_by_one_step(norm, slope):
    """Distance that plain descent with a learning rate of 1 moves two weights with the gradient (3, 4) · slope."""
    network = torch.nn.Linear(2, 1, bias=False)
    before = network.weight.detach().clone()
    trainer = SupervisedTrainer(
        device="cpu",
        max_epochs=1,
        train_data_loader=[(torch.tensor([[3.0, 4.0]]), torch.zeros(1, 1))],
        network=network,
        optimizer=torch.optim.SGD(network.parameters(), lr=1.0),
        loss_function=lambda predicted, _: slope * predicted.sum(),
        train_handlers=[GradientClipping(norm)],
        decollate=False,
    )
    trainer.run()
    step = before - network.weight.detach()
    torch.testing.assert_close(step / step.norm(), torch.tensor([[0.6, 0.8]]))
    return step.norm().item()


@pytest.mark.parametrize(
    ("norm", "slope", "moved"), [(1.0, 100.0, 1.0), (2.5, 1.0, 2.5), (2.5, 0.1, 0.5), (0.0, 100.0, 500.0)]
)
def test_a_step_is_no_longer_than_the_norm_and_keeps_its_direction(norm, slope, moved):
    assert moved_by_one_step(norm, slope) == pytest.approx(moved, rel=1e-5)


@pytest.mark.parametrize("norm", [-1.0, math.nan, math.inf])
def test_what_is_no_length_is_refused(norm):
    with pytest.raises(ConfigError, match="gradient_norm"):
        GradientClipping(norm)
