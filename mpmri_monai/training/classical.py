"""A classical classifier on fixed features: what a network knows without being tuned at all, or what voxels tell."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from sklearn.base import ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.decomposition import PCA
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
from mpmri_monai.training.naive_bayes import MeanNaiveBayes
from mpmri_monai.training.neighbours import WeightedNeighbours
from mpmri_monai.transforms.batch import VIEWS, view

NETWORK_HEAD = "network"
CLASSICAL_HEADS = ("logistic", "svm", "forest", "knn", "naive_bayes")
HEADS = (NETWORK_HEAD, *CLASSICAL_HEADS)
FEATURES = ("network", "voxels")
"""What a classical head may be fitted on."""

FOLDS = 5
"""Most folds of patients that an SVM's probabilities are calibrated on."""
TREES = 300
NEIGHBOURS = 5
"""Samples that vote; as many rows as they have views."""
SMALLEST_VARIANCE = 0.01
"""Added to each variance of naive Bayes, in that of a standardised feature: a voxel that was black in all few samples
of a class must not decide alone."""
COMPONENTS = 256
"""Most principal components of voxels that an SVM sees, whose time grows with their number. Where there are no more
rows than that, its kernel between them is the voxels' own."""
MAX_ITERATIONS = 5000


class Voxels(nn.Module):
    """Stands in the place of a network where the features are the voxels themselves."""

    def fixed_features(self, image: Tensor, present: Tensor | None = None) -> Tensor:
        """Return every voxel of ``image`` (batch, channel, …), then which channels are there: (batch, feature)."""
        voxels = image.flatten(1)
        return voxels if present is None else torch.cat([voxels, present.to(voxels.dtype)], dim=1)


class ClassicalNetwork(nn.Module):
    """A network whose last layer is a fitted scikit-learn classifier; it answers wherever a network does.

    Args:
        network: gives the features, or `Voxels`; left as it is.
        classifier: with classes 0, 1, … and ``predict_proba``.
    """

    def __init__(self, network: nn.Module, classifier: Pipeline) -> None:
        super().__init__()
        self.network, self.classifier = network, classifier

    def forward(self, image: Tensor, present: Tensor | None = None, extent_mm: Tensor | None = None) -> Tensor:
        """Return log-probabilities (batch, class), float64, in the place of logits; arguments as a network's."""
        found = features_of(self.network, image, present, extent_mm)
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
    features: str = "network",
) -> ClassicalNetwork:
    """Fit a classical classifier on features of training samples.

    Each sample is seen in its six views, which carry its label and together weigh as one sample. Features are
    standardised; classes weigh the same in all. ``logistic`` is a multinomial logistic regression (L2, C = 1),
    ``svm`` a support vector machine with a Gaussian kernel (C = 1), ``forest`` a random forest of ``TREES`` trees,
    ``knn`` the vote of the nearest views, as many as ``NEIGHBOURS`` samples have, ``naive_bayes`` takes features for
    independent and normally distributed in each class, all of them together for one (`MeanNaiveBayes`). The SVM's
    probabilities are sigmoids of its decision values (Platt, 1999; one class against the rest), fitted on patients that
    it was not trained on: up to ``FOLDS`` folds of the training patients, stratified by worst class. It sees voxels by
    their first ``COMPONENTS`` principal components.

    Args:
        network: gives the features: its ``fixed_features`` and, with ``size_feature``, the logarithm of the lesion's
            extent.
        head: one of ``CLASSICAL_HEADS``.
        data: the training samples; the table names ``patient`` and ``site``.
        task: names the classes of the labels.
        device: where the features are computed.
        size: of the network's input, as `as_size` takes it.
        seed: of the forest, of the folds and of the components.
        features: ``network``, or ``voxels`` for those of the central crop, whatever the network.

    Raises:
        ConfigError: no such head or features, a class without a training sample, or too few patients to calibrate an
            SVM on.
    """
    _check(head, features, data, task)
    source = network if features == "network" else Voxels()
    seen, labels = _features_of_views(source, data, device, size), np.tile(data.label, VIEWS)
    steps = [("scale", StandardScaler()), ("head", _classifier(head, data, task, seed))]
    if head == "svm" and features == "voxels":
        steps.insert(1, ("components", PCA(min(COMPONENTS, *seen.shape), random_state=seed)))
    weights = compute_sample_weight("balanced", labels) / VIEWS
    # One thread: faster on matrices this small, and the sums do not depend on the machine's number of cores.
    with threadpool_limits(1):
        return ClassicalNetwork(source, Pipeline(steps).fit(seen, labels, head__sample_weight=weights))


def _check(head: str, features: str, data: SampleData, task: Task) -> None:
    for what, found, known in (("classical head", head, CLASSICAL_HEADS), ("kind of features", features, FEATURES)):
        if found not in known:
            raise ConfigError(expected=f"a {what} among {', '.join(known)}", found=repr(found))
    absent = [name for index, name in enumerate(task.classes) if index not in data.label]
    if absent:
        raise ConfigError(
            expected="training samples of every class", found=f"none of {', '.join(absent)}", code="E_CLASS_EMPTY"
        )


def features_of(network: nn.Module, image: Tensor, present: Tensor | None, extent_mm: Tensor | None) -> np.ndarray:
    """Return what a classical head sees of a batch, (batch, feature): float64, of voxels float32."""
    found = network.fixed_features(image, present)
    if isinstance(network, Voxels):
        return found.cpu().numpy()  # there are many: twice the bytes would hold nothing more
    if getattr(network, "size_feature", False):
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
            of_view.append(features_of(network, laid_out(view(image, index)), **extra))
    return np.concatenate([part for of_view in found for part in of_view])


def _classifier(head: str, data: SampleData, task: Task, seed: int) -> ClassifierMixin:
    """Return an unfitted classifier of standardised features."""
    match head:
        case "logistic":
            return LogisticRegression(max_iter=MAX_ITERATIONS)
        case "forest":
            return RandomForestClassifier(n_estimators=TREES, random_state=seed)
        case "knn":
            return WeightedNeighbours(NEIGHBOURS * VIEWS)
        case "naive_bayes":
            return MeanNaiveBayes(var_smoothing=SMALLEST_VARIANCE)
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
            fix="another head, which needs no folds, or more training patients",
            code="E_HEAD",
        ) from error
    held_out = [np.tile(rows["patient"].map(roles_of(splits, 0, fold)).eq("test"), VIEWS) for fold in range(folds)]
    return [(np.flatnonzero(~part), np.flatnonzero(part)) for part in held_out]
