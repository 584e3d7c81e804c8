"""A network whose answer is known in closed form, so that its explanations are."""

import pytest
import torch
from torch import nn

from mpmri_monai.networks.layered import LayeredNetwork


class Brightness(LayeredNetwork):
    """Logit of class 1: the weighted brightness of each channel inside a square; of class 0: nothing.

    ``maps`` are the channels themselves through a convolution by 1, so that a Grad-CAM of them is the image itself.
    """

    layer_parts = {"stem": ("absent", "maps"), "head": ("classifier",)}  # noqa: RUF012

    def __init__(self, weights, square=(slice(8, 16), slice(20, 28))):
        super().__init__(len(weights))
        self.maps = nn.Conv2d(len(weights), len(weights), 1, groups=len(weights), bias=False)
        nn.init.ones_(self.maps.weight)
        self.classifier = nn.Linear(len(weights), 2, bias=False)
        self.classifier.weight.data = torch.stack([torch.zeros(len(weights)), torch.tensor(weights)])
        self.square = square

    def forward(self, image, present=None, extent_mm=None):
        maps = self.maps(self.fill_absent(image, present))
        return self.classifier(maps[..., *self.square].mean(dim=(-2, -1)))


@pytest.fixture
def brightness():
    return Brightness
