"""Fixed features and a classical classifier: what a network knows without being tuned at all (depth 0)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.utils.class_weight import compute_sample_weight
from threadpoolctl import threadpool_limits
from torch import Tensor, nn

from mpmri_monai.cohort.splits import kfold, patient_table, roles_of
from mpmri_monai.errors import ConfigError, SplitError
from mpmri_monai.sequences import Task
from mpmri_monai.training.dataset import SampleData, SampleDataset
from mpmri_monai.training.inferer import laid_out, lay_out
from mpmri_monai.training.loader import EvaluationLoader, prepare_batch
from mpmri_monai.transforms.batch import VIEWS, view

NETWORK_HEAD = "network"
CLASSICAL_HEADS = ("logistic", "svm", "forest")
HEADS = (NETWORK_HEAD, *CLASSICAL_HEADS)

FOLDS = 5
"""Most folds of patients that an SVM's probabilities are calibrated on."""
TREES = 300
MAX_ITERATIONS = 5000


class ClassicalNetwork(nn.Module):
    """A network whose last layer is a fitted scikit-learn classifier; it answers wherever a network does.

    Args:
        network: gives the features; left as it is.
        classifier: with classes 0, 1, … and ``predict_proba``.
    """

    def __init__(self, network: nn.Module, classifier: Pipeline) -> None:
        super().__init__()
        self.network, self.classifier = network, classifier

    def forward(self, image: Tensor, present: Tensor | None = None, extent_mm: Tensor | None = None) -> Tensor:
        """Return log-probabilities (batch, class), float64, in the place of logits; arguments as `SPPResNet`."""
        found = features(self.network, image, present, extent_mm)
        with threadpool_limits(1):
            probabilities = self.classifier.predict_proba(found)
        return torch.log(torch.as_tensor(probabilities, device=image.device))


@torch.no_grad()
def fit_classical(
    network: nn.Module,
    head: str,
    data: SampleData,
    task: Task,
    device: str | torch.device,
    size: int | Sequence[int],
    seed: int,
) -> ClassicalNetwork:
    """Fit a classical classifier on the network's features of training samples.

    Each sample is seen in its six views, which carry its label and together weigh as one sample. Features are
    standardised; classes weigh the same in all. ``logistic`` is a multinomial logistic regression (L2, C = 1),
    ``svm`` a support vector machine with a Gaussian kernel (C = 1), ``forest`` a random forest of ``TREES`` trees. The
    SVM's probabilities are sigmoids of its decision values (Platt, 1999; one class against the rest), fitted on
    patients that it was not trained on: up to ``FOLDS`` folds of the training patients, stratified by worst class.

    Args:
        network: gives the features: its embedding and, with ``size_feature``, the logarithm of the lesion's extent.
        head: one of ``CLASSICAL_HEADS``.
        data: the training samples; the table names ``patient`` and ``site``.
        task: names the classes of the labels.
        device: where the features are computed.
        size: of the network's input, as `as_size` takes it.
        seed: of the forest and of the folds.

    Raises:
        ConfigError: no such head, a class without a training sample, or too few patients to calibrate an SVM on.
    """
    if head not in CLASSICAL_HEADS:
        raise ConfigError(expected=f"a classical head among {', '.join(CLASSICAL_HEADS)}", found=repr(head))
    absent = [name for index, name in enumerate(task.classes) if index not in data.label]
    if absent:
        raise ConfigError(
            expected="training samples of every class", found=f"none of {', '.join(absent)}", code="E_CLASS_EMPTY"
        )
    seen, labels = _features_of_views(network, data, device, size), np.tile(data.label, VIEWS)
    steps = [("scale", StandardScaler()), ("head", _classifier(head, data, task, seed))]
    weights = compute_sample_weight("balanced", labels) / VIEWS
    # One thread: faster on matrices this small, and the sums do not depend on the machine's number of cores.
    with threadpool_limits(1):
        return ClassicalNetwork(network, Pipeline(steps).fit(seen, labels, head__sample_weight=weights))


def features(network: nn.Module, image: Tensor, present: Tensor | None, extent_mm: Tensor | None) -> np.ndarray:
    """Return what a classical head sees of a batch: float64 (batch, feature)."""
    found = network.embed(image, present)
    if network.size_feature:
        found = torch.cat([found, torch.log(extent_mm)[:, None]], dim=1)
    return found.double().cpu().numpy()


def _features_of_views(
    network: nn.Module, data: SampleData, device: str | torch.device, size: int | Sequence[int]
) -> np.ndarray:
    """Return the features of every sample in view 0, then of every sample in view 1, …: (view · sample, feature)."""
    lay_out(network.eval())
    found: list[list[np.ndarray]] = [[] for _ in range(VIEWS)]
    for batch in EvaluationLoader(SampleDataset(data, device), size=size):
        image, _, _, extra = prepare_batch(batch, device)
        for index, of_view in enumerate(found):
            seen = laid_out(view(image, index))
            of_view.append(features(network, seen, **extra))
    return np.concatenate([part for of_view in found for part in of_view])


def _classifier(
    head: str, data: SampleData, task: Task, seed: int
) -> LogisticRegression | RandomForestClassifier | CalibratedClassifierCV:
    if head == "logistic":
        return LogisticRegression(max_iter=MAX_ITERATIONS)
    if head == "forest":
        return RandomForestClassifier(n_estimators=TREES, random_state=seed)
    return CalibratedClassifierCV(SVC(), method="sigmoid", cv=_folds_of_patients(data, task, seed), ensemble=False)


def _folds_of_patients(data: SampleData, task: Task, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return (fitted rows, held-out rows) of the views of ``data`` for each fold; no patient is on both sides.

    Every class is on both sides of every fold.
    """
    rows = data.table[["patient", "site"]].assign(label=[task.classes[label] for label in data.label])
    patients = patient_table(rows, task.classes)
    counts = patients["label"].value_counts()
    folds = min(FOLDS, int(counts.min()))
    try:
        splits = kfold(patients, folds=folds, val=0, seed=seed)
    except SplitError as error:
        raise ConfigError(
            expected="at least 2 training patients of every class, to calibrate the probabilities of an SVM on",
            found=", ".join(f"{counts.get(name, 0)} with {name} as their worst" for name in task.classes),
            fix="--head logistic or forest, which need no folds, or more training patients",
            code="E_HEAD",
        ) from error
    held_out = [np.tile(rows["patient"].map(roles_of(splits, 0, fold)).eq("test"), VIEWS) for fold in range(folds)]
    return [(np.flatnonzero(~part), np.flatnonzero(part)) for part in held_out]
