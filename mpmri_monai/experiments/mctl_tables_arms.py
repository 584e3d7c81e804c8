"""What the comparison compares: the paper's baselines, its network from both starts, and a modern one beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mpmri_monai.bundle.provenance import SCRATCH

CLASSICAL = "classical classifiers on voxels and on autoencoder features"
MCTL = "MCTL, both starts"
FROZEN = 0
"""``finetune_depth`` of a classical head: no layer is tuned."""


@dataclass(frozen=True)
class Arm:
    """One way to classify the same crops.

    Attributes:
        name: of its runs.
        title: in words.
        group: of arms that take about as long, in words.
        options: overrides of the training configuration that make it.
        transferred: it begins with the autoencoder's convolutions; else from scratch.
        published: accuracy in the paper, in percent.
    """

    name: str
    title: str
    group: str
    options: Mapping[str, Any]
    transferred: bool = False
    published: str = ""

    def start(self, encoder: str) -> dict[str, Any]:
        """Return the overrides that make the arm, where ``encoder`` is the file of the autoencoder's convolutions."""
        return {**self.options, "pretrained": encoder if self.transferred else SCRATCH}


def _classical(head: str, title: str, published: str) -> tuple[Arm, Arm]:
    """Return one of the paper's classical baselines, on both kinds of features; it does not say which it had."""
    common = {"architecture": "mctl", "head": head, "finetune_depth": FROZEN}
    on_voxels, on_features = ({**common, "features": kind} for kind in ("voxels", "network"))
    return (
        Arm(f"{head}-voxels", f"{title} on voxels", CLASSICAL, on_voxels, False, published),
        Arm(f"{head}-features", f"{title} on autoencoder features", CLASSICAL, on_features, True, published),
    )


BASELINES = (
    *_classical("svm", "SVM", "87–89"),
    *_classical("knn", "k nearest neighbours", "85–86"),
    *_classical("naive_bayes", "naive Bayes", "78–83"),
)
DENSE = Arm("dense", "dense network", "dense network", {"architecture": "dense"}, published="89–91")
CNN = Arm("cnn", "CNN", "CNN", {"architecture": "cnn"}, published="91–93")
RANDOM = Arm(
    "mctl-random", "MCTL, random start", "MCTL, both starts", {"architecture": "mctl"}, published="1.5 points less"
)
TRANSFERRED = Arm(
    "mctl-transferred", "MCTL, transferred", "MCTL, both starts", {"architecture": "mctl"}, True, "93.2–94"
)
RESNET = Arm("resnet10", "3D ResNet-10 with SPP", "3D ResNet-10 with SPP", {"architecture": "resnet10"})

NETWORKS = (DENSE, CNN, RANDOM, TRANSFERRED, RESNET)
ARMS = (*BASELINES, *NETWORKS)
"""In the order of the paper's table 3, the modern reference last."""
EXAMPLES = {arm.group: arm for arm in (RANDOM, BASELINES[0], DENSE, CNN, RESNET)}
"""An arm of each group that can be timed before there is an autoencoder; groups are trained in this order."""

PUBLISHED_TASK = "brain"
"""The paper's numbers stand beside those of its own question alone."""
PUBLISHED_MCTL = {"sensitivity": "78–85", "specificity": "61–73"}
"""Of the paper's MCTL, in percent."""
PUBLISHED_GAIN = "1.5 points"
"""Accuracy that transfer adds to a random start in the paper."""
