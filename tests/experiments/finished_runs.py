"""Runs of an experiment that were never trained: their predictions are those of a noisy observer of the phantom."""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from mpmri_monai.evaluation import write_predictions
from mpmri_monai.experiments.context import Context, Experiment
from mpmri_monai.experiments.plan import Run, checked_runs
from mpmri_monai.phantom.classes import NAMES, posterior
from mpmri_monai.phantom.patients import draw_patient, plan
from mpmri_monai.phantom.presets import PRESETS
from mpmri_monai.phantom.truth import truth_table
from mpmri_monai.sequences import GRADES, SEQUENCES, fusion

PATIENTS = 36
PRIOR = (1 / 3, 1 / 3, 1 / 3)


@dataclass(frozen=True)
class Observer:
    """Writes the predictions of runs as if a network had read each lesion's latents, more or less well.

    Attributes:
        truth: the phantom's table.
        noise: SD of what is added to the logarithm of each posterior, after one epoch; it shrinks with more of them.
        failing: part of the name of runs that never finish.
    """

    truth: pd.DataFrame
    noise: float = 1.0
    failing: str = "no run is called so"

    def finish(self, context: Context, run: Run) -> None:
        """Write ``predictions.csv`` of one run."""
        if self.failing in run.name:
            return
        rng = np.random.default_rng(zlib.crc32(run.name.encode()))
        options = run.options
        p = posterior(self.truth[list(NAMES)].to_numpy(), fusion(options.get("fusion", "T2-OUT-S4")), PRIOR)
        logits = np.log(p) + rng.normal(size=p.shape) * self.noise / np.sqrt(options.get("max_epochs", 30))
        p = np.exp(logits - logits.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        inner = options.get("split#inner", -1)
        table = pd.DataFrame(
            {
                "task": "hcc_grade",
                **{key: self.truth[key].astype(str) for key in ("patient", "study", "lesion", "site")},
                "sample": self.truth["lesion"] + "-00",
                "repeat": options.get("split#repeat", 0),
                "outer": options.get("split#fold", 0),
                "inner": "" if inner < 0 else str(inner),
                "label": self._labels(options.get("permutation", -1)),
                **{f"p_{name}": p[:, k] for k, name in enumerate(GRADES)},
                **{f"present_{name}": True for name in SEQUENCES},
            }
        )
        folder = context.folder(run)
        folder.mkdir(parents=True)
        write_predictions(
            folder / "predictions.csv", table.assign(role=self._roles(options))[lambda t: t["role"] != ""]
        )

    def _roles(self, options: dict) -> np.ndarray:
        """Every patient in one outer fold, every other one in one inner fold; no fold belongs to one class alone."""
        number = self.truth["patient"].factorize()[0] // 3 + options.get("split#repeat", 0)
        folds, inner_folds = options.get("split#folds", 2), options.get("split#inner_folds", 2)
        test, val = number % folds == options.get("split#fold", 0), number // folds % inner_folds
        if options.get("split#inner", -1) < 0:
            return np.where(test, "test", "train")
        return np.where(test, "", np.where(val == options["split#inner"], "val", "train"))

    def _labels(self, permutation: int) -> np.ndarray:
        label = self.truth["label"].to_numpy()
        return label if permutation < 0 else np.random.default_rng(permutation).permutation(label)


def observed_phantom() -> pd.DataFrame:
    """The truth of patients with every sequence; their worst grades go round."""
    preset = PRESETS["quick"]
    return truth_table([draw_patient(preset, one, 4) for one in plan(preset, PATIENTS, 4)], PRIOR)


def make_context(folder: Path, truth: pd.DataFrame, bundle: Path, **given: object) -> Context:
    """An experiment's context on a cohort that consists of its truth."""
    truth.to_csv(folder / "truth.csv", index=False)
    studies = [
        {"patient": patient, "study": f"{patient}-1", "site": "A", "labels": {}, "images": {}, "lesions": []}
        for patient in truth["patient"].unique()
    ]
    content = {"schema": "mpmri-monai/manifest/1", "name": "observed", "sequences": list(SEQUENCES)}
    content |= {"classes": {"grade": list(GRADES)}, "studies": studies, "truth": "truth.csv"}
    (folder / "manifest.json").write_text(json.dumps(content))
    return Context(bundles=(bundle,), manifest=folder / "manifest.json", out=folder / "out", **given)


def finish_all(experiment: Experiment, context: Context, observer: Observer) -> list[list[Run]]:
    """Do what the engine does, with the observer in place of trainings; return the runs by stage."""
    stages: Sequence = experiment.stages(context)
    done: list[list[Run]] = []
    for stage in stages:
        runs = checked_runs(stage, {run.name for others in done for run in others})
        done.append(runs)
        entries = [{"runs": [{**vars(run), "bundle": str(run.bundle)} for run in part]} for part in done]
        context.out.mkdir(exist_ok=True)
        (context.out / "plan.json").write_text(json.dumps({"stages": entries}))
        for run in runs:
            observer.finish(context, run)
    return done
