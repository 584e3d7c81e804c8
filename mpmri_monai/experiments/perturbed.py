"""A finished run asked again: its test patients, seen a little differently from how they were stored."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from monai.bundle import ConfigParser
from torch import Tensor, nn
from torch.nn import functional

from mpmri_monai.artefacts import read_json
from mpmri_monai.bundle import CohortData
from mpmri_monai.errors import EvaluationError
from mpmri_monai.evaluation import read_predictions
from mpmri_monai.evaluation.predictions import PROBABILITY
from mpmri_monai.experiments.perturbations import fgsm, gain, pgd, rician_noise, shading, shifted_crop
from mpmri_monai.networks import load_weights
from mpmri_monai.training import SampleData, SampleDataset, prediction_rows
from mpmri_monai.transforms.batch import centre_crop

BATCH = 256
"""Samples perturbed at once; bounds the memory of their gradients."""

SAME_PREDICTION = 1e-4
"""Largest difference between a run's own predictions and those made again: float32 in another order of sums."""


@dataclass(frozen=True)
class Kind:
    """One way in which images can be off."""

    name: str
    title: str
    unit: str
    levels: tuple[float, ...]


KINDS = (
    Kind("noise", "Rician noise", "σ, in units of the intensity window", (0.02, 0.05, 0.1, 0.2)),
    Kind("shading", "shading across the lesion's box", "± amplitude", (0.1, 0.2, 0.4, 0.6)),
    Kind("shift", "shift of the mask", "mm in the plane", (0.5, 1.0, 2.0, 3.0)),
    Kind("gain", "gain", "factor on the intensities", (0.6, 0.8, 1.25, 1.5)),
    Kind("fgsm", "one gradient step (FGSM)", "ε, in units of the intensity window", (0.002, 0.005, 0.01, 0.03)),
    Kind("pgd", "ten gradient steps (PGD)", "ε, in units of the intensity window", (0.002, 0.005, 0.01, 0.03)),
)
UNCHANGED = {"gain": 1.0}
"""The level at which nothing changes, where it is not 0."""


@dataclass(frozen=True)
class Condition:
    """A kind of perturbation at one level; ``clean`` leaves the images as they are."""

    kind: str
    level: float = 0.0

    def __str__(self) -> str:
        return self.kind if self == CLEAN else f"{self.kind}-{self.level:g}"


CLEAN = Condition("clean")
CONDITIONS = (CLEAN, *(Condition(kind.name, level) for kind in KINDS for level in kind.levels))


class TrainedRun:
    """The data and the weights of a finished run, made again from its own configuration.

    Args:
        folder: of the run; ``config.json``, ``model.pt`` and ``predictions.csv`` are read.

    Raises:
        WeightsError, StoreError, ManifestError: what the run was made of is not there any more.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        parser = ConfigParser(read_json(folder / "config.json"))
        self.cohort: CohortData = parser.get_parsed_content("cohort")
        self.pixels = int(self.cohort.settings.pixels)
        self.network: nn.Module = parser.get_parsed_content("network_def")
        load_weights(self.network, folder / "model.pt")
        self.network.eval()

    @cached_property
    def data(self) -> SampleData:
        """The test samples."""
        return self.cohort.samples("test")

    @property
    def conditions(self) -> list[Condition]:
        """Every condition that the stored crops allow: a shift ends where the smallest of them does."""
        room_mm = (self.data.image.shape[-1] - self.pixels) / 2 * float(self.data.table["pitch_mm"].min())
        return [condition for condition in CONDITIONS if condition.kind != "shift" or condition.level <= room_mm]

    def predictions(self, condition: Condition, seed: int) -> pd.DataFrame:
        """Return the predictions of the test samples under one condition.

        Args:
            condition: what is done to the images.
            seed: of noise, directions and starts; the same for every level of a kind, so that levels differ in
                strength alone.
        """
        perturb = _Perturbation(self, condition, np.random.default_rng(seed))
        outputs = []
        for start in range(0, len(self.data.table), BATCH):
            batch = perturb.batch(np.arange(start, min(start + BATCH, len(self.data.table))))
            with torch.no_grad():
                logits = self.network(batch["image"], present=batch["present"], extent_mm=batch["extent_mm"])
            outputs.append(torch.softmax(logits.double(), dim=1).numpy())
        cohort = self.cohort
        columns = cohort.split_columns("test")
        return prediction_rows(self.data, np.concatenate(outputs), cohort.task, cohort.manifest.sequences, columns)

    def check(self, clean: pd.DataFrame) -> None:
        """Compare predictions made here with those that the run wrote.

        Raises:
            EvaluationError: they differ, so that the run was not made again as it was.
        """
        written = read_predictions(self.folder / "predictions.csv")
        keys = ["patient", "study", "lesion", "sample"]
        probabilities = [PROBABILITY + name for name in self.cohort.task.classes]
        before = written[written["role"] == "test"].set_index(keys)[probabilities].sort_index()
        again = clean.set_index(keys)[probabilities].sort_index()
        if not before.index.equals(again.index) or np.abs(before - again).to_numpy().max() > SAME_PREDICTION:
            raise EvaluationError(
                expected="the predictions that the run wrote",
                found="others from its weights and its samples",
                where=str(self.folder),
                fix="was the samples store or the package changed since? Train again in another folder",
                code="E_RUN",
            )


class _Perturbation:
    """One condition applied to the samples of a run, a lesion's direction being the same in all its samples."""

    def __init__(self, run: TrainedRun, condition: Condition, rng: np.random.Generator) -> None:
        self.run, self.condition, self.rng = run, condition, rng
        self.tensors = SampleDataset(run.data)
        lesions = run.data.table.groupby(["patient", "study", "lesion"], sort=True).ngroup().to_numpy()
        self.angles = torch.as_tensor(rng.uniform(-np.pi, np.pi, lesions.max() + 1)[lesions])
        self.pitch_mm = torch.tensor(run.data.table["pitch_mm"].to_list(), dtype=torch.float64)

    def batch(self, chosen: np.ndarray) -> dict[str, Tensor]:
        """Return the samples ``chosen`` as the network sees them under the condition."""
        batch = self.tensors[torch.as_tensor(chosen)]
        images, present, level, pixels = batch["image"], batch["present"], self.condition.level, self.run.pixels
        seen = centre_crop(images, pixels)
        loss = _Loss(self.run.network, batch)
        match self.condition.kind:
            case "noise":
                seen = rician_noise(seen, present, level, self.rng)
            case "shading":
                seen = shading(seen, present, level, self.angles[chosen].float())
            case "shift":
                seen = shifted_crop(images, pixels, level, self.angles[chosen], self.pitch_mm[chosen])
            case "gain":
                seen = gain(seen, present, level)
            case "fgsm":
                seen = fgsm(seen, present, level, loss)
            case "pgd":
                seen = pgd(seen, present, level, loss, self.rng)
        return {**batch, "image": seen}


@dataclass(frozen=True)
class _Loss:
    """Cross-entropy of each sample of a batch, as a function of its images."""

    network: nn.Module
    batch: dict[str, Tensor]

    def __call__(self, images: Tensor) -> Tensor:
        logits = self.network(images, present=self.batch["present"], extent_mm=self.batch["extent_mm"])
        return functional.cross_entropy(logits, self.batch["label"], reduction="none")
