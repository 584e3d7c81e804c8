"""What a model reached under the patient-disjoint protocol and under the sample-level replica, side by side."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from mpmri_monai import sequences
from mpmri_monai.evaluation import evaluate
from mpmri_monai.evaluation.levels import COPY
from mpmri_monai.evaluation.optimism import optimism
from mpmri_monai.experiments.context import Context
from mpmri_monai.experiments.published import Model
from mpmri_monai.experiments.question import Question

OTHER_SCALES = ("brier", "ece", "log_loss")
"""Metrics of which less is better: no optimism is given for them."""

PARTS = ("copies", "epoch", "patients on both sides", "all")


@dataclass(frozen=True)
class Pair:
    """The finished runs of one model under both protocols.

    Attributes:
        context: of the experiment.
        question: task and cohort.
        model: the network.
        patient: name of the patient-disjoint cell.
        sample: name of the replica's cell.
    """

    context: Context
    question: Question
    model: Model
    patient: str
    sample: str

    @property
    def task(self) -> sequences.Task:
        """The task of the model."""
        return self.question.task

    @property
    def finished(self) -> tuple[int, int]:
        """Number of finished runs, patient-disjoint and of the replica."""
        return len(self.context.runs(self.patient)), len(self.context.runs(self.sample))

    @cached_property
    def patient_predictions(self) -> pd.DataFrame:
        """Predictions of the patient-disjoint runs."""
        return self.context.predictions(self.patient)

    @cached_property
    def sample_predictions(self) -> pd.DataFrame:
        """Test predictions of the replica, stored copies included; not patient-disjoint."""
        predictions = self.context.predictions(self.sample)
        return predictions[predictions["role"] == "test"].reset_index(drop=True)

    @cached_property
    def honest(self) -> dict[str, Any]:
        """Metrics of the patient-disjoint runs."""
        return evaluate(self.patient_predictions, self.task, seed=self.context.seed)

    @cached_property
    def replica(self) -> dict[str, Any]:
        """Metrics of the replica at the level of slices; not patient-disjoint."""
        return evaluate(self.sample_predictions, self.task, unit="sample", seed=self.context.seed)

    @cached_property
    def optimism(self) -> dict[str, Any]:
        """Replica minus patient-disjoint at the level of slices, the patients redrawn for both at once."""
        found = [name for name in self.replica["levels"]["slice"]["metrics"] if name not in OTHER_SCALES]
        return optimism(
            self.sample_predictions, self.patient_predictions, self.task, found, level="slice", seed=self.context.seed
        )

    @cached_property
    def parts(self) -> dict[str, float]:
        """What the optimism in accuracy of slices is made of, by `PARTS`; not patient-disjoint.

        Scoring copies, choosing the epoch on the test set, and the rest: samples of test patients in training.
        """
        whole = self.optimism["metrics"]["accuracy"]["optimism"]["value"]
        as_samples = self.replica["levels"]["slice"]["metrics"]["accuracy"]["value"]
        originals = self.sample_predictions[~self.sample_predictions["sample"].str.contains(COPY, regex=False)]
        once = evaluate(originals, self.task, unit="sample", bootstraps=1, seed=self.context.seed)
        copies = as_samples - once["levels"]["slice"]["metrics"]["accuracy"]["value"]
        histories = [self.context.history(run)["val_accuracy"] for run in self.context.runs(self.sample)]
        epoch = float(np.mean([history.max() - history.iloc[-1] for history in histories]))
        return dict(zip(PARTS, (copies, epoch, whole - copies - epoch, whole), strict=True))

    @cached_property
    def ceiling(self) -> dict[str, Any] | None:
        """What a phantom's truth allows on the tested lesions; None for real patients and for background."""
        tested = self.patient_predictions[self.patient_predictions["role"] == "test"]
        fusion = sequences.fusion(self.model.fusion, self.question.manifest.sequences)
        return self.question.ceilings(fusion, tested, self.context.seed)
